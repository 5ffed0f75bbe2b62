"""The contract's frames at a host's speed: a deterministic encoding has one layout, so it is cut and joined in place of CBOR.

Not another contract: what does not have that layout goes to latchpin.wire, and tests want the same bytes of both.
"""

from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from latchpin.wire import session
from latchpin.wire.errors import PeerError
from latchpin.wire.session import BUCKETS, Frame, Session

_TAG = 16
_LENGTH = [bytes((0x40 + size,)) for size in range(24)]  # the head of so many bytes
# 83 40 A3 04 41 kid 06 41|42 PIV 0A 48 SID 58|59 length ciphertext (wire/README.md, section 5).
_START = b"\x83\x40\xa3\x04\x41"
# Of the ciphertext, by the length of the PIV.
_ROOMS = {size: [session._room(bucket, bytes(size)) for bucket in BUCKETS] for size in (1, 2)}


def parse(payload: bytes) -> Frame | None:
    """The frame that `payload` is; None where it is none, or where only cbor.decode and session.parse can tell."""
    payload = bytes(payload)
    if len(payload) not in BUCKETS or payload[:5] != _START or payload[6] != 6:
        return None
    end = 8 + payload[7] - 0x40
    head = b"\x58" if len(payload) <= 256 else b"\x59"
    start = end + 10 + (2 if len(payload) <= 256 else 3)
    if (
        not 9 <= end <= 10
        or (end == 10 and not payload[8])
        or payload[end : end + 2] != b"\x0a\x48"
        or payload[end + 10 : start] != head + (len(payload) - start).to_bytes(start - end - 11, "big")
    ):
        return None
    return Frame(payload[5:6], payload[8:end], payload[end + 2 : end + 10], payload[start:])


class QuickSession(Session):
    """Session, for a bridge."""

    def __init__(self, *keys_and_names: Any) -> None:
        super().__init__(*keys_and_names)
        # What in nonces and additional data is always the same.
        self._nonce_of_ours, self._nonce_of_theirs = (
            int.from_bytes(session._nonce(self._iv, sender, b""), "big") for sender in (self._sender, self._recipient)
        )
        device = self._device.encode()
        start = b"\x83\x6alatchpin/1" + bytes((0x60 + len(device),)) + device
        self._up, self._down = _byte_string(start + b"\x62up"), _byte_string(start + b"\x64down")

    def seal(self, plaintext: bytes, request: tuple[bytes, bytes] | None = None) -> tuple[bytearray, tuple[bytes, bytes]]:
        if request is None or self.over():
            return super().seal(plaintext, request)  # which says what is wrong
        size, number = len(plaintext) + 1 + _TAG, self._sent
        piv = number.to_bytes(1 if number < 256 else 2, "big")
        for room in _ROOMS[len(piv)]:
            if room >= size:
                break
        else:
            return super().seal(plaintext, request)
        self._sent += 1
        sender, nonce = self._sender, (self._nonce_of_ours ^ number).to_bytes(13, "big")
        padded = plaintext + b"\x80" + bytes(room - size)
        sealed = AESCCM(self._sender_key, _TAG).encrypt(nonce, padded, _aad(*request, self._down))
        head = bytes((0x58, room)) if room < 256 else bytes((0x59, room >> 8, room & 255))
        names = (_START, sender, b"\x06", _LENGTH[len(piv)], piv, b"\x0a\x48", self.sid)
        return bytearray().join((*names, head, sealed)), (sender, piv)

    def open(self, frame: Frame, requests: object = ()) -> tuple[bytes, tuple[bytes, bytes]]:
        self._check()
        number, own = int.from_bytes(frame.piv, "big"), (frame.kid, frame.piv)
        if frame.kid != self._recipient or frame.sid != self.sid or number <= self._highest:
            raise PeerError
        nonce = (self._nonce_of_theirs ^ number).to_bytes(13, "big")
        try:
            plaintext = AESCCM(self._recipient_key, _TAG).decrypt(nonce, frame.ciphertext, _aad(*own, self._up))
        except InvalidTag:
            self._failed += 1
            self._check()
            raise PeerError from None
        self._highest = number
        plaintext = plaintext.rstrip(b"\0")
        if plaintext[-1:] != b"\x80":
            raise PeerError
        return plaintext[:-1], own


def _aad(kid: bytes, piv: bytes, options: bytes) -> bytes:
    external = b"\x85\x01\x81\x18\x1e\x41" + kid + _LENGTH[len(piv)] + piv + options
    return b"\x83\x68Encrypt0\x40" + _byte_string(external)


def _byte_string(data: bytes) -> bytes:
    # RFC 8949, section 3, for less than 256 bytes.
    return (_LENGTH[len(data)] if len(data) < 24 else bytes((0x58, len(data)))) + data
