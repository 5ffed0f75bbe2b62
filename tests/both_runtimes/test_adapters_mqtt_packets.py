"""The packet reader of adapters/mqtt_link.py on bytes that no broker should send, without a connection.

Not for connections: tests/adapters/test_mqtt_link.py has those.
"""

import asyncio

from latchpin.adapters import mqtt_opening
from latchpin.adapters.mqtt_link import MAX_REMAINING, RECEIVE_MAXIMUM, MqttLink, packet, skip, varint
from latchpin.adapters.stream import LinkError

CLOSING = ("protocol", "closed")


class Broker:
    """A reader that gives `data` and then the end."""

    def __init__(self, data):
        self.data = data
        self.asked = 0

    async def readexactly(self, count):
        self.asked = max(self.asked, count)
        if count > len(self.data):
            raise EOFError
        part, self.data = self.data[:count], self.data[count:]
        return part


def after(data):
    """(link, reader) after the broker said `data` and hung up; not one exception comes out."""

    async def main():
        link = MqttLink({}, "lp-test", "password")
        link._expected = None
        reader = Broker(data)
        await link._read(reader)
        return link, reader

    return asyncio.run(main())


def noise(seed):
    """An endless stream of reproducible numbers below 256 (Numerical Recipes' LCG)."""
    while True:
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        yield seed >> 16 & 255


def test_random_bytes_end_the_link_and_nothing_else():
    numbers = noise(1)
    for _ in range(1500):
        data = bytes([next(numbers) for _ in range(next(numbers) & 31)])
        link, reader = after(data)
        assert link._error.code in CLOSING
        assert reader.asked <= MAX_REMAINING and len(link._queue) <= RECEIVE_MAXIMUM


def test_random_bodies_of_every_packet_type_end_the_link_or_are_taken():
    numbers = noise(2)
    for kind in range(256):
        for _ in range(6):
            body = bytes([next(numbers) for _ in range(next(numbers) & 15)])
            link, _ = after(packet(kind, body, 0))
            assert link._error.code in CLOSING and len(link._queue) <= RECEIVE_MAXIMUM


def test_every_truncation_and_every_flipped_bit_of_a_publish_is_survived():
    good = packet(0x32, b"\x00\x04down\x00\x07\x05\x02\x00\x00\x00\x09payload", 0)
    link, _ = after(good)
    assert link._queue == [("down", b"payload", b"\x00\x07")]
    for length in range(len(good)):
        link, _ = after(good[:length])
        assert link._queue == [] and link._error.code == "closed"
    for position in range(len(good) * 8):
        flipped = bytearray(good)
        flipped[position // 8] ^= 1 << position % 8
        link, _ = after(bytes(flipped))
        assert link._error.code in CLOSING and len(link._queue) <= 1


def test_a_length_is_read_in_one_to_four_bytes_and_limited():
    for length in (0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455):
        head = packet(0x30, b"", length)
        assert varint(head, 1) == (length, len(head))
    for data in (b"\x80" * 4, b"\xff\xff\xff\xff\x7f"):
        try:
            varint(data, 0)
            raise AssertionError(data)
        except ValueError:
            pass
    assert skip(b"\x03abc-", 0) == 4
    link, reader = after(packet(0x30, b"", MAX_REMAINING + 1))
    assert link._error.code == "protocol" and reader.asked <= 2
    link, reader = after(packet(0x30, b"", MAX_REMAINING))
    assert link._error.code == "closed" and reader.asked == MAX_REMAINING


def test_a_welcome_with_any_properties_is_read_or_refused():
    numbers = noise(3)
    read = refused = 0
    for _ in range(3000):
        answer = b"\x00\x00" + bytes([next(numbers) & 63 for _ in range(next(numbers) & 31)])
        try:
            mqtt_opening.welcome(answer)
            read += 1
        except (LookupError, ValueError, LinkError):
            refused += 1
    assert read > 20 and refused > 20


def test_nothing_of_a_link_prints_its_password():
    link = MqttLink({"host": "h"}, "lp-test", "a password")
    for error in ("closed", "timeout"):
        link._lose(error, "text", 0x87)
    assert "a password" not in repr(link) + str(link) + repr(link._error) + str(link._error)
    assert str(link._error) == "closed: text (0x87)"
