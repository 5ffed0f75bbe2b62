"""Sealed frames between one device and one bridge replica: a Session seals, opens, and ends.

Not a store: keys live here and nowhere else, no counter outlives a boot, and there is no way to speak without a Session.
"""

from latchpin.crypto import ccm, kdf
from latchpin.crypto.ccm import xor
from latchpin.runtime import const
from latchpin.wire import cbor
from latchpin.wire.errors import ContractError, PeerError

BUCKETS = (64, 256, 1024, 2048, 4096)

_MAX_MESSAGES = const(1 << 16)
_MAX_AGE_S = const(24 * 3600)
_MAX_FAILED_TAGS = const(64)
_ALG = const(30)  # AES-CCM-16-128-128 (RFC 9053, section 4.2): key 16, nonce 13, tag 16 bytes
_TAG = const(16)


class SessionOver(PeerError):
    """This session has ended: throw it away and shake hands again."""


class Frame:
    """A payload that has the form of a frame. Nothing in it is proven before `Session.open`."""

    def __init__(self, kid: bytes, piv: bytes, sid: bytes, ciphertext: bytes):
        self.kid = kid
        self.piv = piv
        self.sid = sid
        self.ciphertext = ciphertext


def parse(payload) -> Frame:
    """The frame in `payload`: bytes from the wire, or what cbor.decode made of them.

    Raises PeerError: not a frame of exactly the form and one of the lengths that messages.cddl gives.
    """
    if isinstance(payload, (bytes, bytearray)):
        payload = cbor.decode(payload)
    if isinstance(payload, list) and len(payload) == 3 and isinstance(payload[1], dict) and len(payload[1]) == 3:
        fields = [payload[0], payload[2]] + [payload[1].get(key) for key in (4, 6, 10)]
        if all([isinstance(field, bytes) for field in fields]):
            protected, ciphertext, kid, piv, sid = fields
            fits = len(ciphertext) in [_room(bucket, piv) for bucket in BUCKETS]
            # Partial IV: no leading zeros (RFC 8613, section 5), and none beyond _MAX_MESSAGES.
            if fits and not protected and len(kid) == 1 and len(sid) == 8 and (len(piv) == 1 or (len(piv) == 2 and piv[0])):
                return Frame(kid, piv, sid, ciphertext)
    raise PeerError


class Session:
    """The keys that one handshake made (RFC 8613, section 3.2.1), in one `role`: "device" sends requests, "bridge" replies.

    `sid` names it on the wire: 8 bytes, no secret.
    """

    def __init__(self, master_secret: bytes, master_salt: bytes, c_i: bytes, c_r: bytes, device: str, role: str):
        if role not in ("device", "bridge") or c_i == c_r:
            raise ContractError
        prk = kdf.hkdf_extract(master_salt, master_secret)
        context = device.encode()
        self._device = device
        self._role = role
        # The device is EDHOC's Initiator: its Sender ID is C_R (RFC 9528, appendix A.1).
        self._sender, self._recipient = (c_r, c_i) if role == "device" else (c_i, c_r)
        self._sender_key = _derive(prk, self._sender, context, "Key", 16)
        self._recipient_key = _derive(prk, self._recipient, context, "Key", 16)
        self._iv = _derive(prk, b"", context, "IV", 13)
        self.sid = _derive(prk, b"", context, "SID", 8)
        self._sent = 0
        self._highest = -1
        self._failed = 0

    def pause(self) -> dict:
        """Everything that this session is, for `resume`: its code may leave a small heap meanwhile."""
        return dict(self.__dict__)

    def over(self, age_s: int = 0) -> bool:
        """True when this session, `age_s` seconds after its handshake, must not be used any more."""
        counted = max(self._sent, self._highest + 1)
        return age_s >= _MAX_AGE_S or counted >= _MAX_MESSAGES or self._failed >= _MAX_FAILED_TAGS

    def seal(self, plaintext: bytes, request: tuple[bytes, bytes] | None = None) -> tuple[bytearray, tuple[bytes, bytes]]:
        """(frame, (kid, piv)): the bytes to publish, and the names by which a reply says that it answers this frame. A bytearray
        is sealed in place, and becomes the frame: a chip has few holes of 2 KB.

        request: on the bridge the (kid, piv) that `open` gave with the request, on the device None.
        Raises SessionOver, and ContractError: more than the largest frame holds, or a request where none belongs.
        """
        self._check()
        if (request is None) != (self._role == "device"):
            raise ContractError
        piv = self._sent.to_bytes(1 if self._sent < 256 else 2, "big")
        for bucket in BUCKETS:
            padding = _room(bucket, piv) - _TAG - 1 - len(plaintext)
            if padding >= 0:
                break
        else:
            raise ContractError
        self._sent += 1
        own = (self._sender, piv)
        start = bytearray(cbor.encode([b"", {4: self._sender, 6: piv, 10: self.sid}, b""])[:-1])
        cbor.head(start, 2, _room(bucket, piv))
        frame = plaintext if isinstance(plaintext, bytearray) else bytearray(plaintext)
        frame[:0] = start
        frame.append(0x80)
        frame.extend(bytes(bucket - len(frame)))
        aad = self._aad(request or own, self._role == "device")
        ccm.encrypt(self._sender_key, _nonce(self._iv, self._sender, piv), memoryview(frame)[len(start) :], aad, _TAG)
        return frame, own

    def open(self, frame: Frame, requests=()) -> tuple[bytes, tuple[bytes, bytes]]:
        """(plaintext, (kid, piv) of the request): on the bridge the frame's own names, on the device those it answers.

        requests: on the device the (kid, piv) of what is unanswered, first transmission and the one repetition.
        Raises PeerError: forged, replayed, of another session, or an answer to nothing; SessionOver.
        """
        self._check()
        number = int.from_bytes(frame.piv, "big")
        if frame.kid != self._recipient or frame.sid != self.sid or number <= self._highest:
            raise PeerError
        if self._role == "bridge":
            requests = ((frame.kid, frame.piv),)
        elif not requests:
            raise PeerError
        nonce = _nonce(self._iv, frame.kid, frame.piv)
        text = bytearray(frame.ciphertext)
        for request in requests:
            aad = self._aad(request, self._role == "bridge")
            try:
                ccm.decrypt(self._recipient_key, nonce, text, aad, _TAG)
            except ValueError:
                continue
            self._highest = number
            end = len(text) - _TAG - 1
            while end and not text[end]:
                end -= 1
            if text[end] != 0x80:
                raise PeerError
            return bytes(memoryview(text)[:end]), request
        self._failed += 1
        self._check()
        raise PeerError

    def _check(self):
        if self.over():
            self._sender_key = self._recipient_key = b""
            raise SessionOver

    def _aad(self, request, up):
        options = cbor.encode(["latchpin/1", self._device, "up" if up else "down"])
        return enc_structure(cbor.encode([1, [_ALG], request[0], request[1], options]))


def resume(paused: dict) -> Session:
    """The session that said `pause`; it is to be used alone from now on."""
    session = object.__new__(Session)
    for name in paused:
        setattr(session, name, paused[name])
    return session


def enc_structure(external_aad: bytes) -> bytes:
    """The additional data of a COSE_Encrypt0 without protected headers (RFC 9052, section 5.3)."""
    return cbor.encode(["Encrypt0", b"", external_aad])


def _room(bucket, piv):
    # What an encoded frame of `bucket` bytes leaves for the ciphertext: 18 bytes of heads, kid and SID, the PIV, one more head.
    return bucket - 18 - len(piv) - (3 if bucket > 256 else 2)


def _derive(prk, identifier, context, what, length, alg=_ALG):
    # RFC 8613, section 3.2.1; "SID" is ours.
    return kdf.hkdf_expand(prk, cbor.encode([identifier, context, alg, what, length]), length)


def _nonce(iv, sender, piv):
    # RFC 8613, section 5.2.
    return xor(bytes((len(sender),)) + bytes(7 - len(sender)) + sender + bytes(5 - len(piv)) + piv, iv)
