"""P-256 (FIPS 186-5, SP 800-186): key pairs, ECDH, and ES256 signatures with the deterministic nonce of RFC 6979.

Not constant time where it is pure Python: big integers take as long as their values are large, and tables are read at secret
indices. The order of point operations does not depend on the secret (odd signed digits, no zeros); still, who measures a board's
time or power at close range may learn its keys. On CPython `cryptography` does the work.
"""

from latchpin import runtime
from latchpin.crypto.kdf import pure_hmac_sha256
from latchpin.runtime import const

_P = const(0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF)
_N = const(0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551)
_B = const(0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B)

# Affine x || y of 2^192 G +- 2^128 G +- 2^64 G +- G: bit 2, 1, 0 of the index set means plus. A test computes it again.
_COMB = (
    b"\xdc\xa7\x46\x34\x84\x11\xaf\xb5\x7a\x94\x1b\x31\x00\xc7\x46\x2e\xc7\xdd\x30\x79\x02\xd8\x83\x40\x2c\x14\x7b\xd3\x02\x3e"
    b"\x0a\x99\xa3\x78\xf4\x9c\x3c\x60\x73\xe0\xef\xa2\x30\xd3\x8e\x28\x75\xb6\xd1\x70\xfe\x41\x00\x60\x63\x2c\x47\xb0\xd5\x20"
    b"\x23\x5f\x3f\xb0\x47\xb8\xc1\x5b\x59\x31\x23\x90\x87\xf5\x1b\xcf\xa6\xc7\x51\x33\x24\xfc\x08\x1a\xd4\xe6\xe5\xc5\xf7\x44"
    b"\x7e\x16\xe0\xb9\x01\x0a\xea\xb6\x9c\xfc\xb2\x7b\xce\xd9\x1d\xe9\xc2\xea\xd6\x1a\xa5\xc0\xc8\xcb\x9d\x1b\xc2\xfa\xa8\x27"
    b"\x5d\x8a\x5a\x16\xd7\xb4\xb7\x92\x39\xf2\xe1\x26\xe7\xa9\x01\x57\xaf\xf9\x55\xe9\x75\xa5\x29\x79\x4f\xcf\xde\x2a\x0f\xcb"
    b"\x47\xe3\x8d\xb2\x21\x50\x5b\x37\x0b\x39\x2f\xe3\x91\x8b\x81\xba\xc5\xc2\x03\x4c\xfc\x1d\x65\x14\x1b\x26\x6f\xda\xb9\xfb"
    b"\x48\x1d\xe5\xac\xc1\x3c\x7a\x63\x86\x51\x22\xba\xb9\x86\x68\xc6\x4a\x1d\x88\x9b\x37\xb0\x90\x17\x18\x35\x52\x37\x43\x72"
    b"\x6c\x12\xf9\x02\x1b\xc1\xdb\xd4\x0b\x53\x76\x99\xe8\x98\x04\xef\x5f\xa9\xa1\x13\xf2\x97\xc8\xda\xa7\x51\x5d\xa9\xf6\x56"
    b"\x4e\xc8\x47\x65\x37\xc4\x8f\x4e\xc8\x94\xa7\x32\x3a\x91\x3c\x3d\x83\x99\xd7\x6d\xf7\x06\x60\xcb\x57\x4a\xf4\x33\xf5\x1b"
    b"\x14\xf0\xac\xcb\xd9\xe5\xa6\xc9\x02\xa9\x73\x42\xe8\x9b\x4c\x02\xfa\xa6\xa0\x8f\x6b\x51\x56\xec\xb1\xcc\x58\xef\x27\xc6"
    b"\x20\x16\xd4\xc8\x7a\x47\xe0\x13\xc6\x87\x58\x72\x74\xc9\x3f\x9b\xe6\x8b\xa2\xba\x61\x30\x2d\x5d\x50\x8f\xdc\x2e\x7f\x8e"
    b"\xd5\x08\xa4\x3b\x83\xb7\x0b\xa6\xd2\xf4\xe0\x10\x3c\x59\xd1\x4f\x8e\xad\x7d\xb8\xca\xb2\x6c\x58\x4e\x7f\x2c\xc4\xa0\x29"
    b"\x04\x10\xb8\x83\x23\xe6\xde\x42\x70\x75\x0b\x1d\x46\xb0\xf7\x59\xeb\xd1\x78\x2f\xb0\x12\x80\xc1\x87\x81\xfb\xda\xfc\x93"
    b"\x14\x10\xb4\x14\xf9\xce\xe8\x1f\xf1\x0c\x45\xe3\x88\xa8\x1f\xd9\xd0\x3d\xe4\x7c\x24\x7d\x3c\xe7\x42\xeb\x3e\xb3\x52\x34"
    b"\xfa\x6a\xda\x4c\xbf\xe6\x1e\xe2\x0c\x94\x51\x28\xca\xda\x9a\xd5\x97\x13\xe7\xca\xa8\x7b\x21\x11\x08\x2c\xa2\x0d\xb4\x8e"
    b"\x26\xb4\x84\xf7\xa2\x1c\x0a\x4a\x46\xfb\x6a\xaf\x36\x3a\x66\xb0\xde\x32\x25\xc4\x74\x4b\x96\x15\xb5\x11\x0d\x1d\x78\xe5"
    b"\xfa\xc0\x15\x40\x4d\x4d\x3d\xab\x64\x13\x1b\xcd\xfe\xd6\xf6\x68\xc0\x04\xe4\x04\x8b\x7b\x0f\x98\x06\xeb\xb0\xf6\x21\xa0"
    b"\x1b\x2d"
)


def pure_public_key(private: bytes) -> bytes:
    """x || y (64 bytes) of the public key of a 32-byte private key.

    Raises ValueError: the private key is not in 1..n-1.
    """
    x, y = _affine(_multiply_base(_scalar(private)))
    return _bytes(x) + _bytes(y)


def pure_ecdh(private: bytes, public: bytes) -> bytes:
    """The 32-byte x coordinate of private times public (SP 800-56A, 5.7.1.2); `public` is x || y or x alone.

    Raises ValueError: the private key is not in 1..n-1, or the public key is not on the curve.
    """
    return _bytes(_affine(_multiply(_scalar(private), _point(public)))[0])


def pure_sign(private: bytes, message: bytes) -> bytes:
    """The ES256 signature r || s (64 bytes) over SHA-256 of `message` (RFC 7518, section 3.4; nonce by RFC 6979, section 3.2).

    Raises ValueError: the private key is not in 1..n-1.
    """
    secret = _scalar(private)
    digest = int.from_bytes(runtime.sha256(message), "big")
    seed = private + _bytes(digest % _N)
    v = b"\x01" * 32
    key = bytes(32)
    for separator in (b"\x00", b"\x01"):
        key = pure_hmac_sha256(key, v + separator + seed)
        v = pure_hmac_sha256(key, v)
    while True:
        v = pure_hmac_sha256(key, v)
        nonce = int.from_bytes(v, "big")
        if 0 < nonce < _N:
            r = _affine(_multiply_base(nonce))[0] % _N
            s = _inverse(nonce, _N) * (digest + r * secret) % _N
            if r and s:
                return _bytes(r) + _bytes(s)
        key = pure_hmac_sha256(key, v + b"\x00")
        v = pure_hmac_sha256(key, v)


def new_private(random) -> bytes:
    """A private key from `random(size) -> bytes`.

    Raises ValueError: the generator is stuck outside 1..n-1.
    """
    for _ in range(4):
        private = random(32)
        if 0 < int.from_bytes(private, "big") < _N:
            return private
    raise ValueError("random")


def _bytes(number):
    return number.to_bytes(32, "big")


def _scalar(private):
    scalar = int.from_bytes(private, "big")
    if len(private) != 32 or not 0 < scalar < _N:
        raise ValueError("p256 private key")
    return scalar


def _point(public):
    size = len(public)
    x = int.from_bytes(public[:32], "big")
    square = ((x * x - 3) * x + _B) % _P
    # p = 3 mod 4, hence this root (FIPS 186-5, section 6.1.1); either root has the same x after ECDH.
    y = int.from_bytes(public[32:], "big") if size == 64 else pow(square, (_P + 1) // 4, _P)
    if size not in (32, 64) or x >= _P or y >= _P or y * y % _P != square:
        raise ValueError("p256 public key")
    return x, y, 1


def _inverse(number, modulus):
    # Euclid's algorithm, five times faster than number ** (modulus - 2) and blinded: how it runs tells nothing about a secret.
    blind = int.from_bytes(runtime.random_bytes(32), "big") | 1
    a = number * blind % modulus
    b = modulus
    x = 0
    y = 1
    while a:
        quotient = b // a
        a, b = b - quotient * a, a
        x, y = y, x - quotient * y
    return x * blind % modulus


def _affine(point):
    x, y, z = point
    z = _inverse(z, _P)
    zz = z * z % _P
    return x * zz % _P, y * (z * zz % _P) % _P


def _double(point, times):
    # EFD dbl-2001-b for a = -3, Jacobian.
    x, y, z = point
    p = _P
    for _ in range(times):
        zz = z * z % p
        yy = y + y
        z = yy * z % p
        yy = yy * y % p
        alpha = 3 * (x - zz) * (x + zz) % p
        zz = yy + yy
        beta = x * zz % p
        x = (alpha * alpha - beta - beta) % p
        y = (alpha * (beta - x) - yy * zz) % p
    return x, y, z


def _add(point, other):
    # EFD add-1998-cmo-2, Jacobian; shorter where other's z is 1.
    x1, y1, z1 = point
    x2, y2, z2 = other
    p = _P
    zz = z1 * z1 % p
    x2 = x2 * zz % p
    y2 = y2 * (z1 * zz % p) % p
    if z2 != 1:
        zz = z2 * z2 % p
        x1 = x1 * zz % p
        y1 = y1 * (z2 * zz % p) % p
        z1 = z1 * z2 % p
    x2 -= x1
    y2 -= y1
    if not x2:
        # The same point: once, in ECDH with 2 or n - 2. Its negative never comes here, for 0 < scalar < n.
        return _double(point, 1)
    zz = x2 * x2 % p
    hhh = x2 * zz % p
    zz = x1 * zz % p
    x1 = (y2 * y2 - hhh - zz - zz) % p
    return x1, (y2 * (zz - x1) - y1 * hhh) % p, z1 * x2 % p


def _digits(scalar):
    # k (n - k where k is even) as 256 digits 1 or -1: a bit set means 1, a bit clear -1.
    odd = scalar & 1
    return _bytes(((scalar if odd else _N - scalar) + (1 << 256) - 1) >> 1), odd


def _multiply_base(scalar):
    # Comb of 4 rows, 64 columns.
    digits, odd = _digits(scalar)
    total = None
    for column in range(63, -1, -1):
        at = 7 - (column >> 3)
        shift = column & 7
        index = (digits[at + 8] >> shift & 1) << 2 | (digits[at + 16] >> shift & 1) << 1 | digits[at + 24] >> shift & 1
        plus = digits[at] >> shift & 1
        if not plus:
            index ^= 7
        index *= 64
        x = int.from_bytes(_COMB[index : index + 32], "big")
        y = int.from_bytes(_COMB[index + 32 : index + 64], "big")
        if plus != odd:
            y = _P - y
        total = _add(_double(total, 1), (x, y, 1)) if total else (x, y, 1)
    return total


def _multiply(scalar, point):
    # Windows of 4 digits: odd multiples -15..15 of the point. x is right, y has the other sign where the scalar is even.
    digits, _ = _digits(scalar)
    twice = _double(point, 1)
    table = [point]
    for _ in range(7):
        table.append(_add(table[-1], twice))
    total = None
    for byte in digits:
        for window in (byte >> 4, byte & 15):
            x, y, z = table[(window if window > 7 else 15 - window) & 7]
            if window < 8:
                y = _P - y
            total = _add(_double(total, 4), (x, y, z)) if total else (x, y, z)
    return total


public_key = runtime.fastest(pure_public_key)
ecdh = runtime.fastest(pure_ecdh)
sign = runtime.fastest(pure_sign)
