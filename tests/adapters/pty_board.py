"""A board without a board: the real `micropython` binary behind a pseudo-terminal, its directory as its flash.

Not a simulation of a chip: what it adds is what a chip's firmware does around Python, which is to start again after a soft reset
and to run main.py. `.port` is for the real mpremote.
"""

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import termios
import threading
import time
import tty
from pathlib import Path

from tests.adapters.support import micropython


class PtyBoard:
    """`.directory` is its file system. `.unplug()` and `.plug()` do what they say; `.seen` is all that it ever printed."""

    def __init__(self, directory: Path):
        binary = micropython()
        assert binary is not None
        self._binary = binary
        self.directory = directory
        self.seen = b""
        self._raw = False
        self._over = False
        self._outer, outer_slave = pty.openpty()
        tty.setraw(outer_slave)
        self._outer_slave = outer_slave
        self.port = os.ttyname(outer_slave)
        self._inner, self._process = -1, None
        self._boot(run_main=True)
        self._pump = threading.Thread(target=self._forward, daemon=True)
        self._pump.start()

    def _boot(self, run_main: bool) -> None:
        if self._inner >= 0:
            os.close(self._inner)
        self._inner, inner_slave = pty.openpty()
        # A chip's serial line neither echoes nor turns LF into CR LF; Ctrl-C still interrupts.
        settings = termios.tcgetattr(inner_slave)
        settings[1] &= ~termios.OPOST
        settings[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(inner_slave, termios.TCSANOW, settings)
        script = ["-i", "main.py"] if run_main and (self.directory / "main.py").exists() else []
        # A session of its own with the slave as its terminal, so that Ctrl-C interrupts what runs.
        self._process = subprocess.Popen(
            [self._binary, *script],
            cwd=self.directory,
            env={"MICROPYPATH": ".frozen:lib", "PATH": os.environ["PATH"], "TERM": "dumb"},
            stdin=inner_slave,
            stdout=inner_slave,
            stderr=inner_slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inner_slave)

    def _forward(self) -> None:
        while not self._over:
            with contextlib.suppress(OSError, ValueError):
                readable, _, _ = select.select([self._outer, self._inner], [], [], 0.05)
                if self._outer in readable:
                    typed = os.read(self._outer, 4096)
                    for byte in typed:
                        self._raw = {1: True, 2: False}.get(byte, self._raw)
                    os.write(self._inner, typed)
                if self._inner in readable:
                    self._say(os.read(self._inner, 4096))
                    continue
            assert self._process is not None
            if self._process.poll() is not None and not self._over:
                self._reboot()

    def _reboot(self) -> None:
        with contextlib.suppress(OSError):
            while select.select([self._inner], [], [], 0)[0]:
                self._say(os.read(self._inner, 4096))
        self._say(b"MPY: soft reboot\r\n")
        self._boot(run_main=not self._raw)
        if self._raw:
            time.sleep(0.1)
            os.write(self._inner, b"\x01")

    def _say(self, data: bytes) -> None:
        if not data:
            raise OSError
        self.seen += data
        os.write(self._outer, data)

    def type(self, keys: bytes) -> None:
        """Type on the serial line without mpremote."""
        os.write(self._inner, keys)

    def wait_for(self, text: bytes, within_s: float = 20) -> None:
        deadline = time.monotonic() + within_s
        while text not in self.seen and time.monotonic() < deadline:
            time.sleep(0.02)
        assert text in self.seen, self.seen[-2_000:]

    def stop(self) -> None:
        self._over = True
        self._pump.join(2)
        assert self._process is not None
        self._process.kill()
        self._process.wait(5)
        for descriptor in (self._outer, self._outer_slave, self._inner):
            with contextlib.suppress(OSError):
                os.close(descriptor)
