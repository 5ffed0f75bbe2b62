"""What this device holds from the authorization server, how long it is good for, and what of it outlives a power cut.

Not for asking: agent.py fetches and renews. The access token stays in RAM; a PIN never comes here.
"""

from latchpin.runtime import const
from latchpin.wire.errors import PeerError

# Renew when this much of the lifetime is left, in thousandths, and up to as much earlier again, by chance.
_MARGIN = const(100)

_KEPT = const(("dpop_private", "code_verifier", "auth_session", "refresh_token", "seen_s", "shown", "farewell", "erasing"))


class TokenKeeper:
    """The device's side of one authorization. Prints no secret."""

    def __init__(self, random):
        self._random = random
        self.unsaved = False  # a key or a verifier was made that no journal has
        self.forget()
        self.seen_s = 0
        # What the servers are still to be told of an unpairing: [event of the REPORT, hint and token of the REVOKE, if any].
        self.farewell = None
        self.erasing = None  # True from when a factory reset is decided until the hands have done their part

    def part(self, event: int):
        """Forget everything, but for what is to be revoked. event: as wire/README.md numbers what a REPORT tells."""
        farewell = [event]
        if self.refresh_token:
            farewell += [1, self.refresh_token]
        elif self.access_token:
            farewell += [0, self.access_token]
        elif self.farewell:
            farewell += self.farewell[1:]
        self.farewell = farewell
        self.forget()

    def forget(self):
        """Back to nothing: the next pairing gets a key and a verifier of its own."""
        # While a person has it (RFC 8628): [device_code, user_code, URI, URI for a QR code, interval in s, end in epoch seconds].
        self.shown = None
        self.dpop_private = None
        self.dpop_public = None
        self.code_verifier = None
        self.auth_session = None
        self.refresh_token = None
        self.drop_access_token()

    def drop_access_token(self):
        self.access_token = None
        self.token_type = None
        self.renew_at_ms = None
        self._ends_at_ms = None

    def dpop_key(self) -> tuple[bytes, bytes]:
        """(private, public) of the key that proofs are signed with, made now if there is none."""
        from latchpin.crypto import p256

        if self.dpop_private is None:
            self.dpop_private = p256.new_private(self._random)
            self.unsaved = True
        if self.dpop_public is None:
            self.dpop_public = p256.public_key(self.dpop_private)
        return self.dpop_private, self.dpop_public

    def code_challenge(self) -> str:
        """PKCE's, of the verifier for the pairing at hand (RFC 7636, section 4.1), made now if there is none."""
        from latchpin.agent import dpop

        if self.code_verifier is None:
            self.code_verifier = dpop.base64url(self._random(32))
            self.unsaved = True
        return dpop.s256(self.code_verifier)

    def accept(self, message, now_ms: int):
        """Take over a TOKENS message. Lifetimes count from its receipt, on a clock that nobody can set."""
        self.access_token = message.access_token
        self.token_type = message.token_type
        self.refresh_token = message.get("refresh_token", self.refresh_token)
        self.auth_session = message.get("auth_session", self.auth_session)
        self.code_verifier = self.shown = None
        life_ms = message.ttl_s * 1000
        self._ends_at_ms = now_ms + life_ms
        early = life_ms * _MARGIN // 1000
        self.renew_at_ms = now_ms + life_ms - early - early * self._random(1)[0] // 255

    def usable(self, now_ms: int) -> bool:
        # Both are set together.
        return self.access_token is not None and now_ms < self._ends_at_ms  # pyright: ignore[reportOperatorIssue]

    def pack(self) -> bytes:
        """What the journal keeps."""
        from latchpin.wire import cbor

        self.unsaved = False
        kept = {}
        for index, name in enumerate(_KEPT):
            value = getattr(self, name)
            if value is not None:
                kept[index] = value
        return cbor.encode(kept)

    def unpack(self, data: bytes):
        """Take over what the journal kept. Raises PeerError: it is not ours."""
        from latchpin.wire import cbor

        kept = cbor.decode(data)
        if not isinstance(kept, dict):
            raise PeerError
        for index, name in enumerate(_KEPT):
            if index in kept:
                setattr(self, name, kept[index])
