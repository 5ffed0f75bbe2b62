"""A chip without firmware behind a pseudo-terminal: a stranger's ROM loader (esp32-mock-bootloader) until esptool has written
something, then the board of pty_board.py.

Not the chip's reset lines: a pseudo-terminal has none. What speaks first, esptool or a REPL's user, says what was meant.
"""

import os
import subprocess
import sys
import time
import tty
from pathlib import Path

from tests.adapters.pty_board import PtyBoard

_SYNC = b"\xc0\x00\x08"  # SLIP frame, request, SYNC: how esptool begins


class EmptyChip(PtyBoard):
    """chip: as esptool calls it, say "esp32c3"."""

    def __init__(self, directory: Path, chip: str):
        self.flashed = False
        self._rom = False
        path = directory.with_suffix(".rom")
        self._loader = subprocess.Popen(
            [Path(sys.executable).with_name("esp32-mock-bootloader"), "run", "--pty", "--port-file", path, "--chip", chip],
            env=os.environ | {"ESP32_MOCK_BOOTLOADER_STATE_DIR": str(directory.with_suffix(".state"))},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not (path.exists() and path.read_text()):
            assert time.monotonic() < deadline and self._loader.poll() is None
            time.sleep(0.02)
        self._rom_line = os.open(path.read_text(), os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._rom_line)
        super().__init__(directory)

    def _boot(self, run_main: bool) -> None:
        self._rom = not self.flashed
        if self.flashed:
            super()._boot(run_main)
        else:
            self._inner, self._process = os.dup(self._rom_line), subprocess.Popen(["sleep", "infinity"])

    def _hear(self, typed: bytes) -> None:
        if typed.startswith(_SYNC) and not self._rom:
            self.flashed = False
            self._restart()
        elif self._rom and _SYNC in typed:
            self.flashed = True  # or will be, when a REPL is asked for
        elif self._rom and self.flashed and typed in (b"\r\x03", b"\r\x03\r\x01"):
            self._restart()
            if not (self.directory / "main.py").exists():
                self._await_prompt()
        super()._hear(typed)

    def _restart(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._boot(run_main=True)

    def stop(self) -> None:
        super().stop()
        os.close(self._rom_line)
        self._loader.terminate()
        self._loader.wait()
