"""Figures of a broker over TLS: round trips a second, device -> bridge -> device, and memory for each idle client.

Not a test: `python -m tests.brokers.measure [embedded|mosquitto] [--devices 32] [--idle 1000]` prints what it finds.
"""

import argparse
import asyncio
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

import mqtt5
from cryptography.hazmat.primitives.asymmetric import ec

from broker_bridge.registry import Registry, hash_mqtt_password
from host_sim.broker import loop_factory, raise_file_limit
from tests.brokers.running import Running, embedded, mosquitto

QOS = (mqtt5.QoS.AT_MOST_ONCE, mqtt5.QoS.AT_LEAST_ONCE)
PAYLOAD = bytes(200)


class Peer(asyncio.Protocol):
    """A client that answers every PUBLISH by another one."""

    def __init__(self, name: str, password: str, subscribe: list[str], answer: Any) -> None:
        self.name, self.password, self.patterns, self.answer = name, password, subscribe, answer
        self.buffer, self.out, self.trips, self.qos, self.last_id = b"", [], 0, 0, 0
        self.loop = asyncio.get_running_loop()
        self.ready = self.loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(
            mqtt5.ConnectPacket(
                self.name, username=self.name, password=self.password.encode(), clean_start=True, keep_alive=600, receive_max=1024
            ).write()
        )

    def data_received(self, data: bytes) -> None:
        view, start = memoryview(self.buffer + data), 0
        while start < len(view):
            try:
                packet, used = mqtt5.read(view[start:])
            except IndexError:
                break
            start += used
            if isinstance(packet, mqtt5.PublishPacket):
                if packet.packet_id is not None:
                    self.send(mqtt5.PubAckPacket(packet.packet_id).write())
                self.trips += 1
                if topic := self.answer(packet.topic):
                    self.publish(topic)
            elif isinstance(packet, mqtt5.ConnAckPacket):
                assert packet.reason_code == mqtt5.ConnAckReasonCode.SUCCESS
                filters = [mqtt5.TopicFilter(pattern, max_qos=QOS[1]) for pattern in self.patterns]
                self.send(mqtt5.SubscribePacket(1, filters).write())
            elif isinstance(packet, mqtt5.SubAckPacket):
                self.ready.set_result(None)
        self.buffer = bytes(view[start:])

    def publish(self, topic: str) -> None:
        self.last_id = self.last_id % 65535 + 1
        identifier = self.last_id if self.qos else None
        self.send(mqtt5.PublishPacket(topic, PAYLOAD, qos=QOS[self.qos], packet_id=identifier).write())

    def send(self, packet: bytes) -> None:
        self.out.append(packet)
        if len(self.out) == 1:
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        self.transport.write(b"".join(self.out))
        self.out = []


async def join(broker: Running, name: str, password: str, patterns: list[str], answer: Any) -> Peer:
    loop, context = asyncio.get_running_loop(), ssl.create_default_context(cafile=str(broker.ca))
    _, peer = await loop.create_connection(
        lambda: Peer(name, password, patterns, answer), broker.host, broker.port, ssl=context, server_hostname="localhost"
    )
    await peer.ready
    return peer


def memory_kb(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


async def measure(broker: Running, devices: int, idle: int, seconds: float) -> None:
    hellos = ["$share/latchpin/latchpin/1/+/hello"]
    bridge = await join(broker, "bridge", broker.bridge_password, hellos, lambda topic: topic.replace("/hello", "/down"))
    peers = []
    for number in range(devices):
        name = f"lp-{number}"
        topic = f"latchpin/1/{name}/hello"
        peers.append(await join(broker, name, "password", [f"latchpin/1/{name}/down"], lambda _, topic=topic: topic))
    for qos in (0, 1):
        for peer in (bridge, *peers):
            peer.qos, peer.trips = qos, 0
        started, used = time.monotonic(), cpu_s(broker.process.pid)
        for peer in peers:
            peer.publish(f"latchpin/1/{peer.name}/hello")
        await asyncio.sleep(seconds)
        trips, took, used = bridge.trips, time.monotonic() - started, cpu_s(broker.process.pid) - used
        for peer in peers:
            peer.answer = lambda _: None
        await asyncio.sleep(0.5)
        for peer in peers:
            topic = f"latchpin/1/{peer.name}/hello"
            peer.answer = lambda _, topic=topic: topic
        kind, each_us = f"{broker.kind}: QoS {qos}", 1e6 * used / trips
        print(f"{kind}: {trips / took:,.0f} round trips/s, {each_us:.0f} us CPU each, {devices} devices, TLS")
    before, started = memory_kb(broker.process.pid), time.monotonic()
    crowd = []
    for number in range(devices, devices + idle):
        name = f"lp-{number}"
        crowd.append(await join(broker, name, "password", [f"latchpin/1/{name}/down"], lambda _: None))
    took, grown = time.monotonic() - started, memory_kb(broker.process.pid) - before
    print(f"{broker.kind}: {grown / idle:.1f} kB for each of {idle} idle clients, {idle / took:,.0f} TLS connections/s")


def cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", nargs="?", choices=("embedded", "mosquitto"), default="embedded")
    parser.add_argument("--devices", type=int, default=32)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3)
    args = parser.parse_args()
    raise_file_limit()
    with tempfile.TemporaryDirectory() as folder:
        path, stored = Path(folder) / "devices.toml", hash_mqtt_password(b"password")
        lines = []
        for number in range(args.devices + args.idle):
            point = ec.derive_private_key(number + 1, ec.SECP256R1()).public_key().public_numbers()
            public = point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
            lines.append(f'[devices.lp-{number}]\nmqtt_password = "{stored}"\nkeys = [{{kid = 1, public = "{public.hex()}"}}]\n')
        path.write_text("\n".join(lines))
        kind = {"embedded": embedded, "mosquitto": mosquitto}[args.kind]
        with kind(Path(folder), Registry(path)) as broker, asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(measure(broker, args.devices, args.idle, args.seconds))


if __name__ == "__main__":
    main()
