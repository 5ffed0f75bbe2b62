"""Files that only their owner may read: made whole or not at all, replaced whole or not at all.

Not for what stands in them: keys.py, signing_keys.py.
"""

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from broker_bridge.configuration import ConfigurationError


def read(path: Path) -> str:
    """Its text. Raises ConfigurationError: others could read it."""
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError(f"{path}: can be read by others; chmod 600 it, and make a new one if it may have been seen")
    return path.read_text().strip()


def read_or_create(path: Path, make: Callable[[], str]) -> str:
    """Its text; `make` gives it where there is no file yet. Raises ConfigurationError: others could read it."""
    if not path.exists():
        draft = _draft(path, make())
        # A link is created whole or not at all, so that two processes at their first start agree on one text.
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return read(path)


def replace(path: Path, text: str) -> None:
    """The file has this text from now on, after a power cut too."""
    _draft(path, text).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _draft(path: Path, text: str) -> Path:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft
