"""The part of MQTT 5 that Latchpin uses, as the demo broker speaks it, with one access list per device.

Not the command (broker.py); no QoS 2 and no session that outlives its connection: who needs them takes a real broker.
"""

import asyncio
import collections
import functools
import hmac
import json
import math
import re
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import mqtt5
from latchpin.wire import topics
from mqtt5 import ConnAckReasonCode, DisconnectReasonCode, PubAckReasonCode, SubAckReasonCode, UnsubAckReasonCode

from broker_bridge.registry import ACL, Registry, RegistryError, hash_mqtt_password, verify_mqtt_password

# What one client may cost. INFLIGHT is the Receive Maximum that the broker grants, and the most that it uses itself.
MAX_PACKET, MAX_PAYLOAD, MAX_SUBSCRIPTIONS = 8192, 4096, 16
INFLIGHT, QUEUE = {"device": 16, "bridge": 1024}, {"device": 64, "bridge": 8192}
MAX_KEEP_ALIVE_S, CONNECT_WITHIN_S, SWEEP_S, CLOSE_WITHIN_S = 600, 5, 0.5, 2
RETAINED = re.compile("latchpin/1/[^/]+/state")

QOS = (mqtt5.QoS.AT_MOST_ONCE, mqtt5.QoS.AT_LEAST_ONCE)
GRANTED = (SubAckReasonCode.GRANTED_QOS_AT_MOST_ONCE, SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE)
MALFORMED, PROTOCOL_ERROR = DisconnectReasonCode.MALFORMED_PACKET, DisconnectReasonCode.PROTOCOL_ERROR
NOBODY = hash_mqtt_password(b"")

# A refusal before CONNACK is a CONNACK (section 4.13.1). To MQTT 3.1 and 3.1.1 it is one that they can read.
PLAIN = ConnAckReasonCode.UNSPECIFIED_ERROR
CONNACK = {
    0x81: ConnAckReasonCode.MALFORMED_PACKET,
    0x82: ConnAckReasonCode.PROTOCOL_ERROR,
    0x95: ConnAckReasonCode.PACKET_TOO_LARGE,
}
OLD_CONNACK = bytes((0x20, 2, 0, 1))

_LEVELS = r"(?:[^/+#\0]*|\+)(?:/(?:[^/+#\0]*|\+))*(?:/#)?|#"  # section 4.7.1
_FILTER = re.compile(rf"(?!\$share/)(?:{_LEVELS})|\$share/([^/+#\0]+)/((?:{_LEVELS}))")  # section 4.8.2


class Refused(Exception):
    """The client broke MQTT: what its DISCONNECT says, or its CONNACK (MQTT 5, section 4.13)."""

    def __init__(self, reason: DisconnectReasonCode, connack: bytes | None = None) -> None:
        super().__init__()
        self.reason = reason
        self.connack = connack or mqtt5.ConnAckPacket(reason_code=CONNACK.get(int(reason), PLAIN)).write()


def frame(buffer: memoryview, start: int) -> tuple[int, int] | None:
    """(begin of the body, end) of the packet at `start`; None while it is not all there (section 2.1.4). Raises Refused."""
    length = 0
    for place in range(start + 1, min(len(buffer), start + 5)):
        length |= (buffer[place] & 0x7F) << 7 * (place - start - 1)
        if buffer[place] < 0x80:
            if place + 1 - start + length > MAX_PACKET:
                raise Refused(DisconnectReasonCode.PACKET_TOO_LARGE)
            return (place + 1, place + 1 + length) if place + 1 + length <= len(buffer) else None
    if len(buffer) >= start + 5:
        raise Refused(MALFORMED)
    return None


def decoded(packet: memoryview, body: memoryview) -> Any:
    """What the codec makes of one whole packet, and the checks that the codec leaves to others. Raises Refused."""
    if packet[0] >> 4 == 1 and bytes(body[:6]) == b"\0\4MQTT" and len(body) > 6 and body[6] != 5:  # [MQTT-3.1.2-2]
        other = mqtt5.ConnAckPacket(reason_code=ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION).write()
        raise Refused(PROTOCOL_ERROR, OLD_CONNACK if body[6] in (3, 4) else other)
    try:
        result, used = mqtt5.read(packet)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # mqtt5 0.8 panics on text that is not UTF-8, and a panic is no Exception
        raise Refused(MALFORMED) from None
    malformed, texts = used != len(packet), ()
    if isinstance(result, mqtt5.ConnectPacket):
        flags = body[7]
        malformed |= bool(flags & 1) or (not flags & 4 and bool(flags & 0x38))  # [MQTT-3.1.2-3], [MQTT-3.1.2-11], [-13]
        texts = (result.client_id, result.username or "", result.will.topic if result.will else "")
    elif isinstance(result, mqtt5.PublishPacket):
        malformed |= result.qos == QOS[0] and result.duplicate  # [MQTT-3.3.1-2]
        texts = (result.topic, result.response_topic or "")
    elif isinstance(result, mqtt5.SubscribePacket):
        malformed |= not all(_FILTER.fullmatch(wanted.pattern) and wanted.pattern for wanted in result.topic_filters)
    elif isinstance(result, mqtt5.UnsubscribePacket):
        malformed |= not all(_FILTER.fullmatch(pattern) and pattern for pattern in result.patterns)
    if malformed or any("\0" in text for text in texts):  # [MQTT-1.5.4-2]
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

    __slots__ = ("broker", "buffer", "ended", "heard", "inflight", "keep_alive_s", "last_id", "max_packet", "name", "out",
                 "patterns", "paused", "queue", "role", "transport", "will", "window")  # fmt: skip

    def __init__(self, broker: "Broker") -> None:
        self.broker, self.name, self.role = broker, "", ""
        self.buffer, self.out = b"", []
        self.ended = self.paused = False
        self.heard, self.keep_alive_s = time.monotonic(), CONNECT_WITHIN_S / 1.5
        self.will: mqtt5.Will | None = None
        self.max_packet, self.window, self.last_id = MAX_PACKET, 0, 0
        self.inflight: set[int] = set()
        self.queue: collections.deque[tuple[Message, bool, int | None]] = collections.deque()
        self.patterns: set[str] = set()

    # -- the connection ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.broker.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(why="connection lost")

    def pause_writing(self) -> None:
        self.paused = True
        self.transport.pause_reading()  # who does not read is not read either: answers cannot pile up

    def resume_writing(self) -> None:
        self.paused = False
        if not self.ended:
            self.transport.resume_reading()
            self.drain()

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        view, start = memoryview(self.buffer + data if self.buffer else data), 0
        try:
            while not self.ended and start < len(view) and (found := frame(view, start)):
                body, end = found
                self.handle(decoded(view[start:end], view[body:end]))
                start = end
        except Refused as refused:
            self.broker.count("malformed" if refused.reason == MALFORMED else "refused", self.name, int(refused.reason))
            if not self.name and view[start] >> 4 == 1:
                self.send(refused.connack)
            self.end(refused.reason, why="broke the protocol")
        except Exception as error:
            self.broker.count("internal", self.name, type(error).__name__)
            self.end(DisconnectReasonCode.UNSPECIFIED_ERROR, why="defect of the broker")
        self.buffer = bytes(view[start:])

    def send(self, packet: bytes) -> None:
        """Joins what one turn of the loop writes; a packet longer than the client takes is dropped ([MQTT-3.1.2-24])."""
        if len(packet) <= self.max_packet:
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
            self.ended = True
            if reason is not None and self.name:
                self.send(mqtt5.DisconnectPacket(reason_code=reason).write())
            self.flush()
            self.transport.close()
            self.broker.loop.call_later(CLOSE_WITHIN_S, self.transport.abort)
            self.broker.leave(self, will, why)

    # -- what comes in ----------------------------------------------------------------------------------------------------

    def handle(self, packet: Any) -> None:
        """One packet to its place in PACKETS; CONNECT comes first and once (section 3.1)."""
        if isinstance(packet, mqtt5.ConnectPacket) == bool(self.name):
            raise Refused(PROTOCOL_ERROR)
        handler = PACKETS.get(type(packet))
        if handler is None:
            raise Refused(PROTOCOL_ERROR)
        handler(self, packet)

    def on_connect(self, packet: mqtt5.ConnectPacket) -> None:
        name, will = packet.username or "", packet.will
        role = self.broker.authenticate(name, packet.password or b"")
        for wrong, reason in (
            (packet.authentication_method is not None, ConnAckReasonCode.BAD_AUTHENTICATION_METHOD),
            (role is None, ConnAckReasonCode.BAD_USER_NAME_OR_PASSWORD),
            (packet.client_id != name, ConnAckReasonCode.CLIENT_ID_NOT_VALID),
            (will and will.qos not in QOS, ConnAckReasonCode.QUALITY_NOT_SUPPORTED),
            (will and not self.broker.may(role or "", name, "write", will.topic), ConnAckReasonCode.NOT_AUTHORIZED),
            (will and len(will.payload or b"") > MAX_PAYLOAD, ConnAckReasonCode.PACKET_TOO_LARGE),
        ):
            if wrong:
                self.broker.count("connect refused", name if topics.is_id(name) else "", int(reason))
                self.send(mqtt5.ConnAckPacket(reason_code=reason).write())
                return self.end()
        if older := self.broker.clients.get(name):
            older.end(DisconnectReasonCode.SESSION_TAKEN_OVER, why="taken over")
        self.name, self.role, self.will = name, role or "", will
        self.window = min(packet.receive_max, INFLIGHT[self.role])
        self.max_packet = min(packet.max_packet_size or MAX_PACKET, MAX_PACKET)
        self.keep_alive_s = min(packet.keep_alive or MAX_KEEP_ALIVE_S, MAX_KEEP_ALIVE_S)
        self.broker.clients[name] = self
        self.broker.log("connected", client=name)
        self.send(
            mqtt5.ConnAckPacket(
                receive_max=INFLIGHT[self.role],
                max_packet_size=MAX_PACKET,
                max_qos=QOS[1],
                session_expiry_interval=0 if packet.session_expiry_interval else None,
                server_keep_alive=self.keep_alive_s if self.keep_alive_s != packet.keep_alive else None,
            ).write()
        )

    def on_publish(self, packet: mqtt5.PublishPacket) -> None:
        topic = packet.topic
        for wrong, reason in (
            (packet.qos not in QOS, DisconnectReasonCode.QOS_NOT_SUPPORTED),
            (packet.topic_alias is not None, DisconnectReasonCode.TOPIC_ALIAS_INVALID),
            (packet.subscription_ids, PROTOCOL_ERROR),  # [MQTT-3.3.4-6]
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
        if not packet.topic_filters:
            raise Refused(PROTOCOL_ERROR)  # [MQTT-3.8.3-2]
        codes, retained = [], []
        for wanted in packet.topic_filters:
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
        if not packet.patterns:
            raise Refused(PROTOCOL_ERROR)  # [MQTT-3.10.3-2]
        codes = [
            UnsubAckReasonCode.SUCCESS if self.broker.unsubscribe(pattern, self) else UnsubAckReasonCode.NO_SUBSCRIPTION_EXISTED
            for pattern in packet.patterns
        ]
        self.send(mqtt5.UnsubAckPacket(packet.packet_id, codes).write())

    def on_pingreq(self, packet: mqtt5.PingReqPacket) -> None:
        self.send(mqtt5.PingRespPacket().write())

    def on_disconnect(self, packet: mqtt5.DisconnectPacket) -> None:
        self.end(will=packet.reason_code != DisconnectReasonCode.NORMAL_DISCONNECTION, why="disconnected")

    # -- what goes out ----------------------------------------------------------------------------------------------------

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
        while self.queue and len(self.inflight) < self.window and not self.paused:
            message, retain, identifier = self.queue.popleft()
            self.last_id = self.last_id % 65535 + 1
            while self.last_id in self.inflight:
                self.last_id = self.last_id % 65535 + 1
            packet = message.packet(1, retain, self.last_id, identifier)
            if packet is not None and len(packet) <= self.max_packet:
                self.inflight.add(self.last_id)
                self.send(packet)


# What a client may send after CONNACK; every other packet is a protocol error.
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

    # -- who may what -----------------------------------------------------------------------------------------------------

    def authenticate(self, name: str, password: bytes) -> str | None:
        """The role of a name whose password is right, or None."""
        if name in self.bridges:
            return "bridge" if hmac.compare_digest(self.bridges[name], password) else None
        self.reload()
        device = self.registry.get(name)
        right = verify_mqtt_password(device.mqtt_password_hash if device else NOBODY, password)
        return "device" if device and right else None

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
                self.log("registry", problem=str(error))
            self.counts["registry"] += 1
            return
        if changed:
            self.counts["registry"] = 0
            for client in [client for client in self.clients.values() if client.role == "device"]:
                if self.registry.get(client.name) is None:
                    client.end(DisconnectReasonCode.NOT_AUTHORIZED, why="revoked")

    # -- who gets what ----------------------------------------------------------------------------------------------------

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
            self.log("left", client=client.name, why=why)
        if will and client.will:
            self.tap(client.will)
            retain = client.will.retain and self.retains(client.will.topic)
            if retain == client.will.retain:
                self.publish(Message(client.will), client)

    # -- time, tap and end ------------------------------------------------------------------------------------------------

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
            self.log(event, client=client, detail=detail, count=self.counts[event])

    def log(self, event: str, **members: object) -> None:
        print(json.dumps({"time": round(time.time(), 3), "event": event} | members), file=sys.stderr, flush=True)

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
