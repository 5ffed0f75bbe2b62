"""Pure Python against `cryptography` on what hypothesis thinks of: both engines give the same bytes, or both refuse.

Not for MicroPython: there is one engine there, and test_ccm.py, test_kdf.py and test_p256.py face it with vectors.
"""

from collections.abc import Callable
from functools import partial

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from in_place import decrypted, encrypted

from latchpin import runtime
from latchpin.crypto import ccm, kdf, p256

N = p256._N
SCALARS = st.integers(0, (1 << 256) - 1) | st.integers(0, 300) | st.integers(N - 300, N + 300)
GOOD_SCALARS = st.integers(1, N - 1) | st.integers(1, 300) | st.integers(N - 300, N - 1)
TAGS = st.sampled_from((4, 6, 8, 10, 12, 14, 16))


def both(pure: Callable[..., bytes], host: Callable[..., bytes], *arguments: object) -> tuple[bytes | str, bytes | str]:
    results: list[bytes | str] = []
    for engine in (pure, host):
        try:
            results.append(engine(*arguments))
        except ValueError:
            results.append("refused")
    return results[0], results[1]


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=500), st.integers(0, 9000))
def test_hmac_and_hkdf_give_the_same_in_both_engines(key: bytes, data: bytes, length: int) -> None:
    assert kdf.pure_hmac_sha256(key, data) == kdf.hmac_sha256(key, data)
    prk = kdf.pure_hmac_sha256(key, data)
    assert prk == kdf.hkdf_extract(key, data)
    one, other = both(kdf.pure_hkdf_expand, kdf.hkdf_expand, prk, data, length)
    assert one == other
    assert (one == "refused") == (length > 8160)


@settings(max_examples=500, deadline=None)
@given(
    st.binary(min_size=16, max_size=16) | st.binary(min_size=32, max_size=32),
    st.binary(min_size=5, max_size=15),
    st.binary(max_size=300),
    st.binary(max_size=300),
    st.integers(0, 18),
)
def test_ccm_seals_the_same_or_refuses_alike_in_both_engines(
    key: bytes, nonce: bytes, text: bytes, aad: bytes, size: int
) -> None:
    one, other = both(partial(encrypted, ccm.pure_encrypt), partial(encrypted, ccm.encrypt), key, nonce, text, aad, size)
    assert one == other
    assert (one == "refused") == (not 7 <= len(nonce) <= 13 or size not in (4, 6, 8, 10, 12, 14, 16))


@settings(max_examples=500, deadline=None)
@given(st.binary(min_size=13, max_size=13), st.binary(max_size=100), st.binary(max_size=60), TAGS, st.data())
def test_ccm_opens_the_same_or_refuses_alike_in_both_engines(
    nonce: bytes, text: bytes, aad: bytes, size: int, data: st.DataObject
) -> None:
    key = bytes(range(16))
    sealed = bytearray(encrypted(ccm.encrypt, key, nonce, text, aad, size))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(sealed) - 1))
        sealed[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    one, other = both(partial(decrypted, ccm.pure_decrypt), partial(decrypted, ccm.decrypt), key, nonce, bytes(sealed), aad, size)
    assert one == other
    if bytes(sealed) == encrypted(ccm.encrypt, key, nonce, text, aad, size):
        assert one == text


@settings(max_examples=150, deadline=None)
@given(SCALARS)
@example(0)
@example(1)
@example(N - 1)
@example(N)
def test_public_keys_are_the_same_or_refused_alike_in_both_engines(scalar: int) -> None:
    one, other = both(p256.pure_public_key, p256.public_key, number(scalar))
    assert one == other
    assert (one == "refused") == (not 0 < scalar < N)


@settings(max_examples=150, deadline=None)
@given(GOOD_SCALARS, GOOD_SCALARS)
@example(2, 1)
@example(N - 2, 1)
def test_ecdh_gives_the_same_in_both_engines_with_x_and_y_and_with_x_alone(one: int, other: int) -> None:
    public = p256.public_key(number(other))
    shared = p256.ecdh(number(one), public)
    assert p256.pure_ecdh(number(one), public) == shared
    assert p256.pure_ecdh(number(one), public[:32]) == shared
    assert p256.ecdh(number(one), public[:32]) == shared
    assert p256.pure_ecdh(number(other), p256.public_key(number(one))) == shared


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=70)
    | st.binary(min_size=32, max_size=32)
    | st.binary(min_size=64, max_size=64)
    | st.integers(0, 99).map(number)
)
def test_any_bytes_are_taken_for_a_public_key_or_refused_alike_in_both_engines(public: bytes) -> None:
    one, other = both(p256.pure_ecdh, p256.ecdh, number(7), public)
    assert one == other


@settings(max_examples=100, deadline=None)
@given(GOOD_SCALARS, st.binary(max_size=300))
def test_signatures_are_the_same_in_both_engines_and_cryptography_verifies_them(scalar: int, message: bytes) -> None:
    signature = p256.pure_sign(number(scalar), message)
    assert signature == p256.sign(number(scalar), message)
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + p256.pure_public_key(number(scalar)))
    der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    public.verify(der, message, ec.ECDSA(hashes.SHA256()))
    try:
        public.verify(der, message + b"x", ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return
    raise AssertionError


@settings(max_examples=50, deadline=None)
@given(GOOD_SCALARS, st.integers(N - 5, (1 << 256) - 1) | st.integers(0, 5))
def test_digests_not_below_n_are_signed_as_cryptography_signs_them(scalar: int, digest: int) -> None:
    class Runtime:
        random_bytes = staticmethod(runtime.random_bytes)

        @staticmethod
        def sha256(_: bytes) -> bytes:
            return number(digest)

    p256.runtime = Runtime
    try:
        signature = p256.pure_sign(number(scalar), b"")
    finally:
        p256.runtime = runtime
    private = ec.derive_private_key(scalar, ec.SECP256R1())
    algorithm = ec.ECDSA(utils.Prehashed(hashes.SHA256()), deterministic_signing=True)
    r, s = utils.decode_dss_signature(private.sign(number(digest), algorithm))
    assert signature == number(r) + number(s)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, (1 << 256) - 1), st.sampled_from((p256._P, p256._N)))
def test_the_blinded_inverse_is_an_inverse(value: int, modulus: int) -> None:
    assume(value % modulus)
    assert p256._inverse(value, modulus) * value % modulus == 1
