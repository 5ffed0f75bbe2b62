"""The keys that sign access tokens (ES256): the next one, the one that signs, and those whose tokens still live.

Not for when to rotate: a person does (`latchpin as key rotate`). A server that runs sees it in the file.
"""

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, KeySet

from host_sim.authorization_server import private_file

TOKENS_LIVE_S = 3660  # the longest access_token_ttl_s, and a clock that goes wrong by a minute


@dataclass(frozen=True)
class SigningKey:
    """`signs_from`, epoch seconds: until then it is published alone."""

    key: ECKey
    signs_from: int

    @property
    def kid(self) -> str:
        return str(self.key.kid)


class SigningKeys:
    """The keys of one file, as they stand at a time. Prints nothing of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._looked_s = -1
        self._keys: list[SigningKey] = []
        private_file.read_or_create(path, lambda: _text([_new(0)]))
        self._load()

    def live(self, now_s: int) -> list[SigningKey]:
        """All that are published at `now_s`, newest first. Raises OSError or ConfigurationError: no file, or open to all."""
        keys = self._load()
        ends = [TOKENS_LIVE_S + newer.signs_from for newer in keys[:-1]]
        return keys[:1] + [key for key, end in zip(keys[1:], ends, strict=True) if end > now_s]

    def signing(self, now_s: int) -> SigningKey:
        """The newest one whose time has come. Asked at each token: the file is looked at once a second for it."""
        if self._looked_s != now_s:
            self._load()
            self._looked_s = now_s
        return next(key for key in self._keys if key.signs_from <= now_s)

    def verifying(self, now_s: int) -> KeySet:
        """All whose signatures count."""
        return KeySet([key.key for key in self.live(now_s)])

    def published(self, now_s: int) -> dict[str, Any]:
        """The JWK Set (RFC 7517, section 5) of their public halves."""
        return {"keys": [key.key.as_dict(private=False, use="sig", alg="ES256") for key in self.live(now_s)]}

    def rotate(self, now_s: int, after_s: int) -> SigningKey | None:
        """A new key, which signs in `after_s` seconds; what no living token is signed with goes. None: one waits already.

        Not for two processes at once: whoever calls it sees to that.
        """
        live = self.live(now_s)
        if live[0].signs_from > now_s:
            return None
        new = _new(now_s + after_s)
        private_file.replace(self._path, _text([new, *live]))
        return new

    def _load(self) -> list[SigningKey]:
        found = self._path.stat()
        with self._lock:
            if self._seen != (found.st_ino, found.st_mtime_ns):
                self._keys = _keys(private_file.read(self._path))
                self._seen = (found.st_ino, found.st_mtime_ns)
            return self._keys


def _new(signs_from: int) -> SigningKey:
    return SigningKey(ECKey.generate_key("P-256", private=True, auto_kid=True), signs_from)


def _text(keys: list[SigningKey]) -> str:
    return json.dumps({"keys": [key.key.as_dict(private=True) | {"signs_from": key.signs_from} for key in keys]})


def _keys(text: str) -> list[SigningKey]:
    found = [dict(entry) for entry in json.loads(text)["keys"]]
    keys = [SigningKey(signs_from=entry.pop("signs_from", 0), key=ECKey.import_key(entry)) for entry in found]
    return sorted(keys, key=lambda key: -key.signs_from)
