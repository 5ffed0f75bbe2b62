"""The part of MQTT 5 that Latchpin uses, as the demo broker speaks it, with one access list per device.

Not the command (broker.py); no QoS 2 and no session that outlives its connection: who needs them takes a real broker.
"""

import asyncio
import collections
import functools
import hmac
import math
import re
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import mqtt5
from mqtt5 import ConnAckReasonCode, DisconnectReasonCode, PubAckReasonCode, SubAckReasonCode, UnsubAckReasonCode

from broker_bridge import logs
from broker_bridge.acl import ACL
from broker_bridge.registry import Registry, RegistryError, hash_mqtt_password, verify_mqtt_password
from latchpin.wire import topics

# What one client may cost. INFLIGHT is the Receive Maximum that the broker grants, and the most that it uses itself.
MAX_PACKET, MAX_PAYLOAD, MAX_SUBSCRIPTIONS, TURN = 8192, 4096, 16, 64
INFLIGHT, QUEUE = {"device": 16, "bridge": 1024}, {"device": 64, "bridge": 8192}
MAX_KEEP_ALIVE_S, CONNECT_WITHIN_S, SWEEP_S, CLOSE_WITHIN_S = 600, 5, 0.5, 2
RETAINED = re.compile("latchpin/1/[^/]+/state")

QOS = (mqtt5.QoS.AT_MOST_ONCE, mqtt5.QoS.AT_LEAST_ONCE)
GRANTED = (SubAckReasonCode.GRANTED_QOS_AT_MOST_ONCE, SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE)
MALFORMED, PROTOCOL_ERROR = DisconnectReasonCode.MALFORMED_PACKET, DisconnectReasonCode.PROTOCOL_ERROR
NOBODY = hash_mqtt_password(b"")

# A refusal before CONNACK is a CONNACK (section 4.13.1).
CONNACK = {
    0x81: ConnAckReasonCode.MALFORMED_PACKET,
    0x82: ConnAckReasonCode.PROTOCOL_ERROR,
    0x95: ConnAckReasonCode.PACKET_TOO_LARGE,
}
CONNACK_3_1_1 = bytes((0x20, 2, 0, 1))  # "unacceptable protocol version", in words that MQTT 3.1.1 can read

# What stands in a body, in order: t text, d binary data, p properties, 1 2 4 so many bytes, v a variable byte integer; what
# follows ( may be absent, what follows * comes once or more. Packets that are not here are not for a client to send (table 2-1),
# or belong to QoS 2 and to extended authentication, which this broker does not offer.
CONNECT, PUBLISH, PUBACK, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 4, 8, 10, 12, 14
LAYOUTS = {PUBACK: "2(1(p", SUBSCRIBE: "2p*to", UNSUBSCRIBE: "2p*t", PINGREQ: "", DISCONNECT: "(1(p"}
PROPERTIES = {  # table 2-4
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), "1"),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), "2"),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), "4"),
    **dict.fromkeys((0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F), "t"),
    **dict.fromkeys((0x09, 0x16), "d"),
    **{0x0B: "v", 0x26: "tt"},
}
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")  # [MQTT-1.5.4-2], and what section 1.5.4 lets a receiver refuse
_LEVELS = r"(?:[^/+#]*|\+)(?:/(?:[^/+#]*|\+))*(?:/#)?|#"  # section 4.7.1
_FILTER = re.compile(rf"(?!\$share/)(?=.)(?:{_LEVELS})|\$share/([^/+#]+)/(?=.)((?:{_LEVELS}))")  # section 4.8.2


class Refused(Exception):
    """The client broke MQTT: what its DISCONNECT, or before CONNACK its CONNACK, says (section 4.13)."""

    def __init__(self, reason: DisconnectReasonCode) -> None:
        super().__init__()
        self.event, self.client, self.code, self.reason = "refused", "", int(reason), reason
        self.connack = mqtt5.ConnAckPacket(reason_code=CONNACK.get(int(reason), ConnAckReasonCode.UNSPECIFIED_ERROR)).write()


class NotAdmitted(Refused):
    """A CONNECT that is well-formed and yet refused."""

    def __init__(self, reason: ConnAckReasonCode, client: str = "", connack: bytes = b"") -> None:
        super().__init__(PROTOCOL_ERROR)
        self.event, self.client, self.code = "not admitted", client, int(reason)
        self.connack = connack or mqtt5.ConnAckPacket(reason_code=reason).write()


def integer(buffer: bytes | memoryview, start: int) -> tuple[int, int] | None:
    """(value, end) of a variable byte integer (section 1.5.5); None while it is not all there. Raises Refused."""
    value = 0
    for place in range(start, min(len(buffer), start + 4)):
        value |= (buffer[place] & 0x7F) << 7 * (place - start)
        if buffer[place] < 0x80:
            return value, place + 1
    if len(buffer) >= start + 4:
        raise Refused(MALFORMED)
    return None


def frame(buffer: memoryview, start: int) -> tuple[int, int] | None:
    """(begin of the body, end) of the packet at `start`; None while it is not all there (section 2.1.4). Raises Refused."""
    found = integer(buffer, start + 1)
    if found and found[1] + found[0] - start > MAX_PACKET:
        raise Refused(DisconnectReasonCode.PACKET_TOO_LARGE)
    return (found[1], found[1] + found[0]) if found and found[1] + found[0] <= len(buffer) else None


def walk(body: bytes, layout: str, place: int = 0) -> int:
    """The end of what `layout` names, every length and text in it checked. Raises Refused, IndexError, ValueError."""
    for number, kind in enumerate(layout):
        if kind == "t" or kind == "d":
            start, place = place + 2, place + 2 + (body[place] << 8 | body[place + 1])
            if kind == "t" and _CONTROL.search(str(body[start:place], "utf-8")):
                raise Refused(MALFORMED)
        elif kind == "p" and body[place] == 0:
            place += 1
        elif kind == "p" or kind == "v":
            found = integer(body, place)
            if found is None:
                raise Refused(MALFORMED)
            place, end = found[1], found[1] + (found[0] if kind == "p" else 0)
            while place < end <= len(body):
                place = walk(body[:end], PROPERTIES[body[place]], place + 1)
            place = end
        elif kind == "o":
            if body[place] & 0xC0:  # [MQTT-3.8.3-5]
                raise Refused(MALFORMED)
            place += 1
        elif kind == "(":
            if place == len(body):
                return place
        elif kind == "*":
            again, once = layout[number + 1 :], True
            while once or place < len(body):
                place, once = walk(body, again, place), False
            return place
        else:
            place += int(kind)
        if place > len(body):
            raise Refused(MALFORMED)
    return place


def decoded(packet: memoryview, begin: int) -> Any:
    """A whole packet, its body from `begin` on, as the codec reads it, after the checks that the codec leaves to others.

    Raises Refused.
    """
    kind, flags, body = packet[0] >> 4, packet[0] & 15, bytes(packet[begin:])
    if kind == CONNECT and body[:6] == b"\0\4MQTT" and len(body) > 6 and body[6] != 5:  # [MQTT-3.1.2-2]
        raise NotAdmitted(ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION, connack=CONNACK_3_1_1 if body[6] == 4 else b"")
    try:
        if kind == PUBLISH:
            walk(body, "t2p" if flags & 6 else "tp")
            if flags & 14 == 8:  # [MQTT-3.3.1-2]
                raise Refused(MALFORMED)
        elif kind == CONNECT:
            has = body[7]
            if has & 1 or (not has & 4 and has & 0x38):  # [MQTT-3.1.2-3], [MQTT-3.1.2-11], [MQTT-3.1.2-13]
                raise Refused(MALFORMED)
            walk(body, "t112pt" + ("ptd" if has & 4 else "") + ("t" if has & 0x80 else "") + ("d" if has & 0x40 else ""))
        elif kind in LAYOUTS:
            walk(body, LAYOUTS[kind])
        else:
            raise Refused(PROTOCOL_ERROR)
        result, used = mqtt5.read(packet)
    except (ValueError, LookupError):
        raise Refused(MALFORMED) from None
    if used != len(packet):
        raise Refused(MALFORMED)
    if getattr(result, "packet_id", None) == 0:  # [MQTT-2.2.1-3]
        raise Refused(PROTOCOL_ERROR)
    return result


def matcher(levels: str) -> Any:
    """A function of a topic: does it match the filter? (Section 4.7; `a/#` matches `a` too, no wildcard matches `$...`.)"""
    if levels == "#":
        return re.compile(r"[^$].*", re.DOTALL).fullmatch
    text = re.escape(levels.removesuffix("/#")).replace(r"\+", "[^/]*") + ("(/.*)?" if levels.endswith("/#") else "")
    return re.compile(("(?!\\$)" if levels.startswith("+") else "") + text, re.DOTALL).fullmatch


@functools.lru_cache(1 << 14)
def may(role: str, name: str, access: str, topic: str) -> bool:
    """Does the table ACL let `name` write the topic, or read the filter? A `+` that is granted covers one level of any name."""
    levels = topic.split("/")
    for granted in ACL[role][access]:
        pairs = list(zip(granted.split("/"), levels, strict=False))
        if len(levels) == granted.count("/") + 1 and all(
            level == name if own == "%u" else own in (level, "+") and level != "#" for own, level in pairs
        ):
            return True
    return False


class Message:
    """A PUBLISH or a will on its way, and when it expires (section 3.3.2.3.3)."""

    __slots__ = ("source", "until")

    def __init__(self, source: mqtt5.PublishPacket | mqtt5.Will) -> None:
        self.source = source
        expiry = source.message_expiry_interval
        self.until = None if expiry is None else time.monotonic() + expiry

    def packet(self, qos: int, retain: bool, packet_id: int | None = None, identifier: int | None = None) -> bytes | None:
        """Its bytes for one receiver, or None where it expired. All properties travel on unaltered."""
        source, left = self.source, None
        if self.until is not None and (left := math.ceil(self.until - time.monotonic())) <= 0:
            return None
        return mqtt5.PublishPacket(
            source.topic,
            source.payload or b"",
            qos=QOS[qos],
            retain=retain,
            packet_id=packet_id,
            payload_format_indicator=source.payload_format_indicator,
            message_expiry_interval=left,
            content_type=source.content_type,
            response_topic=source.response_topic,
            correlation_data=source.correlation_data,
            subscription_ids=[identifier] if identifier else None,
            user_properties=source.user_properties,
        ).write()


class Subscription(NamedTuple):
    """One filter of one client, as its SUBSCRIBE asked for it (section 3.8.3.1)."""

    client: "Client"
    qos: int
    no_local: bool
    as_published: bool
    identifier: int | None


class Client(asyncio.Protocol):
    """One connection: bytes in, packets out."""

    __slots__ = (
        *("broker", "transport", "name", "role", "buffer", "start", "out", "ended", "hearing", "paused", "waiting", "heard"),
        *("keep_alive_s", "expiry_asked", "will", "max_packet", "window", "inflight", "last_id", "queue", "patterns"),
    )

    def __init__(self, broker: "Broker") -> None:
        self.broker, self.name, self.role = broker, "", ""
        self.buffer, self.start, self.out = b"", 0, []
        self.hearing = True
        self.ended = self.paused = self.waiting = self.expiry_asked = False
        self.heard, self.keep_alive_s = time.monotonic(), CONNECT_WITHIN_S / 1.5
        self.will: mqtt5.Will | None = None
        self.max_packet, self.window, self.last_id = MAX_PACKET, 0, 0
        self.inflight: set[int] = set()
        self.queue: collections.deque[tuple[Message, bool, int | None]] = collections.deque()
        self.patterns: set[str] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.broker.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(why="connection lost")

    def pause_writing(self) -> None:
        self.paused = True  # who does not read is not heard either, so that answers cannot pile up

    def resume_writing(self) -> None:
        self.paused = False
        self.drain()
        self.work()

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        self.buffer = self.buffer[self.start :] + data if self.start < len(self.buffer) else data
        self.start = 0
        if not self.waiting:
            self.work()

    def work(self) -> None:
        """Handles up to TURN packets of the buffer; what is left waits for the next turn of the loop, and nothing is read."""
        self.waiting, view = False, memoryview(self.buffer)
        try:
            for _ in range(TURN):
                if self.ended or self.paused:
                    break
                found = frame(view, self.start) if self.start < len(view) else None
                if found is None:
                    return self.hear(True)
                body, end = found
                self.handle(decoded(view[self.start : end], body - self.start))
                self.start = end
            else:
                self.waiting = True
                self.broker.loop.call_soon(self.work)
            self.hear(False)
        except Refused as refused:
            self.broker.count(refused.event, self.name or refused.client, refused.code)
            if not self.name and view[self.start] >> 4 == CONNECT:
                self.send(refused.connack)
            self.end(refused.reason, why="broke the protocol")
        except Exception as error:
            self.broker.count("internal", self.name, type(error).__name__)
            self.end(DisconnectReasonCode.UNSPECIFIED_ERROR, why="defect of the broker")

    def hear(self, on: bool) -> None:
        if on != self.hearing:
            self.hearing = on
            (self.transport.resume_reading if on else self.transport.pause_reading)()

    def send(self, packet: bytes) -> None:
        """Joins what one turn of the loop writes; a packet longer than the client takes is dropped ([MQTT-3.1.2-24])."""
        if len(packet) <= self.max_packet and not self.ended:
            self.out.append(packet)
            if len(self.out) == 1:
                self.broker.loop.call_soon(self.flush)

    def flush(self) -> None:
        if self.out:
            packets, self.out = self.out, []
            self.transport.write(b"".join(packets))

    def end(self, reason: DisconnectReasonCode | None = None, *, will: bool = True, why: str = "") -> None:
        """DISCONNECT with `reason` (none for a connection that is gone), then close; the will leaves unless told otherwise."""
        if not self.ended:
            if reason is not None and self.name:
                self.send(mqtt5.DisconnectPacket(reason_code=reason).write())
            self.ended = True
            self.flush()
            self.transport.close()
            self.broker.loop.call_later(CLOSE_WITHIN_S, self.transport.abort)
            self.broker.leave(self, will, why)

    def handle(self, packet: Any) -> None:
        """One packet to its place in PACKETS; CONNECT comes first and once (section 3.1)."""
        if isinstance(packet, mqtt5.ConnectPacket) == bool(self.name):
            raise Refused(PROTOCOL_ERROR)
        PACKETS[type(packet)](self, packet)

    def on_connect(self, packet: mqtt5.ConnectPacket) -> None:
        name, role, will = *self.broker.admit(packet), packet.will
        if will and will.qos not in QOS:
            raise NotAdmitted(ConnAckReasonCode.QUALITY_NOT_SUPPORTED, name)
        if will and len(will.payload or b"") > MAX_PAYLOAD:
            raise NotAdmitted(ConnAckReasonCode.PACKET_TOO_LARGE, name)
        if will and not self.broker.may(role, name, "write", will.topic):
            raise NotAdmitted(ConnAckReasonCode.NOT_AUTHORIZED, name)
        if older := self.broker.clients.get(name):
            older.end(DisconnectReasonCode.SESSION_TAKEN_OVER, why="taken over")
        self.name, self.role, self.will = name, role, will
        self.window = min(packet.receive_max, INFLIGHT[self.role])
        self.expiry_asked = packet.session_expiry_interval > 0
        self.max_packet = min(packet.max_packet_size or MAX_PACKET, MAX_PACKET)
        self.keep_alive_s = min(packet.keep_alive or MAX_KEEP_ALIVE_S, MAX_KEEP_ALIVE_S)
        self.broker.clients[name] = self
        logs.line("connected", client=name)
        answer = mqtt5.ConnAckPacket(
            receive_max=INFLIGHT[self.role],
            max_packet_size=MAX_PACKET,
            max_qos=QOS[1],
            session_expiry_interval=0 if packet.session_expiry_interval else None,
            server_keep_alive=self.keep_alive_s if self.keep_alive_s != packet.keep_alive else None,
        ).write()
        if len(answer) > self.max_packet:
            return self.end(why="takes no CONNACK")
        self.send(answer)

    def on_publish(self, packet: mqtt5.PublishPacket) -> None:
        topic = packet.topic
        for wrong, reason in (
            (packet.qos not in QOS, DisconnectReasonCode.QOS_NOT_SUPPORTED),
            (packet.topic_alias is not None, DisconnectReasonCode.TOPIC_ALIAS_INVALID),
            (packet.subscription_ids, PROTOCOL_ERROR),  # [MQTT-3.3.4-6]
            (packet.payload_format_indicator > 1, PROTOCOL_ERROR),
            ("+" in topic or "#" in topic, DisconnectReasonCode.TOPIC_NAME_INVALID),
            (packet.response_topic and re.search("[+#]", packet.response_topic), PROTOCOL_ERROR),  # [MQTT-3.3.2-14]
        ):
            if wrong:
                raise Refused(reason)
        self.broker.tap(packet)
        if not self.broker.may(self.role, self.name, "write", topic) or (packet.retain and not self.broker.retains(topic)):
            self.broker.count("denied", self.name, "write")
            answer = PubAckReasonCode.NOT_AUTHORIZED
        elif len(packet.payload) > MAX_PAYLOAD:
            answer = PubAckReasonCode.QUOTA_EXCEEDED
        else:
            reached = self.broker.publish(Message(packet), self)
            answer = PubAckReasonCode.SUCCESS if reached else PubAckReasonCode.NO_MATCHING_SUBSCRIBERS
        if packet.packet_id is not None:
            self.send(mqtt5.PubAckPacket(packet.packet_id, reason_code=answer).write())

    def on_puback(self, packet: mqtt5.PubAckPacket) -> None:
        self.inflight.discard(packet.packet_id)
        self.drain()

    def on_subscribe(self, packet: mqtt5.SubscribePacket) -> None:
        codes, retained = [], []
        for wanted in packet.topic_filters:
            if not _FILTER.fullmatch(wanted.pattern):
                raise Refused(MALFORMED)  # [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.8.2-1]
            if wanted.no_local and wanted.pattern.startswith("$share/"):
                raise Refused(PROTOCOL_ERROR)  # [MQTT-3.8.3-4]
            new = wanted.pattern not in self.patterns
            if not self.broker.may(self.role, self.name, "read", wanted.pattern):
                self.broker.count("denied", self.name, "read")
                codes.append(SubAckReasonCode.NOT_AUTHORIZED)
            elif new and len(self.patterns) == MAX_SUBSCRIPTIONS:
                codes.append(SubAckReasonCode.QUOTA_EXCEEDED)
            else:
                qos = 0 if wanted.max_qos == QOS[0] else 1
                found = Subscription(self, qos, wanted.no_local, wanted.retain_as_published, packet.subscription_id)
                self.broker.subscribe(wanted.pattern, found)
                codes.append(GRANTED[qos])
                if wanted.retain_handling != mqtt5.RetainHandling.SEND_NEVER and (
                    new or wanted.retain_handling == mqtt5.RetainHandling.SEND_ALWAYS
                ):
                    retained += [(message, found) for message in self.broker.retained_for(wanted.pattern)]
        self.send(mqtt5.SubAckPacket(packet.packet_id, codes).write())
        for message, found in retained:
            self.deliver(message, min(found.qos, int(message.source.qos)), True, found.identifier)

    def on_unsubscribe(self, packet: mqtt5.UnsubscribePacket) -> None:
        if not all(_FILTER.fullmatch(pattern) for pattern in packet.patterns):
            raise Refused(MALFORMED)
        codes = [
            UnsubAckReasonCode.SUCCESS if self.broker.unsubscribe(pattern, self) else UnsubAckReasonCode.NO_SUBSCRIPTION_EXISTED
            for pattern in packet.patterns
        ]
        self.send(mqtt5.UnsubAckPacket(packet.packet_id, codes).write())

    def on_pingreq(self, packet: mqtt5.PingReqPacket) -> None:
        self.send(mqtt5.PingRespPacket().write())

    def on_disconnect(self, packet: mqtt5.DisconnectPacket) -> None:
        if packet.session_expiry_interval and not self.expiry_asked:
            raise Refused(PROTOCOL_ERROR)  # section 3.14.2.2.2
        self.end(will=packet.reason_code != DisconnectReasonCode.NORMAL_DISCONNECTION, why="disconnected")

    def deliver(self, message: Message, qos: int, retain: bool, identifier: int | None) -> None:
        """To a slow reader QoS 0 is dropped and QoS 1 waits; a full queue ends its connection."""
        if qos == 0:
            packet = None if self.paused else message.packet(0, retain, None, identifier)
            if packet is not None:
                self.send(packet)
        elif len(self.queue) >= QUEUE[self.role]:
            self.broker.count("slow", self.name, len(self.queue))
            self.end(DisconnectReasonCode.QUOTA_EXCEEDED, why="too slow")
        else:
            self.queue.append((message, retain, identifier))
            self.drain()

    def drain(self) -> None:
        """Sends what waits, as far as the client's Receive Maximum lets it (section 4.9)."""
        while self.queue and len(self.inflight) < self.window and not self.paused and not self.ended:
            message, retain, identifier = self.queue.popleft()
            self.last_id = self.last_id % 65535 + 1
            while self.last_id in self.inflight:
                self.last_id = self.last_id % 65535 + 1
            packet = message.packet(1, retain, self.last_id, identifier)
            if packet is not None and len(packet) <= self.max_packet:
                self.inflight.add(self.last_id)
                self.send(packet)


PACKETS: dict[type, Any] = {
    mqtt5.ConnectPacket: Client.on_connect,
    mqtt5.PublishPacket: Client.on_publish,
    mqtt5.PubAckPacket: Client.on_puback,
    mqtt5.SubscribePacket: Client.on_subscribe,
    mqtt5.UnsubscribePacket: Client.on_unsubscribe,
    mqtt5.PingReqPacket: Client.on_pingreq,
    mqtt5.DisconnectPacket: Client.on_disconnect,
}


class Broker:
    """All clients, their subscriptions and the retained messages."""

    def __init__(self, registry: Registry, bridges: Mapping[str, bytes], tap: Path | None = None) -> None:
        self.registry, self.bridges = registry, bridges
        self.loop = asyncio.get_running_loop()
        self.connections: set[Client] = set()
        self.clients: dict[str, Client] = {}
        self.exact: dict[str, dict[Client, Subscription]] = {}
        self.patterns: dict[str, tuple[Any, bool, dict[Client, Subscription]]] = {}
        self.retained: dict[str, Message] = {}
        self.counts: collections.Counter[str] = collections.Counter()
        self._tap = tap.open("ab", buffering=0) if tap else None
        self._sweep = self.loop.call_later(SWEEP_S, self.sweep)

    def admit(self, packet: mqtt5.ConnectPacket) -> tuple[str, str]:
        """(name, role) of a client that may connect. Raises Refused."""
        name, password = packet.username or "", packet.password or b""
        if packet.authentication_method is not None:
            raise NotAdmitted(ConnAckReasonCode.BAD_AUTHENTICATION_METHOD)
        if name in self.bridges:
            role, right = "bridge", hmac.compare_digest(self.bridges[name], password)
        else:
            self.reload()
            device = self.registry.get(name)
            role = "device"
            right = verify_mqtt_password(device.mqtt_password_hash if device else NOBODY, password) and device is not None
        if not right:
            raise NotAdmitted(ConnAckReasonCode.BAD_USER_NAME_OR_PASSWORD, name if topics.is_id(name) else "")
        if packet.client_id != name:
            raise NotAdmitted(ConnAckReasonCode.CLIENT_ID_NOT_VALID, name)
        return name, role

    def may(self, role: str, name: str, access: str, topic: str) -> bool:
        return may(role, name, access, topic)

    def retains(self, topic: str) -> bool:
        return RETAINED.fullmatch(topic) is not None

    def reload(self) -> None:
        """Takes the registry as it is now, and parts from every device that may not speak any more."""
        try:
            changed = self.registry.reload()
        except RegistryError as error:
            if not self.counts["registry"]:
                logs.line("registry", why=str(error))
            self.counts["registry"] += 1
            return
        if changed:
            self.counts["registry"] = 0
            for client in [client for client in self.clients.values() if client.role == "device"]:
                if self.registry.get(client.name) is None:
                    client.end(DisconnectReasonCode.NOT_AUTHORIZED, why="revoked")

    def subscribe(self, pattern: str, found: Subscription) -> None:
        found.client.patterns.add(pattern)
        group, levels = _FILTER.fullmatch(pattern).groups()  # type: ignore[union-attr]
        if group is None and "+" not in pattern and "#" not in pattern:
            self.exact.setdefault(pattern, {})[found.client] = found
        else:
            entry = self.patterns.setdefault(pattern, (matcher(levels or pattern), group is not None, {}))
            entry[2][found.client] = found

    def unsubscribe(self, pattern: str, client: Client) -> bool:
        if pattern not in client.patterns:
            return False
        client.patterns.discard(pattern)
        holders = self.exact.get(pattern)
        holders = self.patterns[pattern][2] if holders is None else holders
        del holders[client]
        if not holders:
            self.exact.pop(pattern, None)
            self.patterns.pop(pattern, None)
        return True

    def retained_for(self, pattern: str) -> list[Message]:
        """What a new subscription gets at once; a shared one gets nothing (section 4.8.2)."""
        if pattern.startswith("$share/"):
            return []
        matches = matcher(pattern)
        return [message for topic, message in self.retained.items() if matches(topic)]

    def publish(self, message: Message, sender: Client) -> bool:
        """To every subscription that matches, to one member of each shared one in turn; True if there was any."""
        source = message.source
        if source.retain and source.payload:
            self.retained[source.topic] = message
        elif source.retain:
            self.retained.pop(source.topic, None)
        chosen = list(self.exact.get(source.topic, {}).values())
        for matches, shared, holders in self.patterns.values():
            if matches(source.topic):
                if shared:
                    turn = next(iter(holders))
                    holders[turn] = holders.pop(turn)
                    chosen.append(holders[turn])
                else:
                    chosen += holders.values()
        chosen = [found for found in chosen if not (found.no_local and found.client is sender)]
        for found in chosen:
            qos = min(found.qos, int(source.qos))
            found.client.deliver(message, qos, source.retain and found.as_published, found.identifier)
        return bool(chosen)

    def leave(self, client: Client, will: bool, why: str) -> None:
        """The end of a session: subscriptions go, the will is published (sections 3.1.2.5 and 4.1)."""
        self.connections.discard(client)
        for pattern in list(client.patterns):
            self.unsubscribe(pattern, client)
        if client.name and self.clients.get(client.name) is client:
            del self.clients[client.name]
            logs.line("left", client=client.name, why=why)
        if will and client.will:
            self.tap(client.will)
            retain = client.will.retain and self.retains(client.will.topic)
            if retain == client.will.retain:
                self.publish(Message(client.will), client)

    def sweep(self) -> None:
        """Keep-alive (section 3.1.2.10), connections without CONNECT, and the registry."""
        now = time.monotonic()
        for client in [client for client in self.connections if now - client.heard > 1.5 * client.keep_alive_s]:
            client.end(DisconnectReasonCode.KEEP_ALIVE_TIMEOUT, why="silent")
        self.reload()
        self._sweep = self.loop.call_later(SWEEP_S, self.sweep)

    def tap(self, source: mqtt5.PublishPacket | mqtt5.Will) -> None:
        """Appends to the tap file: 2 bytes length and topic, 4 bytes length and payload (both big-endian lengths)."""
        if self._tap:
            topic, payload = source.topic.encode(), source.payload or b""
            self._tap.write(struct.pack(">H", len(topic)) + topic + struct.pack(">I", len(payload)) + payload)

    def count(self, event: str, client: str, detail: int | str) -> None:
        """Counts what a client did wrong; the log gets one line of each event in a hundred."""
        self.counts[event] += 1
        if self.counts[event] % 100 == 1:
            logs.line(event, client=client, detail=detail, count=self.counts[event])

    async def close(self) -> None:
        self._sweep.cancel()
        for client in list(self.connections):
            client.end(DisconnectReasonCode.SERVER_SHUTTING_DOWN, will=False, why="broker ends")
        await asyncio.sleep(0.1)
        if self._tap:
            self._tap.close()


def read_tap(path: Path) -> Iterator[tuple[str, bytes]]:
    """(topic, payload) of every PUBLISH and will that a broker wrote to its tap file, refused ones too, in order."""
    data, place = path.read_bytes(), 0
    while place < len(data):
        (size,) = struct.unpack_from(">H", data, place)
        topic, place = data[place + 2 : place + 2 + size].decode(), place + 2 + size
        (size,) = struct.unpack_from(">I", data, place)
        yield topic, data[place + 4 : place + 4 + size]
        place += 4 + size
