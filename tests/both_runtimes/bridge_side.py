"""A bridge for the agent to talk to, in one object and without a network: EDHOC responder and sealed replies.

Not the bridge: broker_bridge has lakers for a responder; this one runs where lakers does not, on the chip's Python.
"""

from in_place import decrypted, encrypted

from latchpin.crypto import ccm, kdf, p256
from latchpin.runtime import random_bytes, sha256
from latchpin.wire import cbor, edhoc, messages, session
from latchpin.wire.bridge_side import is_request, pack_step

NOW_S = 1_790_000_000
REPLICA = "replica-1"


class Identity:
    """A device's identity as adapters/settings.py reads it, made on the spot."""

    def __init__(self, bridge, device="lp-7f3k2m"):
        self.device = device
        self.kid = b"\x01"
        self.private = p256.new_private(random_bytes)
        self.public = p256.public_key(self.private)
        self.bridges = [(bridge.kid, bridge.public)]


class BridgeSide:
    """Answers what the agent publishes. `requests`: every message that was opened, by rid once."""

    def __init__(self):
        self.kid = b"\x02"
        self._private = p256.new_private(random_bytes)
        self.public = p256.public_key(self._private)
        self.session = None
        self.requests = []
        self._device = None

    def meet(self, identity):
        self._device = identity

    def message_2(self, payload):
        """The payload with message_2 that answers a hello."""
        number, parts = edhoc.unpack_step(cbor.decode(payload))
        assert number == 1
        message_1 = parts[0]
        g_x, self._c_i = message_1[4:36], message_1[36:37]
        private = p256.new_private(random_bytes)
        g_y = p256.public_key(private)[:32]
        self._ephemeral = private
        self._c_r = b"\x05" if self._c_i != b"\x05" else b"\x06"
        th_2 = edhoc._hash(g_y, cbor.encode(sha256(message_1)))
        prk_2e = kdf.hkdf_extract(th_2, p256.ecdh(private, g_x))
        self._prk_3e2m = kdf.hkdf_extract(edhoc._kdf(prk_2e, 1, th_2, 32), p256.ecdh(self._private, g_x))
        cred_r = edhoc.credential(edhoc.BRIDGE, self.kid, self.public)
        context = self._c_r + cbor.encode({4: self.kid}) + cbor.encode(th_2) + cred_r
        plaintext = self._c_r + self.kid + cbor.encode(edhoc._kdf(self._prk_3e2m, 2, context, 8))
        self._th_3 = edhoc._hash(th_2, plaintext + cred_r)
        ciphertext = ccm.xor(plaintext, edhoc._kdf(prk_2e, 0, th_2, len(plaintext)))
        return pack_step(2, cbor.encode(g_y + ciphertext), REPLICA)

    def message_4(self, payload):
        """Opens the session; the payload with message_4 that answers message_3."""
        number, parts = edhoc.unpack_step(cbor.decode(payload))
        assert number == 3
        opened = decrypted(
            ccm.decrypt,
            *edhoc._key_and_nonce(self._prk_3e2m, 3, self._th_3),
            cbor.decode(parts[0]),
            session.enc_structure(self._th_3),
            8,
        )
        device = self._device
        cred_i = edhoc.credential(device.device, device.kid, device.public)
        salt = edhoc._kdf(self._prk_3e2m, 5, self._th_3, 32)
        prk_4e3m = kdf.hkdf_extract(salt, p256.ecdh(self._ephemeral, device.public))
        mac = edhoc._kdf(prk_4e3m, 6, cbor.encode({4: device.kid}) + cbor.encode(self._th_3) + cred_i, 8)
        assert opened == device.kid + cbor.encode(mac), "message_3 proves another device"
        th_4 = edhoc._hash(self._th_3, opened + cred_i)
        sealed = encrypted(ccm.encrypt, *edhoc._key_and_nonce(prk_4e3m, 8, th_4), b"", session.enc_structure(th_4), 8)
        exporter = edhoc._kdf(edhoc._kdf(prk_4e3m, 7, th_4, 32), 10, b"", 32)
        secret, salt = edhoc._kdf(exporter, 0, b"", 16), edhoc._kdf(exporter, 1, b"", 8)
        self.session = session.Session(secret, salt, self._c_i, self._c_r, device.device, "bridge")
        return pack_step(4, cbor.encode(sealed))

    def open(self, payload):
        """The request in a frame."""
        plaintext, self._request = self.session.open(session.parse(payload))
        request = messages.unpack(plaintext)
        assert is_request(request)
        self.requests.append(request)
        return request

    def reply(self, name, **fields):
        """The frame that answers the request opened last."""
        fields["rid"] = self.requests[-1]["rid"]
        if "now" not in fields:
            fields["now"] = NOW_S
        return self.session.seal(messages.pack(messages.Message(name, fields)), self._request)[0]
