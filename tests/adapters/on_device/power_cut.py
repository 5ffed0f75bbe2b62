"""Cuts the power at every block operation of a journal write on littlefs. Run by test_power_cut.py; MicroPython only."""

# ruff: noqa: SIM105
import json
import sys

import vfs

from latchpin.adapters.flash_journal import Journal

OLD = b"the old state " * 40
NEW = b"the new state " * 43
BLOCK = 512


class PowerCut(OSError):
    pass


class Flash:
    """A block device in RAM. left: block operations until the power goes; torn: the last one is half done."""

    def __init__(self, data, left=1_000_000, torn=False):
        self.data = data
        self.left = left
        self.torn = torn
        self.dead = False

    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK + offset
        buffer[:] = self.data[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            offset = 0
        self._change(block * BLOCK + offset, buffer)

    def ioctl(self, operation, block):
        if operation == 4:
            return len(self.data) // BLOCK
        if operation == 5:
            return BLOCK
        if operation == 6:
            self._change(block * BLOCK, b"\xff" * BLOCK)
            return 0

    def _change(self, at, buffer):
        if self.dead:
            raise PowerCut(5)
        self.left -= 1
        if self.left < 0:
            self.dead = True
            if self.torn:
                half = len(buffer) // 2
                self.data[at : at + half] = buffer[:half]
            raise PowerCut(5)
        self.data[at : at + len(buffer)] = buffer


def mounted(flash):
    vfs.mount(vfs.VfsLfs2(flash), "/flash")
    return Journal("/flash")


def store(flash, data):
    """True if the power lasted."""
    try:
        mounted(flash).store(data)
        return True
    except OSError:
        return False
    finally:
        try:
            vfs.umount("/flash")
        except OSError:
            pass


def load(flash):
    try:
        return mounted(flash).load()
    finally:
        vfs.umount("/flash")


def main(how):
    start = Flash(bytearray(BLOCK * 40))
    vfs.VfsLfs2.mkfs(start)
    for number in range(how["stores_before"]):
        assert store(start, OLD + bytes((number,)))
    old = load(start)
    seen = {"old": 0, "new": 0}
    cut = 0
    while True:
        flash = Flash(bytearray(start.data), cut, how["torn"])
        lasted = store(flash, NEW)
        after = Flash(flash.data)
        found = load(after)
        assert found in (old, NEW), cut
        seen["new" if found == NEW else "old"] += 1
        # And the next write works on what the cut left.
        assert store(after, b"next") and load(after) == b"next"
        if lasted:
            break
        cut += 1
    return {"cuts": cut, "old": seen["old"], "new": seen["new"]}


with open(sys.argv[1]) as given:
    print(json.dumps(main(json.load(given))))
