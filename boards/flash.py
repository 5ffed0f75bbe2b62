"""`latchpin flash`: from a chip to a device at work, in one command that can be given again.

Not the parts: firmware.py writes MicroPython, serial_board.py moves files, package.py knows which. Here is the order.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from boards import bench, enrolment, firmware, labels, package, wifi_wizard
from boards.enrolment import Enrolment
from boards.serial_board import BoardError, NoAnswer, SerialBoard, serial_ports
from broker_bridge.registry import RegistryError

_BRIDGE = re.compile(r"([0-9]{1,3})[: ]\s*([0-9a-fA-F]{128})\b")

EPILOG = """\
It can be given again at any time: only what differs is sent, and the key that the board has made stays.

  latchpin bridge key --out bridge.key > bridge.pub    (once, beside the bridge; the line is for --bridge-key)
  latchpin flash --board ESP32_SERIAL --port /dev/ttyUSB0 --firmware ESP32_GENERIC.bin \\
      --settings settings.json --bridge-key @bridge.pub --registry devices.toml

boards/README.md tells the whole way and shows a settings.json.
"""

Say = Callable[[str], None]


class Job(NamedTuple):
    """What is to be on a board, looked at and found good. Prints no secret."""

    args: argparse.Namespace
    mcu: str
    image: bytes | None
    tree: dict[str, bytes]
    settings: dict[str, bytes]
    bridges: list[tuple[int, str]]
    password: str | None

    def __repr__(self) -> str:
        return f"Job({self.args.board})"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latchpin flash`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("--board", metavar="NAME", help=f"one of {', '.join(package.names())}")
    parser.add_argument(
        "--port", action="append", default=[], help="the serial port, say /dev/ttyUSB0, COM5 or rfc2217://rack:4000"
    )
    parser.add_argument(
        "--many",
        action="store_true",
        help="a bench of boards at once: every --port, or every port that USB brought; {n} in --alias",
    )
    parser.add_argument("--labels", type=Path, metavar="FILE", help="write a sheet of labels to print (HTML: alias, id, QR code)")
    parser.add_argument(
        "--firmware",
        metavar="FILE|URL",
        help="first write MicroPython: the .bin from micropython.org for this chip, or its https URL; files on the board stay",
    )
    parser.add_argument("--firmware-sha256", metavar="HEX", help="the SHA-256 that the firmware must have (a URL wants it)")
    parser.add_argument("--erase", action="store_true", help="erase all first, key and tokens too (with --firmware)")
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="settings.json for the board; its CA files are copied too. Without `wifi` in it the board keeps its networks",
    )
    parser.add_argument(
        "--wifi",
        nargs="?",
        const="",
        metavar="SSID",
        help="the board looks for networks, you choose, it tries and remembers; without --board it does only that",
    )
    parser.add_argument(
        "--wifi-password-file",
        type=Path,
        metavar="FILE",
        help=f"do not ask for the password: it is in FILE (or in the environment: {wifi_wizard.PASSWORD_VARIABLE})",
    )
    parser.add_argument(
        "--bridge-key", metavar="KID:PUBLIC", help="the bridge's key, as `latchpin bridge key` prints it; or @FILE"
    )
    parser.add_argument("--next-bridge-key", metavar="KID:PUBLIC", help="the bridge's next key, for the day it changes; or @FILE")
    parser.add_argument("--device", metavar="ID", help="the device's id (default: a random one, made on the board)")
    parser.add_argument("--registry", type=Path, metavar="FILE", help="enrol the board in this registry (devices.toml)")
    parser.add_argument("--alias", default="", help='what people call the device, say "kitchen door" (with --registry)')
    parser.add_argument("--replace", action="store_true", help="the registry knows the id with another key: replace it")
    parser.add_argument(
        "--update", action="store_true", help="new code for a device at work: identity, settings and tokens stay as they are"
    )
    parser.add_argument(
        "--source", action="store_true", help="copy .py files instead of compiled .mpy: slower to start, readable"
    )


def run(args: argparse.Namespace) -> int:
    """0 when every board is ready; 1 with one line on stderr that names the next step."""

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        password = wifi_wizard.take_password(args.wifi_password_file)
        if args.many:
            return _flash_many(prepare(args, password), ports(args), say)
        if len(args.port) != 1:
            raise BoardError("one --port, please; with --many as many as you like, or none for every board on USB")
        if args.board is None and args.wifi is not None:
            with SerialBoard(args.port[0]) as board:
                say(f"connected: {board.check()}")
                wifi_wizard.set_up(board, args.wifi, password, say)
            return 0
        made = flash(prepare(args, password), args.port[0], args.alias, say)
        if args.labels is not None:
            labels.write(args.labels, [made])
            say(f"label: {args.labels}")
    except (BoardError, RegistryError) as error:
        print(f"latchpin flash: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("latchpin flash: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def _flash_many(job: Job, ports: list[str], say: Say) -> int:
    results = bench.run(ports, job.args.alias, lambda port, alias, tell: flash(job, port, alias, tell), say)
    say(bench.table(results))
    made = [result.made for result in results if result.made]
    if job.args.labels is not None and made:
        labels.write(job.args.labels, made)
        say(f"labels: {job.args.labels}, to print from a browser")
    return 0 if len(made) == len(results) else 1


def ports(args: argparse.Namespace) -> list[str]:
    """Those that were named, or all that USB brought. Raises BoardError: none, or one twice."""
    found = args.port or serial_ports()
    if not found:
        raise BoardError("no board is plugged in: USB brought no serial port (name one: --port)")
    if len(set(found)) != len(found):
        raise BoardError("a --port is named twice")
    return found


def prepare(args: argparse.Namespace, password: str | None) -> Job:
    """All that can be known and refused before a board is touched. password: that of the Wi-Fi. Raises BoardError."""
    if args.board is None:
        raise BoardError(f"say which board it is: --board {'|'.join(package.names())}")
    tree = package.board_files(args.board)
    settings = {} if args.settings is None else package.settings_files(args.settings)
    bridges = [parse_bridge_key(text) for text in (args.bridge_key, args.next_bridge_key) if text is not None]
    if args.next_bridge_key is not None and args.bridge_key is None:
        raise BoardError("--next-bridge-key comes second: give --bridge-key too")
    if args.update and (args.device or bridges or settings or args.erase):
        raise BoardError("--update keeps identity and settings: leave --device, --bridge-key, --settings and --erase out")
    if args.many and (args.device or (args.update and args.labels)):
        raise BoardError("--many: an id is for one board, and labels are for new ones")
    if args.many and args.wifi is not None and password is None:
        password = wifi_wizard.ask_password(args.wifi)
    mcu = package.board_json(args.board)["mcu"]
    image = None
    if args.firmware is not None:
        image = firmware.load(args.firmware, args.firmware_sha256)
        firmware.check(image, mcu)
    elif args.erase or args.firmware_sha256:
        raise BoardError("--erase and --firmware-sha256 come with --firmware FILE")
    return Job(args, mcu, image, tree | package.package_files(args.source), settings, bridges, password)


def flash(job: Job, port: str, alias: str, say: Say) -> Enrolment:
    """Do it all on the board at `port`, and say what happens. Raises BoardError, RegistryError."""
    args = job.args
    if job.image is not None:
        if not args.erase and _runs(port, job.image):
            say("firmware: this one is on the board already")
        else:
            firmware.write(port, job.mcu, job.image, args.erase, say)
    # A chip with USB of its own takes its port away while it starts.
    with SerialBoard(port, patience=6, wait_s=30) if job.image else SerialBoard(port) as board:
        say(f"connected: {board.check()}")
        if args.update:
            say(f"updating {_what_is_there(board)}")
        tree = job.tree | _with_known_networks(board, job.settings)
        sent = board.sync(tree, say)
        say(f"{sent} of {len(tree)} files copied, the rest was there")
        made = enrolment.make(board, args.device, job.bridges)
        if args.wifi is not None:
            wifi_wizard.set_up(board, args.wifi, job.password, say)
        say(f"self-test: {_test(board)}")
    if args.update:
        say(f"device {made.device} starts what is new; its key, settings and tokens are as they were")
        return made
    return enrolment.enrol(made, args.registry, alias, args.replace, say)


def parse_bridge_key(text: str) -> tuple[int, str]:
    """(kid, public as hex) of "KID:PUBLIC", "KID PUBLIC" or @FILE with such a line in it. Raises BoardError."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text()
        except (OSError, UnicodeDecodeError):
            raise BoardError("--bridge-key: the file cannot be read") from None
    found = _BRIDGE.search(text)
    if found is None or not int(found[1]) < 256:
        raise BoardError("--bridge-key: KID:PUBLIC with 128 hexadecimal digits, as `latchpin bridge key` prints it")
    return int(found[1]), found[2].lower()


def _runs(port: str, image: bytes) -> bool:
    # Version and machine of a MicroPython stand in its image as they stand in its banner. An empty chip does not answer.
    try:
        with SerialBoard(port, patience=1) as board:
            return all(text.encode() in image for text in board.banner())
    except NoAnswer:
        return False


_VERSION = """
    import json
    try:
        with open('identity.json') as file:
            name = json.load(file)['device']
        import latchpin
        print(name, latchpin.__version__)
    except (OSError, ValueError, KeyError, ImportError, AttributeError):
        print()
"""


def _what_is_there(board: SerialBoard) -> str:
    found = board.run(_VERSION).split()
    if len(found) != 2:
        raise BoardError("no device is on this board yet: leave --update out, and give --settings and --bridge-key")
    return f"{found[0]}: {found[1]} -> {package.__version__}"


def _with_known_networks(board: SerialBoard, settings: dict[str, bytes]) -> dict[str, bytes]:
    # What the wizard or Improv stored on the board stays where the settings name no network of their own.
    if not settings:
        return {}
    given = json.loads(settings["settings.json"])
    if not isinstance(given, dict) or "wifi" in given:
        return settings
    try:
        networks = json.loads(board.read("settings.json") or b"{}")["wifi"]
    except (ValueError, KeyError, TypeError):
        return settings
    return settings | {"settings.json": json.dumps(given | {"wifi": networks}, indent=2).encode()}


_TEST = """
    import gc, os
    from latchpin.adapters import settings
    from latchpin.crypto import ccm, p256
    from latchpin import runner
    text = bytearray(b'latchpin') + bytes(16)
    ccm.encrypt(bytes(16), bytes(13), text, b'', 16)
    sealed = bytes(text)
    ccm.decrypt(bytes(16), bytes(13), text, b'', 16)
    try:
        who, options = settings.load()
        if p256.public_key(who.private) != who.public:
            print('identity.json: damaged: restore the file, or remove it and enrol again')
        elif text[:8] != b'latchpin' or sealed[:8] == b'latchpin':
            print('the ciphers of this MicroPython are broken: flash another version')
        elif os.urandom(16) == os.urandom(16):
            print('this MicroPython has no random numbers: flash another version')
        else:
            gc.collect()
            s = os.statvfs('.')
            print('good', gc.mem_free() // 1024, s[0] * s[3] // 1024, len(options.get('wifi', ())))
    except settings.SettingsError as error:
        print(error)
"""


def _test(board: SerialBoard) -> str:
    said = board.run(_TEST)
    words = said.split()
    if words[:1] != ["good"]:
        raise BoardError(said + (" (give --settings FILE and run the same command again)" if "settings.json" in said else ""))
    known = f"{words[3]} known" if words[3] != "0" else "none known (--wifi, or Improv in a browser)"
    return f"key and ciphers work; free: {words[1]} KB of heap, {words[2]} KB of flash; Wi-Fi networks: {known}"
