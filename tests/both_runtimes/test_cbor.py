"""The strict decoder and the deterministic encoder, on both Pythons: RFC 8949 appendices A and F, every limit, and noise.

Not for messages: which maps mean something stands with wire/messages.py. Agreement with cbor2: test_cbor_on_cpython.py.
"""

import strangers

from latchpin.wire import cbor
from latchpin.wire.errors import ContractError, PeerError

# The items of RFC 8949, appendix A, that the profile takes: integers to 2^53, definite strings and containers, false, true,
# null. Everything else there is a float, a tag, a simple value, of indefinite length, or a larger integer.
TAKEN = [
    "00",
    "01",
    "0a",
    "17",
    "1818",
    "1819",
    "1864",
    "1903e8",
    "1a000f4240",
    "1b000000e8d4a51000",
    "20",
    "29",
    "3863",
    "3903e7",
    "f4",
    "f5",
    "f6",
    "40",
    "4401020304",
    "60",
    "6161",
    "6449455446",
    "62225c",
    "62c3bc",
    "63e6b0b4",
    "64f0908591",
    "80",
    "83010203",
    "8301820203820405",
    "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
    "a0",
    "a201020304",
    "a26161016162820203",
    "826161a161626163",
    "a56161614161626142616361436164614461656145",
]
NOISE = 20000


def refused(data, **limit):
    try:
        cbor.decode(data, **limit)
    except PeerError as error:
        return str(error)
    return ""


def not_ours(value):
    try:
        cbor.encode(value)
    except ContractError as error:
        return str(error)
    return ""


def nested(depth):
    value = 0
    for level in range(depth):
        value = {1: value} if level & 1 else [value]
    return value


class Dice:
    """Numbers that look random and are the same on every machine (Numerical Recipes' LCG, upper bits)."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self.state >> 8) % limit


def test_of_rfc_8949_appendix_a_exactly_the_deterministic_subset_is_taken():
    items = strangers.document("cbor/appendix_a.json")
    assert len(items) == 82
    taken = []
    for item in items:
        data = bytes.fromhex(item["hex"])
        if not refused(data):
            value = cbor.decode(data)
            if "decoded" in item:
                assert value == item["decoded"], item["hex"]
                assert type(value) is type(item["decoded"]), item["hex"]
            assert cbor.encode(value) == data, item["hex"]
            taken.append(item["hex"])
    assert taken == TAKEN


def test_what_appendix_a_prints_in_diagnostic_notation_is_read_as_it_says():
    assert cbor.decode(b"\x40") == b""
    assert cbor.decode(b"\x44\x01\x02\x03\x04") == b"\x01\x02\x03\x04"
    assert cbor.decode(b"\xa2\x01\x02\x03\x04") == {1: 2, 3: 4}


def test_all_that_rfc_8949_appendix_f_calls_malformed_is_refused():
    items = strangers.document("cbor/appendix_f_malformed.json")["not_well_formed"]
    assert len(items) == 47
    for item in items:
        data = bytes.fromhex(item["hex"])
        assert refused(data), item["hex"]
        assert refused(b"\x81" + data), item["hex"]


def test_every_first_byte_is_taken_or_refused_as_the_profile_says():
    whole = set(range(0x18)) | set(range(0x20, 0x38)) | {0x40, 0x60, 0x80, 0xA0, 0xF4, 0xF5, 0xF6}
    for first in range(256):
        assert (not refused(bytes([first]))) == (first in whole), first
        assert refused(bytes([first]) + bytes(70)), first  # with zeros behind: trailing, not shortest, or not in the profile
    for first in (0xC0, 0xC1, 0xC6, 0xD7, 0xF7, 0xE0, 0xF3, 0xFF, 0x1C, 0x3D, 0x5E, 0x7F, 0x9F, 0xBF):
        assert refused(bytes([first]) + b"\x00")
        assert refused(bytes([0x82, first]) + b"\x00")
    for tagged in ("c100", "d81800", "d9010000", "da0001000000", "db000000010000000000", "c249010000000000000000", "d8184100"):
        assert refused(bytes.fromhex(tagged))
    for simple in ("f818", "f8ff", "f814", "f90000", "f97e00", "fa00000000", "fb0000000000000000"):
        assert refused(bytes.fromhex(simple))


def test_a_head_longer_than_it_needs_is_refused():
    # RFC 8949, section 4.2.1: the shortest form, in every major type.
    longer = ("1800", "1817", "190000", "1900ff", "1a00000000", "1a0000ffff", "1b0000000000000000", "1b00000000ffffffff")
    for major in range(6):
        for head in longer:
            data = bytearray(bytes.fromhex(head))
            data[0] |= major << 5
            assert refused(bytes(data) + bytes(30)) == "head", head
    for value in (23, 24, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, 1 << 53):
        for signed in (value, -value):
            assert cbor.decode(cbor.encode(signed)) == signed
    assert cbor.encode(24) == b"\x18\x18"
    assert cbor.encode(-25) == b"\x38\x18"
    assert cbor.encode(256) == b"\x19\x01\x00"
    assert cbor.encode(65536) == b"\x1a\x00\x01\x00\x00"
    assert cbor.encode(1 << 32) == b"\x1b\x00\x00\x00\x01\x00\x00\x00\x00"


def test_integers_end_at_2_to_the_53_on_both_sides():
    assert cbor.decode(bytes.fromhex("1b0020000000000000")) == 1 << 53
    assert cbor.decode(bytes.fromhex("3b001fffffffffffff")) == -(1 << 53)
    assert refused(bytes.fromhex("1b0020000000000001"))
    assert refused(bytes.fromhex("3b0020000000000000"))
    assert refused(b"\x1b" + b"\xff" * 8)
    assert refused(b"\x3b" + b"\xff" * 8)
    assert not_ours((1 << 53) + 1)
    assert not_ours(-(1 << 53) - 1)
    assert not_ours(1 << 64)


def test_four_containers_deep_and_no_deeper():
    for depth in range(5):
        assert cbor.decode(cbor.encode(nested(depth))) == nested(depth)
    assert not_ours(nested(5))
    assert refused(b"\x81" * 5 + b"\x00")
    assert refused(b"\x81" * 4 + b"\x80")
    assert refused(b"\x81" * 4 + b"\xa0")
    assert refused(b"\x81" * 4000 + b"\x00")
    assert refused(b"\xa1\x00" * 2000 + b"\x00")


def test_thirty_two_items_in_a_container_and_no_more():
    for value in ([0] * 32, dict([(key, 0) for key in range(32)])):
        assert cbor.decode(cbor.encode(value)) == value
    assert not_ours([0] * 33)
    assert not_ours(dict([(key, 0) for key in range(33)]))
    assert refused(b"\x98\x21" + bytes(33))
    pairs = b""
    for key in range(33):
        pairs += cbor.encode(key) + b"\x00"
    assert refused(b"\xb8\x21" + pairs)


def test_a_claimed_length_beyond_the_input_is_refused_before_anything_is_made_of_it():
    for major in (0x40, 0x60, 0x80, 0xA0):
        for size in (b"\x1a\x7f\xff\xff\xff", b"\x1b\x7f\xff\xff\xff\xff\xff\xff\xff", b"\x19\xff\xff", b"\x18\x40"):
            assert refused(bytes([major | size[0]]) + size[1:] + b"\x00")
    assert refused(b"\x42\x00")
    assert refused(b"\x62a")


def test_an_input_above_the_limit_of_bytes_is_refused():
    data = cbor.encode(bytes(4093))
    assert len(data) == 4096
    assert cbor.decode(data) == bytes(4093)
    assert refused(cbor.encode(bytes(4094))) == "too long"
    assert refused(b"\x82\x00\x01", max_bytes=2) == "too long"
    assert cbor.decode(b"\x82\x00\x01", max_bytes=3) == [0, 1]
    assert refused(b"")


def test_bytes_behind_the_value_are_refused():
    for good in TAKEN:
        assert refused(bytes.fromhex(good) + b"\x00") == "trailing bytes"


def test_every_value_cut_short_is_refused():
    data = cbor.encode({0: 18, 1: bytes(8), 5: "x" * 300, 7: [True, None, -70000], "key": {1: "\u6c34"}})
    assert not refused(data)
    for size in range(len(data)):
        assert refused(data[:size]), size


def test_map_keys_stand_in_the_order_of_their_bytes_and_only_once():
    # RFC 8949, section 4.2.1: the example's order, without its keys that are neither integer nor text.
    assert cbor.encode({"aa": 0, -1: 0, 100: 0, "z": 0, 10: 0}) == bytes.fromhex(
        "a5 0a00 186400 2000 617a00 62616100".replace(" ", "")
    )
    for data in ("a2 0200 0100", "a2 0100 0100", "a2 617a00 0a00", "a2 2000 0a00", "a2 62616100 617a00", "a2 617a00 617a01"):
        assert refused(bytes.fromhex(data.replace(" ", ""))) == "order", data


def test_map_keys_are_integers_or_text():
    for key in ("4100", "40", "f4", "f5", "f6", "80", "a0", "8100"):
        assert refused(bytes.fromhex("a1" + key + "00")), key
    for key in (b"", b"a", True, None, (), (1,)):
        assert not_ours({key: 0}), key
    assert cbor.decode(b"\xa2\x20\x00\x60\x00") == {-1: 0, "": 0}


def test_text_is_utf_8_to_the_letter():
    # Unicode 16, table 3-7: each first byte with the range of its second; what follows is 80 to BF.
    table = (
        (0xC2, 0xDF, 0x80, 0xBF, 2),
        (0xE0, 0xE0, 0xA0, 0xBF, 3),
        (0xE1, 0xEC, 0x80, 0xBF, 3),
        (0xED, 0xED, 0x80, 0x9F, 3),
        (0xEE, 0xEF, 0x80, 0xBF, 3),
        (0xF0, 0xF0, 0x90, 0xBF, 4),
        (0xF1, 0xF3, 0x80, 0xBF, 4),
        (0xF4, 0xF4, 0x80, 0x8F, 4),
    )
    for first in range(0x80, 0x100):
        for second in range(0x100):
            good = 0
            for low, high, from_, to, size in table:
                if low <= first <= high and from_ <= second <= to:
                    good = size
            for size in (2, 3, 4):
                raw = bytes([first, second]) + b"\x80" * (size - 2)
                assert (not refused(bytes([0x60 + size]) + raw)) == (size == good), raw
                padded = b"a" + raw + b"z"
                assert (not refused(bytes([0x60 + size + 2]) + padded)) == (size == good), padded
    for text in ("e28228", "e282ff", "f09f98c0", "c2", "e282", "f09f98", "80", "bf", "edbfbf", "fe", "ff", "c380c3", "61ff"):
        raw = bytes.fromhex(text)
        assert refused(bytes([0x60 + len(raw)]) + raw), text
    for text in (
        "",
        "\x00",
        "\x7f",
        "\x80",
        "\u07ff",
        "\u0800",
        "\ud7ff",
        "\ue000",
        "\uffff",
        "\U00010000",
        "\U0010ffff",
        "a\u20acb",
    ):
        assert cbor.decode(cbor.encode(text)) == text


def test_the_encoder_takes_nothing_else():
    class Number(int):
        pass

    for value in (1.0, float("nan"), set(), frozenset(), object(), int, Number(1), 1j, range(3), b"".join, Ellipsis):
        assert not_ours(value), value
        assert not_ours([value])
        assert not_ours({1: value})


def test_list_and_tuple_bytes_and_bytearray_are_written_alike():
    assert cbor.encode((1, [2])) == cbor.encode([1, (2,)]) == b"\x82\x01\x81\x02"
    assert cbor.encode(bytearray(b"ab")) == cbor.encode(b"ab") == b"\x42ab"
    assert cbor.encode(False) == b"\xf4"
    assert cbor.encode(True) == b"\xf5"
    assert cbor.encode(None) == b"\xf6"


def test_any_bytes_like_input_is_read_and_what_comes_out_is_bytes():
    data = b"\xa2\x01\x42ab\x02\x41c"
    for given in (data, bytearray(data), memoryview(data)):
        value = cbor.decode(given)
        assert value == {1: b"ab", 2: b"c"}
        assert type(value[1]) is bytes
    assert cbor.decode(memoryview(b"xx" + data)[2:]) == {1: b"ab", 2: b"c"}


def good_inputs():
    return [bytes.fromhex(item) for item in TAKEN] + [
        cbor.encode({0: 2, 1: bytes(range(8)), 4: 0, 5: 0, 6: "e" * 220, 7: "s" * 43, 8: {"pin": "123456789"}, 9: "c" * 43}),
        cbor.encode({0: 17, 2: 1_790_000_000, 30: [{0: "pin", 1: 0, 2: 9, 3: 9, 4: 1, 5: "PIN"}], 31: "T\u00fcr", 33: 600}),
        cbor.encode([b"", {4: b"\x01", 6: b"\x00", 10: bytes(8)}, bytes(200)]),
        cbor.encode(nested(4)),
    ]


def test_random_bytes_raise_peer_error_and_nothing_else():
    dice = Dice(8949)
    taken = 0
    for _ in range(NOISE):
        data = bytes([dice.below(256) for _ in range(1 + dice.below(24))])
        if not refused(data):
            taken += 1
            assert cbor.encode(cbor.decode(data)) == data, data
    assert 0 < taken < NOISE // 2


def test_mutated_messages_raise_peer_error_and_nothing_else():
    dice = Dice(1949)
    good = good_inputs()
    taken = 0
    for _ in range(NOISE):
        data = bytearray(good[dice.below(len(good))])
        for _ in range(1 + dice.below(3)):
            at = dice.below(len(data) + 1)
            what = dice.below(4)
            if what == 0 and at < len(data):
                data[at] ^= 1 << dice.below(8)
            elif what == 1 and at < len(data):
                data[at] = dice.below(256)
            elif what == 2:
                data = data[:at] + bytes([dice.below(256)]) + data[at:]
            else:
                data = data[:at]
        data = bytes(data)
        if not refused(data):
            taken += 1
            assert cbor.encode(cbor.decode(data)) == data, data
    assert 0 < taken < NOISE // 2


def test_no_refusal_quotes_the_input():
    for data in (b"\x68secret42\x00", b"\xa1\x48secret42\x00", b"\x78\x07secret4", b"\x69secret42", b"\x68secret4\xff"):
        text = refused(data)
        assert text and "secret" not in text
    assert "secret" not in not_ours({"secret": 1.5}) and "secret" not in not_ours({b"secret": 1})
