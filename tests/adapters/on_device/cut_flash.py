"""Flash whose power goes at a chosen block operation, and a littlefs on it: MicroPython's own, or that of littlefs-python.

Not a test: power_cut.py and erase_cut.py cut with it. The two are the same C code behind two doors.
"""

# ruff: noqa: SIM105
import os
import sys

from latchpin.adapters import factory_reset, flash_journal
from latchpin.adapters.flash_journal import Journal

BLOCK = 512
BLOCKS = 24


class PowerCut(OSError):
    pass


class Flash:
    """A block device in RAM. left: block operations until the power goes; torn: the last one is half done."""

    def __init__(self, data, left=1_000_000, torn=False):
        self.data = data
        self.left = left
        self.torn = torn
        self.dead = False

    def change(self, at, buffer):
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

    # As MicroPython's vfs wants it.

    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK + offset
        buffer[:] = self.data[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        self.change(block * BLOCK + offset, buffer)

    def ioctl(self, operation, block):
        if operation == 4:
            return BLOCKS
        if operation == 5:
            return BLOCK
        if operation == 6:
            self.change(block * BLOCK, b"\xff" * BLOCK)
            return 0

    # As littlefs-python wants it.

    def read(self, configuration, block, offset, size):
        return self.data[block * BLOCK + offset : block * BLOCK + offset + size]

    def prog(self, configuration, block, offset, data):
        return self._said(block * BLOCK + offset, data)

    def erase(self, configuration, block):
        return self._said(block * BLOCK, b"\xff" * BLOCK)

    def sync(self, configuration):
        return 0

    def _said(self, at, data):
        try:
            self.change(at, data)
            return 0
        except PowerCut:
            return -5


class OnMicroPython:
    """A journal on a Flash, while it is mounted."""

    def __init__(self, flash, fresh=False):
        import vfs

        self._vfs = vfs
        self.folder = "/flash"
        if fresh:
            vfs.VfsLfs2.mkfs(flash)
        vfs.mount(vfs.VfsLfs2(flash), "/flash")
        self.journal = Journal(self.folder)

    def open(self, path, mode):
        return open(path, mode)

    def listdir(self):
        return os.listdir(self.folder)

    def close(self):
        try:
            self._vfs.umount("/flash")
        except OSError:
            pass


class OneFile:
    """A file by littlefs' own functions: those of littlefs-python close it again after a failure, and that aborts in C."""

    def __init__(self, lfs, volume, path, mode):
        self._lfs = lfs
        self._volume = volume
        self._file = lfs.file_open(volume, path, mode)

    def write(self, data):
        return self._lfs.file_write(self._volume, self._file, data)

    def read(self):
        return self._lfs.file_read(self._volume, self._file, self._lfs.file_size(self._volume, self._file))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._lfs.file_close(self._volume, self._file)


class OnCPython:
    """The same: the journal's `open` and `os` are those of the mounted littlefs."""

    def __init__(self, flash, fresh=False):
        import littlefs

        self._littlefs = littlefs
        self._files = littlefs.LittleFS(flash, block_size=BLOCK, block_count=BLOCKS, mount=False)
        if fresh:
            self._files.format()
        self._files.mount()
        for module in (flash_journal, factory_reset):
            module.open = self.open
            module.os = self
        self.folder = "/"
        self.journal = Journal(self.folder)

    def open(self, path, mode):
        try:
            return OneFile(self._littlefs.lfs, self._files.fs, path, mode)
        except self._littlefs.LittleFSError as error:
            raise OSError(error.code) from None

    def rename(self, old, new):
        self._files.rename(old, new)

    def remove(self, path):
        try:
            self._files.remove(path)
        except self._littlefs.LittleFSError as error:
            raise OSError(error.code) from None

    def listdir(self):
        return self._files.listdir("/")

    def close(self):
        try:
            self._files.unmount()
        except self._littlefs.LittleFSError:
            pass


Volume = OnMicroPython if sys.implementation.name == "micropython" else OnCPython


def lasts(flash, work):
    """True if the power lasted while `work(volume)` was done on it."""
    volume = None
    try:
        volume = Volume(flash)
        work(volume)
        return not flash.dead  # whoever removes a file does not ask how that went
    except Exception:  # littlefs-python has an exception of its own
        if not flash.dead:
            raise
        return False
    finally:
        if volume is not None:
            volume.close()


def cuts(start, work, torn):
    """(what is on the flash, the power lasted) for a cut at each block operation of `work(volume)`, and at none."""
    cut = 0
    while True:
        flash = Flash(bytearray(start), cut, torn)
        lasted = lasts(flash, work)
        yield flash.data, lasted
        if lasted:
            return
        cut += 1
