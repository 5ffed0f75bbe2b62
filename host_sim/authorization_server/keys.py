"""The keys that the AS makes for itself on first start, each in a file of mode 0600 in the state directory.

Not for clients' secrets (settings.py) and not for what changes while it runs (storage/, signing_keys.py).
"""

import hmac
import secrets
from hashlib import blake2b
from pathlib import Path

from host_sim.authorization_server.private_file import read_or_create
from host_sim.authorization_server.signing_keys import SigningKeys


class Keys:
    """The signing keys and the pepper. Prints nothing of them."""

    def __init__(self, state: Path) -> None:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.signing_keys = SigningKeys(state / "signing_keys.json")
        self._pepper = bytes.fromhex(read_or_create(state / "pepper", lambda: secrets.token_hex(32)))
        self.metrics_token = read_or_create(state / "metrics_token", lambda: secrets.token_urlsafe(32))
        self._admin_token = read_or_create(state / "admin_token", lambda: secrets.token_urlsafe(32))

    def keyed_hash(self, purpose: str, *parts: str) -> bytes:
        """32 bytes of keyed BLAKE2b (RFC 7693) under the pepper; the same parts for another purpose give another value."""
        message = "".join([f"{len(part)}:{part}" for part in (purpose, *parts)])
        return blake2b(message.encode(), key=self._pepper, digest_size=32).digest()

    def is_admin_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._admin_token.encode())
