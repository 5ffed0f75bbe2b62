"""The keys that the AS makes for itself on first start, each in a file of mode 0600 in the state directory.

Not for clients' secrets (settings.py) and not for what changes while it runs (storage/).
"""

import hashlib
import hmac
import json
import os
import secrets
import stat
from pathlib import Path

from joserfc.jwk import ECKey, KeySet

from broker_bridge.configuration import ConfigurationError


class Keys:
    """Signing keys and the pepper. Prints nothing of them.

    `signing` holds the one key that signs, `verifying` all whose signatures count; `published` is the JWK Set
    (RFC 7517, section 5) of their public halves.
    """

    def __init__(self, state: Path) -> None:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        stored = json.loads(_read_or_create(state / "signing_keys.json", _new_signing_keys))
        keys = [ECKey.import_key(key) for key in stored["keys"]]
        self.signing = KeySet([keys[0]])
        self.verifying = KeySet(list(keys))
        self.published = {"keys": [key.as_dict(private=False, use="sig", alg="ES256") for key in keys]}
        self._pepper = bytes.fromhex(_read_or_create(state / "pepper", lambda: secrets.token_hex(32)))
        self._admin_token = _read_or_create(state / "admin_token", lambda: secrets.token_urlsafe(32))

    def keyed_hash(self, purpose: str, *parts: str) -> bytes:
        """HMAC-SHA-256 under the pepper; the same parts for another purpose give another value."""
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in (purpose, *parts))
        return hmac.digest(self._pepper, message, hashlib.sha256)

    def is_admin_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._admin_token.encode())


def _new_signing_keys() -> str:
    key = ECKey.generate_key("P-256", private=True, auto_kid=True)
    return json.dumps({"keys": [key.as_dict(private=True)]})


def _read_or_create(path: Path, make) -> str:
    # A link is created whole or not at all, so that two processes at their first start agree on one key.
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError(f"{path}: can be read by others; chmod 600 it, and make a new one if it may have been seen")
    return path.read_text().strip()
