"""Factory reset: the journal and the networks that the device knows go; its identity, its servers and their CA files stay.

Not for telling anybody, nor for the radio, which forgets when the device starts again. What it leaves of a power cut is all that
was there, or at the next start nothing.
"""

import json
import os

from latchpin.adapters.flash_journal import Journal


def erase(directory: str = ".") -> None:
    """Raises OSError: flash full; then it goes on at the next start."""
    # From this empty entry on it is decided.
    Journal(directory).store(b"")
    finish(directory)


def finish(directory: str = ".") -> None:
    """To be called at each start before the settings are read: ends what a power cut interrupted. Raises OSError: flash full."""
    journal = Journal(directory)
    if journal.empty():
        _forget_networks(directory + "/settings.json")
        journal.erase()


def _forget_networks(path):
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read())
        del found["wifi"]
    except (OSError, ValueError, LookupError, TypeError):
        return  # none there
    # Whole or not at all.
    with open(path + ".tmp", "wb") as file:
        file.write(json.dumps(found).encode())
    os.rename(path + ".tmp", path)
