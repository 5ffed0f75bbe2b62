"""A board that runs MicroPython on a serial line: its files, and what it says when asked. Through mpremote's own library.

Not for what a board should hold or be asked: flash.py and its neighbours know that. Nobody's secrets are in an error here.
"""

import contextlib
import errno
import hashlib
import os
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import serial
from mpremote import transport_serial
from mpremote.transport import TransportError, TransportExecError
from serial.tools import list_ports

OLDEST = (1, 28)
MPY_FORMAT = 6

# mpremote prints what it found instead of a prompt: a program on the board may have shown something private.
transport_serial.print = lambda *_: None  # type: ignore[attr-defined]


class BoardError(Exception):
    """What cannot go on; the text names the next step and holds no secret."""


class NoAnswer(BoardError):
    """The port is there, and no MicroPython behind it."""


class SerialBoard:
    """A board at its raw REPL, freshly restarted, until the end of `with`: then it starts its main.py, whatever happened here.

    patience: how often it is asked, about 10 s each time; wait_s: for a port that comes back after a reset. Raises BoardError,
    where another program has the port, nobody answers (NoAnswer), the cable comes off.
    """

    def __init__(self, port: str, patience: int = 2, wait_s: int = 0) -> None:
        self.port = port
        self._patience = patience
        until_s = time.monotonic() + wait_s
        while True:
            try:
                # A link as in /dev/serial/by-id is followed: mpremote knows a pseudo-terminal by its name only.
                path = os.path.realpath(port) if os.path.islink(port) else port
                self._transport = transport_serial.SerialTransport(path, timeout=5)
                return
            except (TransportError, OSError, ValueError):
                if time.monotonic() >= until_s:
                    raise BoardError(f"{port}: {_why_not(port)}") from None
                time.sleep(0.5)

    def __enter__(self) -> "SerialBoard":
        for _ in range(self._patience):
            try:
                self._transport.enter_raw_repl()
                return self
            except TransportError:
                continue
            except OSError as error:
                self._transport.serial.close()
                raise self._lost(error) from None
            except BaseException as error:
                self.__exit__(type(error), error, None)
                raise
        self._transport.serial.close()
        raise NoAnswer(f"{self.port}: no MicroPython answers: give --firmware if the chip is empty; is it the right port?")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            # Whatever runs is interrupted; then the friendly REPL, and a soft reset that runs main.py.
            if error is not None:
                self._transport.serial.write(b"\x03\x03")
            self._transport.serial.write(b"\r\x02\x04")
            self._transport.close()
        except OSError as lost:
            self._transport.serial.close()
            if error is None:
                raise self._lost(lost) from None
        if isinstance(error, TransportExecError):
            raise BoardError(
                f"{self.port}: the board failed: {_last_line(error)}: run the same command again; if it stays so, start anew "
                "with --firmware FILE --erase"
            ) from None
        if isinstance(error, TransportError | OSError):
            raise self._lost(error) from None

    def _lost(self, error: BaseException) -> BoardError:
        if getattr(error, "errno", None) == errno.ENOSPC:
            return BoardError(f"{self.port}: the board's flash is full: remove files of yours from it")
        return BoardError(f"{self.port}: the board does not answer any more: check the cable, then run the same command again")

    def run(self, script: str, within_s: int = 60, on_line: Callable[[str], None] | None = None, **values: Any) -> str:
        """What `script` prints, `values` put in where it says {name}, as Python writes them; on_line gets each line at once.

        within_s: how long it may be silent.
        """
        source = textwrap.dedent(script)
        for name, value in values.items():
            source = source.replace("{" + name + "}", repr(value))
        heard = bytearray()
        waiting = bytearray()

        def hear(data: bytes) -> None:
            heard.extend(data)
            waiting.extend(data)
            if on_line is not None and waiting.endswith(b"\n"):
                on_line(waiting.decode(errors="replace").strip())
                waiting.clear()

        _, failed = self._transport.exec_raw(source, timeout=within_s, data_consumer=hear)
        if failed:
            raise TransportExecError(1, failed.decode(errors="replace"))
        return heard.rstrip(b"\x04").decode(errors="replace").strip()

    def check(self) -> str:
        """What runs there, in words. Raises BoardError where Latchpin cannot."""
        found: Any = self._transport.eval(
            "(lambda i: (i.name, tuple(i.version)[:3], getattr(i, '_mpy', 0) & 0xff, i._machine))"
            "(__import__('sys').implementation)"
        )
        name, version, mpy, machine = found
        if name != "micropython" or version[:2] < OLDEST:
            raise BoardError("the board needs MicroPython 1.28 or newer: flash it first (--firmware, see --help)")
        if mpy != MPY_FORMAT:
            raise BoardError("the board reads another .mpy format than mpy-cross writes: add --source")
        return f"MicroPython {'.'.join(map(str, version))} on {machine}"

    def banner(self) -> tuple[str, str]:
        """Version and machine, as the REPL shows them: ("v1.28.0 on 2026-04-06", "Generic ESP32 module with ESP32")."""
        found: Any = self._transport.eval("(__import__('sys').version, __import__('sys').implementation._machine)")
        return found[0].partition("MicroPython ")[2], found[1]

    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None where there is none."""
        if not self._transport.fs_exists(name):
            return None
        return bytes(self._transport.fs_readfile(name))

    def hashes(self, names: Iterable[str]) -> dict[str, str]:
        """{name: SHA-256 as hex} of those that are there."""
        wanted, found = list(names), {}
        for at in range(0, len(wanted), 20):
            for line in self.run(_HASHES, names=wanted[at : at + 20]).splitlines():
                name, _, digest = line.rpartition(" ")
                found[name] = digest
        return found

    def sync(self, tree: Mapping[str, bytes], say: Callable[[str], None], owned: str = "lib/latchpin") -> int:
        """Make the board hold `tree` (path: bytes), and under the folder `owned` nothing else. The number of files sent.

        Only what differs is sent, each file beside its place; when all have arrived whole they take their places at one blow,
        main.py last. A cable that comes off leaves the old files at work, and what had arrived is not sent again.
        """
        there = self.hashes([*tree, *(f"{name}.new" for name in tree)])
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in tree.items()}
        changed = [name for name in sorted(tree) if there.get(name) != digests[name]]
        unsent = [name for name in changed if there.get(f"{name}.new") != digests[name]]
        self._see_that_they_fit(sum(len(tree[name]) + 512 for name in unsent))
        folders = {str(folder) for name in [*tree, f"{owned}/x"] for folder in PurePosixPath(name).parents} - {"."}
        self.run(_FOLDERS, folders=sorted(folders))
        for number, name in enumerate(unsent, 1):
            say(f"[{number}/{len(unsent)}] {name} ({len(tree[name])} bytes)")
            self._transport.fs_writefile(f"{name}.new", tree[name], chunk_size=512)
        arrived = self.hashes(f"{name}.new" for name in unsent)
        if any(arrived.get(f"{name}.new") != digests[name] for name in unsent):
            raise BoardError(f"{self.port}: a file arrived damaged: run the same command again, with a shorter cable if need be")
        changed.sort(key=lambda name: name == "main.py")
        with _no_interruption():
            gone = self.run(_TAKE_PLACES, changed=changed, owned=owned, kept=sorted(tree)).splitlines()
        for name in gone:
            say(f"removed {name}")
        return len(unsent)

    def _see_that_they_fit(self, size: int) -> None:
        free = int(self.run("import os\ns = os.statvfs('.')\nprint(s[0] * s[3])"))
        if size > free:
            raise BoardError(
                f"{self.port}: the board's flash is full: {size // 1024} KB more are needed; remove files of yours from it, or "
                "erase it (--erase with --firmware)"
            )


_HASHES = """
    import hashlib, binascii
    for name in {names}:
        try:
            with open(name, 'rb') as file:
                h = hashlib.sha256()
                while True:
                    part = file.read(512)
                    if not part:
                        break
                    h.update(part)
            print(name, binascii.hexlify(h.digest()).decode())
        except OSError:
            pass
"""

_FOLDERS = """
    import os
    for name in {folders}:
        try:
            os.mkdir(name)
        except OSError:
            pass
"""

# A .py that stayed beside a .mpy would be the one that is imported.
_TAKE_PLACES = """
    import os
    kept = {kept}
    def strays(folder):
        for entry in list(os.ilistdir(folder)):
            path = folder + '/' + entry[0]
            if entry[1] & 0x4000:
                strays(path)
            elif path not in kept:
                os.remove(path)
                print(path)
    for name in {changed}:
        os.rename(name + '.new', name)
    strays({owned})
    if hasattr(os, 'sync'):
        os.sync()
"""


@contextlib.contextmanager
def _no_interruption() -> Iterator[None]:
    # Ctrl-C waits until it is over. Only the main thread ever gets it.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = []
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted:
        raise KeyboardInterrupt


def _why_not(port: str) -> str:
    try:
        serial.serial_for_url(port, exclusive=True).close()
        return "it could not be opened: run the same command again"
    except (OSError, ValueError) as error:  # SerialException is an OSError
        number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        return "no permission: sudo usermod -aG dialout $USER (on some systems the group is uucp), then log in again"
    if number in (errno.EAGAIN, errno.EBUSY):
        return "another program has it: close the terminal (mpremote, screen, an IDE) and run the same command again"
    found = [found.device for found in list_ports.comports()]
    here = f"ports here: {', '.join(found)}" if found else "there is no serial port here at all"
    return f"no such port: check cable and port ({here}; a USB cable for charging only has no data lines)"


def _last_line(error: TransportExecError) -> str:
    lines = str(error.error_output).strip().splitlines()
    return lines[-1] if lines else "no reason given"


def serial_ports() -> list[str]:
    """Ports on which a board may be: what USB brought."""
    return sorted(found.device for found in list_ports.comports() if found.vid is not None)
