"""The token's life on flash: two slots, each with a sequence number and a CRC, one of them always whole.

Not for what is written: that is agent/token_keeper.py. For a file system whose rename replaces atomically: littlefs, not FAT.
"""

import binascii
import os

from latchpin.runtime import const

_MAGIC = const(b"LP1")
_SLOTS = const(("token_a.bin", "token_b.bin"))
_HEAD = const(9)  # magic, sequence (4 bytes), length (2)


class Journal:
    """Two slots in `directory`."""

    def __init__(self, directory: str = "."):
        self._paths = [directory + "/" + slot for slot in _SLOTS]
        self._temporary = directory + "/token.tmp"

    def load(self) -> bytes | None:
        """What was stored last and whole; None if nothing is there."""
        newest = self._newest()
        return newest[1] or None if newest else None

    def store(self, data: bytes) -> None:
        """Replaces the older slot; a power cut at any moment leaves the newer. Raises OSError: flash full."""
        newest = self._newest()
        sequence, slot = (newest[0] + 1 & 0xFFFFFFFF, 1 - newest[2]) if newest else (0, 0)
        record = _MAGIC + sequence.to_bytes(4, "big") + len(data).to_bytes(2, "big") + data
        record += (binascii.crc32(record) & 0xFFFFFFFF).to_bytes(4, "big")
        with open(self._temporary, "wb") as file:
            file.write(record)
            if hasattr(os, "fsync"):
                file.flush()
                os.fsync(file.fileno())
        os.rename(self._temporary, self._paths[slot])
        if hasattr(os, "sync"):
            os.sync()

    def _newest(self):
        # (sequence, data, slot) of the younger whole slot; the sequence may wrap.
        newest = None
        for slot in (0, 1):
            found = _read(self._paths[slot])
            if found and (newest is None or (found[0] - newest[0]) & 0xFFFFFFFF < 0x80000000):
                newest = found[0], found[1], slot
        return newest


def _read(path):
    try:
        with open(path, "rb") as file:
            record = file.read()
    except OSError:
        return None
    end = len(record) - 4
    if end < _HEAD or record[:3] != _MAGIC or int.from_bytes(record[7:9], "big") != end - _HEAD:
        return None
    if (binascii.crc32(record[:end]) & 0xFFFFFFFF).to_bytes(4, "big") != record[end:]:
        return None
    return int.from_bytes(record[3:7], "big"), record[_HEAD:end]
