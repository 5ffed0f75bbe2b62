"""P-256 against vectors of strangers (RFC 6979, Wycheproof), against plain affine arithmetic, and where formulas have holes.

Not for EDHOC and DPoP: here are points and scalars only.
"""

import strangers

from latchpin import runtime
from latchpin.crypto import p256

ENGINES = [(p256.pure_public_key, p256.pure_ecdh, p256.pure_sign)]
if runtime.host_engine:
    ENGINES.append((p256.public_key, p256.ecdh, p256.sign))

# SP 800-186, section 3.2.1.3.
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def number(value):
    return value.to_bytes(32, "big")


def xy(point):
    return number(point[0]) + number(point[1])


def affine_add(one, other):
    # The group law as SEC 1, section 2.2.1, writes it; None is the point at infinity.
    if one is None or other is None:
        return one or other
    if one[0] == other[0]:
        if (one[1] + other[1]) % P == 0:
            return None
        slope = (3 * one[0] * one[0] - 3) * pow(2 * one[1], P - 2, P)
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], P - 2, P)
    x = (slope * slope - one[0] - other[0]) % P
    return x, (slope * (one[0] - x) - one[1]) % P


DOUBLED = [G]


def multiple(scalar):
    # scalar times G, by plain additions of 2^i G.
    total = None
    for bit in range(256):
        if len(DOUBLED) == bit:
            DOUBLED.append(affine_add(DOUBLED[-1], DOUBLED[-1]))
        if scalar >> bit & 1:
            total = affine_add(total, DOUBLED[bit])
    return total


def negative(point):
    return point[0], P - point[1]


def comb_entry(index):
    total = multiple(1 << 192)
    for row in range(3):
        point = multiple(1 << 64 * row)
        total = affine_add(total, point if index >> row & 1 else negative(point))
    return total


def refuses(function, *arguments):
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)
    return ""


def test_on_cpython_the_names_without_prefix_are_the_host_engine():
    for name in ("public_key", "ecdh", "sign"):
        assert (getattr(p256, name) is getattr(p256, "pure_" + name)) == (runtime.host_engine is None)


def test_the_comb_table_is_made_of_multiples_of_the_base_point():
    assert len(p256._COMB) == 8 * 64
    for index in range(8):
        assert p256._COMB[64 * index : 64 * index + 64] == xy(comb_entry(index)), index


def test_signatures_are_those_of_rfc_6979_appendix_a_2_5():
    private, public, signatures = strangers.rfc6979_p256_sha256()
    assert [message for message, _ in signatures] == [b"sample", b"test"]
    for public_key, _, sign in ENGINES:
        assert public_key(private) == public
        for message, signature in signatures:
            assert sign(private, message) == signature


def test_ecdh_agrees_with_wycheproof():
    cases = strangers.wycheproof("ecdh_secp256r1_ecpoint_test.json")
    assert len(cases) == 355
    refused = 0
    for _, case in cases:
        private = number(int(case["private"], 16))
        public = bytes.fromhex(case["public"])[1:]  # without SEC 1's form byte; 32 bytes are x alone
        for _, ecdh, _ in ENGINES:
            try:
                assert ecdh(private, public).hex() == case["shared"], case["tcId"]
                assert case["result"] != "invalid", case["tcId"]
                assert ecdh(private, public[:32]).hex() == case["shared"], case["tcId"]
            except ValueError as error:
                assert case["result"] == "invalid" and str(error) == "p256 public key", case["tcId"]
                refused += 1
    assert refused == 24 * len(ENGINES)


def test_the_group_law_holds_at_wycheproofs_edge_cases_of_ecdsa():
    # The device signs and never verifies: here verification (FIPS 186-5, section 6.4.2) is put together from its two
    # multiplications, for it meets far more corners than signing does.
    cases = strangers.wycheproof("ecdsa_secp256r1_sha256_p1363_test.json")
    assert len(cases) == 262
    base = number(G[0]) + number(G[1])
    valid = 0
    for group, case in cases:
        signature = bytes.fromhex(case["sig"])
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        good = len(signature) == 64 and 0 < r < N and 0 < s < N
        if good:
            public = bytes.fromhex(group["publicKey"]["uncompressed"])[1:]
            digest = int.from_bytes(runtime.sha256(bytes.fromhex(case["msg"])), "big") % N
            inverse = p256._inverse(s, N)
            assert inverse * s % N == 1
            point = None
            for scalar, times in ((digest * inverse % N, times_base), (r * inverse % N, times_point)):
                if scalar:
                    point = affine_add(point, times(scalar, public))
            good = point is not None and point[0] % N == r
        assert good == (case["result"] == "valid"), case["tcId"]
        valid += good
    assert valid == 173
    assert base == p256.pure_public_key(number(1))


def times_base(scalar, _):
    return p256._affine(p256._multiply_base(scalar))


def times_point(scalar, public):
    # ECDH wants x alone: y of an even multiple has the other sign.
    point = p256._affine(p256._multiply(scalar, p256._point(public)))
    return point if scalar & 1 else negative(point)


def test_small_and_large_multiples_of_the_base_point_are_those_of_plain_addition():
    point = None
    for scalar in range(1, 41):
        point = affine_add(point, G)
        for public_key, ecdh, _ in ENGINES:
            assert public_key(number(scalar)) == xy(point), scalar
            assert public_key(number(N - scalar)) == xy(negative(point)), scalar
            assert ecdh(number(scalar), xy(G)) == ecdh(number(N - scalar), xy(G)) == number(point[0]), scalar


def test_scalars_at_the_edges_of_the_digits_come_out_right():
    scalars = [(1 << bit) + off for bit in (1, 4, 63, 64, 65, 128, 192, 255) for off in (-1, 0, 1)]
    scalars += [N - (1 << bit) + off for bit in (64, 192, 224) for off in (-1, 0, 1)]
    scalars += [(N - 1) // 2, (N + 1) // 2, int("55" * 32, 16), int("aa" * 32, 16), int("0f" * 32, 16), int("f0" * 32, 16)]
    for scalar in scalars:
        expected = multiple(scalar)
        for public_key, ecdh, _ in ENGINES:
            assert public_key(number(scalar)) == xy(expected), scalar
            assert ecdh(number(scalar), xy(G)) == number(expected[0]), scalar


def test_an_addition_meets_the_same_point_twice_only_for_the_scalars_2_and_n_minus_2():
    # k = 2v + t (comb) or 16v + t (window) with that multiple of v equal to t modulo n, hence k = 2t modulo n. The digits of
    # each such k are taken apart here; that ECDH's 2 and n - 2 come out right shows the test of small multiples.
    found = []
    for index in range(16):
        signs = [1 if index >> row & 1 else -1 for row in range(4)]
        for shift in (64, 1):
            entry = 0
            for row in range(4):
                entry += signs[row] << shift * row
            scalar = 2 * entry % N
            if scalar & 1:  # n - scalar takes the place of an even one, and has the opposite digits
                digits = int.from_bytes(p256._digits(scalar)[0], "big")
                if signs == [1 if digits >> shift * row & 1 else -1 for row in range(4)]:
                    found.append((shift, scalar))
    assert found == [(1, N - 2)]


def test_two_sides_agree_and_signatures_differ_by_message_and_key():
    for public_key, ecdh, sign in ENGINES:
        one, other = p256.new_private(runtime.random_bytes), p256.new_private(runtime.random_bytes)
        assert ecdh(one, public_key(other)) == ecdh(other, public_key(one)[:32])
        signatures = {sign(one, b"a"), sign(one, b"b"), sign(other, b"a"), sign(one, b"a")}
        assert len(signatures) == 3
        assert len(sign(one, b"a" * 1000)) == 64


def test_private_keys_outside_one_to_n_minus_one_are_refused():
    public = p256.pure_public_key(number(7))
    for private in (
        b"",
        bytes(31),
        bytes(32),
        number(N),
        number(N + 1),
        b"\xff" * 32,
        number(5) + b"\x00",
        bytes(31) + b"\x05\x00",
    ):
        for public_key, ecdh, sign in ENGINES:
            assert refuses(public_key, private) == "p256 private key", private
            assert refuses(ecdh, private, public) == "p256 private key", private
            assert refuses(sign, private, b"message") == "p256 private key", private
    for private in (number(1), number(N - 1)):
        for public_key, _, _ in ENGINES:
            assert public_key(private)[:32] == number(G[0])


def test_public_keys_off_the_curve_are_refused():
    # SP 800-56A rev. 3, section 5.6.2.3.3: coordinates below p, and on the curve.
    x, y = G
    no_root = 5
    while pow((no_root**3 - 3 * no_root + B) % P, (P - 1) // 2, P) == 1:
        no_root += 1
    bad = [
        b"",
        bytes(31),
        bytes(33),
        bytes(63),
        bytes(64),
        bytes(65),
        xy((x, y ^ 1)),
        xy((y, x)),
        xy((x, 0)),
        number(x) + b"\xff" * 32,
        b"\xff" * 32 + number(y),
        b"\xff" * 64,
        number(P),
        b"\xff" * 32,
        number(no_root),
        xy(G) + b"\x00",
        b"\x04" + xy(G),
        b"\x02" + number(x),
    ]
    for off in range(1, 4):
        # x and y of a true point, each with p added where that still fits 32 bytes
        for scalar in range(1, 4):
            point = multiple(scalar)
            if point[0] + off * P < 1 << 256:
                bad.append(xy((point[0] + off * P, point[1])))
    assert multiple(2)[0] + P >= 1 << 256
    for public in bad:
        for _, ecdh, _ in ENGINES:
            assert refuses(ecdh, number(3), public) == "p256 public key", public


def test_x_equal_to_p_plus_something_is_not_taken_for_that_something():
    # x = 5 is on the curve; 5 + p fits 32 bytes and must not pass for it.
    assert pow((5**3 - 15 + B) % P, (P - 1) // 2, P) == 1
    for _, ecdh, _ in ENGINES:
        assert ecdh(number(1), number(5)) == number(5)
        assert refuses(ecdh, number(1), number(5 + P)) == "p256 public key"


def test_y_equal_to_p_plus_something_is_not_taken_for_that_something():
    # The point with y = 1 (found by solving x^3 - 3x + B - 1 = 0 modulo p).
    x = 0x09E78D4EF60D05F750F6636209092BC43CBDD6B47E11A9DE20A9FEB2A50BB96C
    for _, ecdh, _ in ENGINES:
        assert ecdh(number(1), xy((x, 1))) == number(x)
        assert refuses(ecdh, number(1), xy((x, 1 + P))) == "p256 public key"


def test_a_nonce_that_is_not_below_n_is_passed_over_as_rfc_6979_section_3_2_h_says():
    hmac = p256.pure_hmac_sha256
    made = []

    def first_candidate_too_large(key, data):
        made.append((key, data))
        return b"\xff" * 32 if len(made) == 5 else hmac(key, data)

    p256.pure_hmac_sha256 = first_candidate_too_large
    try:
        signature = p256.pure_sign(number(12345), b"message")
    finally:
        p256.pure_hmac_sha256 = hmac
    key = hmac(made[4][0], b"\xff" * 32 + b"\x00")
    nonce = hmac(key, hmac(key, b"\xff" * 32))
    assert signature[:32] == number(multiple(int.from_bytes(nonce, "big"))[0] % N)
    assert len(made) == 8


def test_a_new_private_key_is_what_random_gave_and_a_stuck_generator_is_refused():
    answers = [bytes(32), number(N), number(N - 1), b"\x01" * 32]
    asked = []

    def random(size):
        asked.append(size)
        return answers[len(asked) - 1]

    assert p256.new_private(random) == number(N - 1)
    assert asked == [32, 32, 32]
    for stuck in (bytes(32), b"\xff" * 32):
        assert refuses(p256.new_private, lambda size, stuck=stuck: stuck)


def test_blinding_changes_nothing_whatever_the_generator_gives():
    random_bytes = runtime.random_bytes
    expected = p256.pure_public_key(number(12345)), p256.pure_sign(number(12345), b"message")
    try:
        for stuck in (bytes(32), b"\xff" * 32, b"\x80" + bytes(31)):
            runtime.random_bytes = lambda size, stuck=stuck: stuck
            assert (p256.pure_public_key(number(12345)), p256.pure_sign(number(12345), b"message")) == expected
    finally:
        runtime.random_bytes = random_bytes


def test_no_refusal_quotes_a_key():
    private = b"\xff" * 32
    assert "ff" not in refuses(p256.pure_sign, private, b"") and "255" not in refuses(p256.pure_sign, private, b"")
