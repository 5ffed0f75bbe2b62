"""The demo broker without access lists, for packets that strangers wrote: `python -m tests.brokers.open_broker --config FILE`.

Never for anything but tests: whoever connects may read and write everything.
"""

import argparse
import sys

import mqtt5

from host_sim import broker
from host_sim.mqtt_broker import Broker, NotAdmitted


class OpenBroker(Broker):
    """Everybody is admitted under the client id that they choose, and may do everything."""

    def admit(self, packet: mqtt5.ConnectPacket) -> tuple[str, str]:
        if packet.authentication_method is not None:
            raise NotAdmitted(mqtt5.ConnAckReasonCode.BAD_AUTHENTICATION_METHOD)
        return packet.client_id or "nameless", "bridge"

    def may(self, role: str, name: str, access: str, topic: str) -> bool:
        return True

    def retains(self, topic: str) -> bool:
        return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    broker.add_arguments(parser)
    sys.exit(broker.run(parser.parse_args(), OpenBroker))
