"""What a refresh token is: the family that it belongs to, 16 bytes that lead to the next one, and a seal that says it is ours.

Not for what a token is worth: token_endpoint.py compares it with the newest of its family. None is ever stored.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

from host_sim.authorization_server.keys import Keys

_FAMILY, _CHAIN, _SEAL = 8, 16, 8


class RefreshToken(NamedTuple):
    """`digest` is what is kept of it. Prints nothing of the text."""

    text: str
    family: str
    digest: bytes

    def __repr__(self) -> str:
        return f"RefreshToken(family={self.family!r})"


class RefreshTokens:
    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def first(self, family: str) -> RefreshToken:
        return self._sealed(bytes.fromhex(family) + secrets.token_bytes(_CHAIN))

    def after(self, token: RefreshToken) -> RefreshToken:
        """A function of its predecessor: a repeated request gets the same one."""
        return self._sealed(bytes.fromhex(token.family) + self._keys.keyed_hash("successor", token.text)[:_CHAIN])

    def read(self, text: str) -> RefreshToken | None:
        """None: this AS never made it."""
        try:
            data = urlsafe_b64decode(text + "=")
        except ValueError:
            return None
        if len(data) != _FAMILY + _CHAIN + _SEAL:
            return None
        made = self._sealed(data[:-_SEAL])
        return made if hmac.compare_digest(made.text.encode(), text.encode()) else None

    def _sealed(self, named: bytes) -> RefreshToken:
        digest = self._keys.keyed_hash("refresh token", named.hex())
        text = urlsafe_b64encode(named + digest[:_SEAL]).rstrip(b"=").decode()
        return RefreshToken(text, named[:_FAMILY].hex(), digest[_SEAL:])
