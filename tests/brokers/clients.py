"""Two MQTT 5 clients for broker tests: `Paho` (paho-mqtt, somebody else's) and `Raw`, packet by packet, for what paho refuses.

Not for the bridge or the device: those bring their own.
"""

import contextlib
import queue
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import mqtt5
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.brokers.running import Running

WITHIN_S = 30  # only what hangs takes so long


class Paho:
    """paho-mqtt with its callbacks turned into waits."""

    def __init__(self, broker: Running, name: str, password: str, **connect: Any) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        self.client.tls_set(str(broker.ca))
        self.client.username_pw_set(name, password)
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.client.on_connect = lambda client, data, flags, code, properties: self.events.put(("connect", code))
        self.client.on_disconnect = lambda client, data, flags, code, properties: self.events.put(("disconnect", code))
        self.client.on_subscribe = lambda client, data, mid, codes, properties: self.events.put(("subscribe", codes))
        self.client.on_unsubscribe = lambda client, data, mid, codes, properties: self.events.put(("unsubscribe", codes))
        self.client.on_publish = lambda client, data, mid, code, properties: self.events.put(("publish", code))
        self.client.on_message = lambda client, data, message: self.messages.put(message)
        if will := connect.pop("will", None):
            self.client.will_set(*will)
        keep_alive = connect.pop("keep_alive", 30)
        properties = Properties(PacketTypes.CONNECT)
        for key, value in connect.items():
            setattr(properties, key, value)
        self.client.connect(broker.host, broker.port, keep_alive, clean_start=True, properties=properties)
        self.client.loop_start()
        self.code: ReasonCode = self.event("connect")

    def event(self, kind: str) -> Any:
        until = time.monotonic() + WITHIN_S
        while time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                found, value = self.events.get(timeout=0.1)
                if found == kind:
                    return value
        raise AssertionError(f"no {kind} within {WITHIN_S} s")

    def subscribe(self, topic: str, qos: int = 1, **options: Any) -> int:
        """The reason code of its SUBACK."""
        self.client.subscribe(topic, options=SubscribeOptions(qos=qos, **options))
        return self.event("subscribe")[0].value

    def unsubscribe(self, *topics: str) -> None:
        self.client.unsubscribe(list(topics))
        self.event("unsubscribe")

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False, **properties: Any) -> int:
        """The reason code of its PUBACK (0 for QoS 0)."""
        extra = Properties(PacketTypes.PUBLISH)
        for key, value in properties.items():
            setattr(extra, key, value)
        self.client.publish(topic, payload, qos, retain, extra)
        return self.event("publish").value

    def message(self) -> paho.MQTTMessage:
        return self.messages.get(timeout=WITHIN_S)

    def payload(self) -> bytes:
        return bytes(self.message().payload)

    def payloads_until(self, last: bytes) -> list[bytes]:
        """Every payload that came before `last`."""
        return [bytes(message.payload) for message in self.messages_until(last)]

    def messages_until(self, last: bytes) -> list[paho.MQTTMessage]:
        found = []
        while (message := self.message()).payload != last:
            found.append(message)
        return found

    def drop(self) -> None:
        """Ends the connection without a word, as a power cut does."""
        plain = self.client.socket()
        assert plain is not None
        self.client.loop_stop()
        plain.close()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Raw:
    """A TLS socket and the mqtt5 codec. `receive` gives the next packet, or None when the broker closed."""

    def __init__(self, broker: Running) -> None:
        context = ssl.create_default_context(cafile=str(broker.ca))
        plain = socket.create_connection((broker.host, broker.port), WITHIN_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname=broker.host)
        self.buffer = b""
        self.next_id = 0

    def send(self, *packets: Any) -> None:
        self.socket.sendall(b"".join(packet if isinstance(packet, bytes) else packet.write() for packet in packets))

    def receive(self, within_s: float = WITHIN_S) -> Any:
        """The next packet; None at the end of the connection; TimeoutError when nothing comes."""
        until = time.monotonic() + within_s
        while True:
            if self.buffer:
                try:
                    packet, used = mqtt5.read(memoryview(self.buffer))
                except IndexError:
                    pass
                else:
                    self.buffer = self.buffer[used:]
                    return packet
            self.socket.settimeout(max(0.001, until - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                raise
            except OSError:
                return None
            if not data:
                return None
            self.buffer += data

    def connect(self, name: str, password: str | bytes, **more: Any) -> Any:
        """Its CONNACK (None where the broker only closed)."""
        secret = password if isinstance(password, bytes) else password.encode()
        connect = {"username": name, "password": secret, "clean_start": True, "keep_alive": 60} | more
        self.send(mqtt5.ConnectPacket(connect.pop("client_id", name), **connect))
        return self.receive()

    def subscribe(self, *patterns: str, options: int = 1) -> Any:
        """SUBACK, or DISCONNECT, or None; PUBLISH on the way is dropped. Bytes by hand: the codec writes no hostile filter."""
        self.next_id = self.next_id % 65535 + 1
        filters = b"".join(text(pattern) + bytes((options,)) for pattern in patterns)
        self.send(packet(0x82, struct.pack(">HB", self.next_id, 0) + filters))
        return self.answer()

    def publish(self, topic: str, payload: bytes = b"x", qos: int = 1, retain: bool = False) -> Any:
        """PUBACK, or DISCONNECT, or None; nothing for QoS 0. Bytes by hand: the codec writes no hostile topic."""
        self.next_id = self.next_id % 65535 + 1
        identifier = struct.pack(">H", self.next_id) if qos else b""
        self.send(packet(0x30 | qos << 1 | retain, text(topic) + identifier + b"\0" + payload))
        return self.answer() if qos else None

    def answer(self) -> Any:
        while isinstance(packet := self.receive(), mqtt5.PublishPacket):
            pass
        return packet

    def ping(self) -> Any:
        try:
            self.send(mqtt5.PingReqPacket())
        except OSError:
            return None
        return self.answer()

    def receive_nothing(self) -> bool:
        """True unless the broker has said goodbye already."""
        try:
            return not isinstance(self.receive(0.02), mqtt5.DisconnectPacket | None)
        except TimeoutError:
            return True

    def receive_or_ping(self) -> Any:
        """What waits for this client, or the answer to a ping where nothing does."""
        self.send(mqtt5.PingReqPacket())
        return self.receive()

    def acknowledge(self, packet: mqtt5.PublishPacket) -> None:
        assert packet.packet_id is not None
        self.send(mqtt5.PubAckPacket(packet.packet_id))

    def close(self) -> None:
        self.socket.close()


def text(value: str) -> bytes:
    """A string as MQTT carries it; surrogates become bytes that are not UTF-8."""
    data = value.encode("utf-8", "surrogateescape")
    return struct.pack(">H", len(data)) + data


def packet(first: int, body: bytes) -> bytes:
    """A control packet with its remaining length (MQTT 5, section 2.1.4)."""
    length, left = b"", len(body)
    while True:
        left, digit = divmod(left, 128)
        length += bytes((digit | (0x80 if left else 0),))
        if not left:
            return bytes((first,)) + length + body


@contextlib.contextmanager
def raw(broker: Running) -> Iterator[Raw]:
    client = Raw(broker)
    try:
        yield client
    finally:
        client.close()


def eventually(true: Callable[[], bool], within_s: float = WITHIN_S) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.02)
    return true()
