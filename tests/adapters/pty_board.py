"""A board without a board: the real `micropython` binary behind a pseudo-terminal, its directory as its flash.

Not a simulation of a chip: what it adds is what a chip's firmware does around Python, which is to start again after a soft reset
and to run main.py. `.port` is for the real mpremote, and stays the same when the cable comes off and on again.
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
    """`.directory` is its file system, `.seen` all that it ever printed. The cable is its power too: `.unplug()`, `.plug()`."""

    def __init__(self, directory: Path):
        binary = micropython()
        assert binary is not None
        self._binary = binary
        self.directory = directory
        self.port = str(directory.with_suffix(".port"))
        self.seen = b""
        self.heard = 0  # bytes from the host
        self.unplug_at: int | None = None  # when it has heard so many
        self._raw = False
        self._over = False
        self._off = threading.Event()
        self._inner, self._process = -1, None
        self.plug()
        self._pump = threading.Thread(target=self._forward, daemon=True)
        self._pump.start()

    def plug(self) -> None:
        """Cable in: the board starts."""
        self._outer, self._outer_slave = pty.openpty()
        tty.setraw(self._outer_slave)
        os.set_blocking(self._outer, False)
        link = Path(self.port)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._outer_slave))
        self._raw = False
        self._boot(run_main=True)
        self._off.clear()

    def unplug(self) -> None:
        """Cable off, at once and whatever it was doing."""
        self.unplug_at = 0
        assert self._off.wait(60)

    def wait_until_unplugged(self) -> None:
        assert self._off.wait(60)

    def _pull(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        os.close(self._outer_slave)
        os.close(self._outer)
        Path(self.port).unlink()
        self.unplug_at = None
        self._off.set()

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
            if self._off.is_set():
                time.sleep(0.01)
                continue
            with contextlib.suppress(OSError, ValueError):
                readable, _, _ = select.select([self._outer, self._inner], [], [], 0.05)
                if self._outer in readable:
                    self._hear(os.read(self._outer, 4096))
                if self._inner in readable:
                    self._say(os.read(self._inner, 4096))
                    continue
            if self.unplug_at is not None and self.heard >= self.unplug_at:
                self._pull()
                continue
            assert self._process is not None
            if self._process.poll() is not None and not self._over:
                self._reboot()

    def _hear(self, typed: bytes) -> None:
        if self.unplug_at is not None:
            typed = typed[: max(0, self.unplug_at - self.heard)]
        self.heard += len(typed)
        for byte in typed:
            self._raw = {1: True, 2: False}.get(byte, self._raw)
        os.write(self._inner, typed)

    def _reboot(self) -> None:
        with contextlib.suppress(OSError):
            while select.select([self._inner], [], [], 0)[0]:
                self._say(os.read(self._inner, 4096))
        self._say(b"MPY: soft reboot\r\n")
        self._boot(run_main=not self._raw)
        if self._raw:
            self._await_prompt()
            os.write(self._inner, b"\x01")

    def _await_prompt(self) -> None:
        # Before its prompt stands there the binary throws away what was typed; a chip does not.
        banner = b""
        while not banner.endswith(b">>> "):
            banner += os.read(self._inner, 4096)

    def _say(self, data: bytes) -> None:
        if not data:
            raise OSError
        self.seen += data
        with contextlib.suppress(BlockingIOError):  # nobody listens: lost, as on a serial line
            os.write(self._outer, data)

    def type(self, keys: bytes) -> None:
        """Type on the serial line without mpremote."""
        os.write(self._inner, keys)

    def wait_for(self, text: bytes, within_s: float = 60, since: int = 0) -> None:
        """Until it has printed `text` behind the first `since` bytes."""
        deadline = time.monotonic() + within_s
        while text not in self.seen[since:] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert text in self.seen[since:], self.seen[-2_000:]

    def stop(self) -> None:
        self._over = True
        self._pump.join(2)
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        if not self._off.is_set():
            os.close(self._outer_slave)
            os.close(self._outer)
        os.close(self._inner)
        Path(self.port).unlink(missing_ok=True)
