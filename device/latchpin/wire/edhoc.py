"""EDHOC, the initiator's side (RFC 9528): method 3, cipher suite 2, credentials by kid. Hello, Proof, Session.

Not a toolbox: no other method, no other suite, no way around message_4, and no responder (the bridge has its own).
"""

# Decoded CBOR may be anything: what has the wrong shape raises, and that is caught at one door.
# pyright: reportIndexIssue=false, reportOptionalSubscript=false

from latchpin.crypto import ccm, kdf
from latchpin.runtime import const, sha256
from latchpin.wire import cbor, topics
from latchpin.wire.errors import ContractError, PeerError

BRIDGE = "latchpin-bridge"

_SUITE = const(b"\x02")
_MAX_STEP = const(255)


def credential(subject: str, kid: bytes, public: bytes) -> bytes:
    """The CCS of a P-256 key (RFC 9528, section 3.5.2). kid: 1 or 2 bytes; public: x || y, 64 bytes."""
    return cbor.encode({2: subject, 8: {1: {1: 2, 2: kid, -1: 1, -2: public[:32], -3: public[32:]}}})


def connection_id(seed: int, taken: bytes = b"") -> bytes:
    """One of the 48 bytes that are their own CBOR integer (RFC 9528, section 3.3.2), other than `taken` (section 3.3.3)."""
    index = seed % 48
    chosen = bytes((index if index < 24 else index + 8,))
    return connection_id(seed + 1) if chosen == taken else chosen


def request_id(message_1: bytes) -> str:
    """What the device's screen and the bridge's log both call this handshake: 8 hexadecimal digits."""
    return sha256(message_1)[:4].hex()


def unpack_step(decoded) -> tuple[int, list]:
    """(number, parts) of what cbor.decode made of a handshake payload.

    Raises PeerError: not one of the five forms in messages.cddl.
    """
    number = decoded[0] if isinstance(decoded, list) and decoded else None
    if (
        type(number) is int
        and 0 <= number <= 4
        and len(decoded) == (1, 2, 3, 2, 2)[number]
        and (not number or (isinstance(decoded[1], bytes) and 0 < len(decoded[1]) <= _MAX_STEP))
        and (number != 2 or (isinstance(decoded[2], str) and topics.is_id(decoded[2])))
    ):
        return number, decoded[1:]
    raise PeerError


class Hello:
    """message_1 is out. identity: `.device`, `.kid`, `.private` (32 bytes), `.public` (64 bytes); bridges: [(kid, public)]."""

    def __init__(self, identity, bridges: list, random):
        self._identity = identity
        self._bridges = bridges
        from latchpin.crypto import p256

        # The generator's output never stands alone: a PRF under the device's long-term secret hedges it (RFC 9528, section 9.8,
        # and RFC 8937). With a stuck generator every device still has keys of its own, though one device the same ones again.
        self._begin(p256.new_private(lambda length: kdf.hmac_sha256(identity.private, b"EDHOC" + random(length))))

    def _begin(self, private, suites=_SUITE, c_i=None):
        from latchpin.crypto import p256

        public = p256.public_key(private)[:32]
        self._c_i = c_i or connection_id(public[0])
        self._private = private
        self.message_1 = b"\x03" + suites + cbor.encode(public) + self._c_i

    def answer(self, message_2: bytes) -> "Proof":
        """Checks the bridge, once. Raises PeerError: not the pinned bridge, or not an answer to this message_1."""
        from latchpin.crypto import p256

        private, self._private = self._private, None
        if private is None:
            raise ContractError
        try:
            received = cbor.decode(message_2)
            if not isinstance(received, bytes) or len(received) < 43:
                raise PeerError
            identity = self._identity
            g_y = received[:32]
            th_2 = _hash(g_y, cbor.encode(sha256(self.message_1)))
            prk_2e = kdf.hkdf_extract(th_2, p256.ecdh(private, g_y))
            plaintext = ccm.xor(received[32:], _kdf(prk_2e, 0, th_2, len(received) - 32))
            items = _sequence(plaintext, 3)
            c_r = plaintext[:1]
            if c_r != _identifier(c_r) or c_r == self._c_i or not isinstance(items[2], bytes):
                raise PeerError
            for kid, public in self._bridges:
                name = c_r + _identifier(kid)
                if plaintext[: len(name)] == name:
                    cred_r = credential(BRIDGE, kid, public)
                    prk_3e2m = kdf.hkdf_extract(_kdf(prk_2e, 1, th_2, 32), p256.ecdh(private, public))
                    context = c_r + cbor.encode({4: kid}) + cbor.encode(th_2) + cred_r + plaintext[len(name) + 9 :]
                    if _same(items[2], _kdf(prk_3e2m, 2, context, 8)):
                        break
            else:
                raise PeerError
            th_3 = _hash(th_2, plaintext + cred_r)
            prk_4e3m = kdf.hkdf_extract(_kdf(prk_3e2m, 5, th_3, 32), p256.ecdh(identity.private, g_y))
            cred_i = credential(identity.device, identity.kid, identity.public)
            mac = _kdf(prk_4e3m, 6, cbor.encode({4: identity.kid}) + cbor.encode(th_3) + cred_i, 8)
            plaintext = _identifier(identity.kid) + cbor.encode(mac)
            sealed = bytearray(plaintext + bytes(8))
            ccm.encrypt(*_key_and_nonce(prk_3e2m, 3, th_3), sealed, _aad(th_3), 8)
            return Proof(cbor.encode(sealed), prk_4e3m, _hash(th_3, plaintext + cred_i), (self._c_i, c_r, identity.device))
        except ValueError:
            raise PeerError


class Proof:
    """The bridge is the pinned one, and message_3 proves to it which device this is. No secret may leave before `confirm`."""

    def __init__(self, message_3: bytes, prk_4e3m, th_4, names):
        self.message_3 = message_3
        self._prk = prk_4e3m
        self._th_4 = th_4
        self._names = names

    def confirm(self, message_4: bytes):
        """The Session that both sides now hold, once. Raises PeerError: the bridge did not make the same keys."""
        prk, self._prk = self._prk, None
        if prk is None:
            raise ContractError
        received = cbor.decode(message_4)
        if not isinstance(received, bytes):
            raise PeerError
        received = bytearray(received)
        try:
            ccm.decrypt(*_key_and_nonce(prk, 8, self._th_4), received, _aad(self._th_4), 8)
        except ValueError:
            raise PeerError
        _sequence(bytes(received[:-8]), 0)
        from latchpin.wire.session import Session

        exporter = _kdf(_kdf(prk, 7, self._th_4, 32), 10, b"", 32)
        return Session(_kdf(exporter, 0, b"", 16), _kdf(exporter, 1, b"", 8), *self._names, role="device")


def _kdf(prk, label, context, length):
    # EDHOC_KDF (RFC 9528, section 4.1.2); every label that this side needs is below 24, so one byte.
    return kdf.hkdf_expand(prk, bytes((label,)) + cbor.encode(context) + cbor.encode(length), length)


def _key_and_nonce(prk, label, transcript):
    return _kdf(prk, label, transcript, 16), _kdf(prk, label + 1, transcript, 13)


def _aad(transcript):
    # Enc_structure of a COSE_Encrypt0 (RFC 9052, section 5.3).
    return cbor.encode(["Encrypt0", b"", transcript])


def _hash(item, rest):
    return sha256(cbor.encode(item) + rest)


def _identifier(name):
    # A byte that is a CBOR integer stands for itself, any other byte string is encoded (RFC 9528, section 3.3.2).
    return name if len(name) == 1 and name[0] & 0xDF < 24 else cbor.encode(name)


def _sequence(data, least):
    # The items of a CBOR sequence (RFC 8742): with the right head in front it is an array. What follows the `least` first items
    # is external authorization data: a label, then perhaps a byte string; a critical label is negative (RFC 9528, section 3.8).
    count = least
    while True:
        try:
            items = cbor.decode(bytes((0x80 + count,)) + data)
            break
        except PeerError:
            if count == 15:
                raise
            count += 1
    labelled = False
    for item in items[least:]:
        if type(item) is int and item >= 0:
            labelled = True
        elif labelled and isinstance(item, bytes):
            labelled = False
        else:
            raise PeerError
    return items


def _same(one, other):
    # All bytes are compared, so that time does not tell how many agree.
    different = len(one) ^ len(other)
    for a, b in zip(one, other):
        different |= a ^ b
    return not different
