"""The first packets of an MQTT 5 connection: CONNECT and SUBSCRIBE, and what the broker says to them.

Not kept in memory: mqtt_link.py unloads it when the connection stands. Section numbers are those of MQTT 5.0.
"""

from latchpin.adapters import tls_stream
from latchpin.adapters.mqtt_link import MAX_REMAINING, RECEIVE_MAXIMUM, packet, skip, string, varint
from latchpin.adapters.stream import LinkError

# Sizes of the properties of a CONNACK by identifier (3.2.2.3): 0 a string, 5 a pair of strings, 9 none of them.
_SIZES = b"\x09" * 17 + b"\4\0\2\x09\0\0\x09\x09\x09\0\x09\0\x09\x09\0\x09\2\2\x09\1\1\5\4\1\1\1"


async def open_stream(broker: dict, first: bytes, timeout_s: int) -> tuple:
    """(reader, writer) of a connection to the broker, `first` on its way. Raises LinkError."""
    host = broker["host"]
    context = broker.get("context")
    try:
        if context is None:
            context = tls_stream.tls_context(broker.get("pin"), broker.get("ca"))
        elif broker.get("due"):
            tls_stream.require_ca(context, broker["ca"])
    except (OSError, ValueError, MemoryError):
        raise LinkError("tls", "pin or ca file of the broker cannot be used, or no memory")
    # Kept for the next connection: its three kilobytes in one piece are hard to find in a heap at work.
    broker["context"] = context
    broker["due"] = False
    return await tls_stream.open_tls(host, broker["port"], broker.get("server_name") or host, context, first, timeout_s)


def hello(client_id: str, password: str, will: tuple[str, bytes] | None, keepalive_s: int) -> bytes:
    """CONNECT: clean start, session expiry 0, the client id as username, the will retained at QoS 1."""
    name = string(client_id)
    last = b"\0" + string(will[0]) + string(will[1]) if will else b""
    head = b"\0\x04MQTT\x05" + bytes((0xEE if will else 0xC2,)) + keepalive_s.to_bytes(2, "big")
    # Receive Maximum and Maximum Packet Size (3.1.2.11).
    limits = b"\x08\x21" + RECEIVE_MAXIMUM.to_bytes(2, "big") + b"\x27" + MAX_REMAINING.to_bytes(4, "big")
    return packet(0x10, b"".join((head, limits, name, last, name, string(password))), 0)


def welcome(answer: bytes) -> dict:
    """The numbers in a CONNACK by property identifier. Raises LinkError ("refused"); LookupError, ValueError: no CONNACK."""
    if answer[1]:
        raise LinkError("refused", "connection", answer[1])
    limits = {}
    at = varint(answer, 2)[1]
    end = skip(answer, 2)
    while at < end:
        kind = answer[at]
        size = _SIZES[kind]
        at += 1
        if size == 9:
            raise ValueError
        if size in (0, 5):
            for _ in range(2 if size else 1):
                at += 2 + (answer[at] << 8 | answer[at + 1])
        else:
            limits[kind] = int.from_bytes(answer[at : at + size], "big")
            at += size
    if not limits.get(0x24, 1):
        raise LinkError("refused", "no QoS 1 here", 0x9B)
    return limits


def subscription(topics) -> bytes:
    """The payload of a SUBSCRIBE: QoS 1, nothing retained at subscription, retain bit kept (3.8.3.1)."""
    return b"\0" + b"".join([string(topic) + b"\x29" for topic in topics])


def granted(answer: bytes) -> None:
    """Raises LinkError where a SUBACK refuses."""
    for reason in answer[skip(answer, 2) :]:
        if reason >= 0x80:
            raise LinkError("refused", "subscription", reason)
