"""Wi-Fi for people: the board looks which networks are there, a person chooses one, the board tries it and remembers it.

The password goes over the serial line and nowhere else: not into a command line, an environment, a file here or a line shown.
"""

import getpass
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from boards.serial_board import BoardError, SerialBoard

PASSWORD_VARIABLE = "LATCHPIN_WIFI_PASSWORD"  # noqa: S105
ATTEMPTS = 3

_SCAN = """
    import json
    try:
        import network
        from latchpin.adapters import settings
        settings.load_settings()
        from latchpin.adapters.wifi_setup import WifiSetup
        setup = WifiSetup(settings.load_identity().device)
        print(json.dumps(setup.scan()))
    except ImportError as error:
        if 'latchpin' in str(error):
            print(json.dumps('Latchpin is not on this board yet: give --board and --settings too'))
        else:
            print(json.dumps('this board has no radio: its network is that of its computer'))
    except Exception as error:
        if type(error).__name__ != 'SettingsError':
            raise
        print(json.dumps(str(error)))
"""

_TRY = """
    import asyncio
    print('joined' if asyncio.run(setup.try_and_keep({ssid}, {password})) else 'refused')
"""


def take_password(file: Path | None) -> str | None:
    """The password from a file or, once, from the environment, where no child of ours will find it; None: somebody will type it.

    Raises BoardError.
    """
    given = os.environ.pop(PASSWORD_VARIABLE, None)
    if file is None:
        return given
    try:
        return file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise BoardError("--wifi-password-file: the file cannot be read as text") from None


def set_up(board: SerialBoard, ssid: str, password: str | None, say: Callable[[str], None]) -> None:
    """Let a person choose (ssid empty) and type (password None), until the board is in. Raises BoardError, and stores nothing."""
    say("Wi-Fi: looking which networks are there")
    found = json.loads(board.run(_SCAN))
    if isinstance(found, str):
        raise BoardError(found)
    for _ in range(ATTEMPTS):
        try:
            chosen, secured = _choose(found, say) if not ssid else (ssid, True)
            typed = password if password is not None else ask_password(chosen) if secured else ""
        except EOFError:
            raise BoardError("no network chosen, and nothing was stored") from None
        say(f"Wi-Fi: trying {_shown(chosen)}")
        if board.run(_TRY, ssid=chosen, password=typed) == "joined":
            say(f"Wi-Fi: {_shown(chosen)} lets the board in; it will remember")
            return
        say(f"Wi-Fi: {_shown(chosen)} does not let the board in: wrong password, or too far away")
        if password is not None:
            break
    raise BoardError("no network lets the board in, and nothing was stored: look at name and password, then --wifi again")


def _choose(found: list, say: Callable[[str], None]) -> tuple[str, bool]:
    if not sys.stdin.isatty():
        raise BoardError("nobody is there to choose: name the network, --wifi SSID")
    for number, (ssid, dbm, secured) in enumerate(found, 1):
        say(f"  {number:2}  {_shown(ssid):32} {dbm:4} dBm {'' if secured else ' open'}")
    answer = input(f"Which one (1 to {len(found)}, or another name)? " if found else "None in sight. Its name? ").strip()
    if answer.isdigit() and 1 <= int(answer) <= len(found):
        return found[int(answer) - 1][0], found[int(answer) - 1][2]
    if not answer:
        raise BoardError("no network chosen, and nothing was stored")
    return answer, True


def ask_password(ssid: str) -> str:
    """What a person types, not shown. Raises BoardError: nobody is there, or no network is named."""
    if not ssid:
        raise BoardError("--many: name the network, --wifi SSID")
    if not sys.stdin.isatty():
        raise BoardError(
            f"nobody is there to type the password: --wifi-password-file FILE, or {PASSWORD_VARIABLE} in the environment"
        )
    return getpass.getpass(f"Password of {_shown(ssid)} (not shown): ")


def _shown(ssid: str) -> str:
    # Whoever has a radio chooses what this says: no escape sequences into a terminal.
    return "".join(character if character.isprintable() else "?" for character in ssid)
