"""A computer as a board: the unix build of MicroPython, or CPython. Its files are in the current directory, its keys and its
screen are stdin and stdout.

Not a simulation: what runs here is what runs on a chip. `main.py enrol KID:PUBLICHEX [DEVICE]` makes the identity.
"""

import asyncio
import os
import sys

try:
    import latchpin  # noqa: F401
except ImportError:
    sys.path.append(__file__.rpartition("/")[0] + "/../../device")


def hush():
    """In a terminal: each key at once, and no echo of what is typed. Returns what undoes it."""
    try:
        import termios

        if hasattr(sys.stdin, "isatty") and not sys.stdin.isatty():
            raise OSError
        before = termios.tcgetattr(0)
    except (ImportError, OSError):
        return lambda: None
    quiet = list(before)
    quiet[3] &= ~(0x108 if sys.platform == "darwin" else 0x00A)  # ICANON and ECHO, which MicroPython does not name
    termios.tcsetattr(0, termios.TCSANOW, quiet)
    return lambda: termios.tcsetattr(0, termios.TCSANOW, before)


def enrol(bridge, device=None):
    """Prints the line for whoever enrols: DEVICE KID PUBLICHEX MQTTPASSWORD."""
    from latchpin.adapters import settings

    identity = settings.make_identity(device=device, bridges=[settings.parse_bridge(bridge)])
    if not hasattr(os, "chmod"):  # MicroPython on unix
        os.system("chmod 600 " + settings.IDENTITY)  # noqa: S605
    print(identity.enrolment())


def prepare():
    """(identity, settings). Raises SettingsError."""
    from latchpin import runtime
    from latchpin.adapters import settings

    try:
        return settings.load()
    finally:
        runtime.make_room("adapters.settings", "adapters.tls_stream")


def work():
    """The device at work, until Ctrl-C."""
    # The largest first: a small heap has to have room for it in one piece.
    from latchpin.runner import Runner

    identity, options = prepare()
    from latchpin.adapters.hands import Hands
    from latchpin.adapters.serial_console import SerialConsole
    from latchpin.wire import topics

    console = SerialConsole()
    ours = topics.topic(identity.device, "down"), topics.topic(identity.device, "state")
    hands = Hands(identity, options, ours, console, [console])
    restore = hush()
    try:
        asyncio.run(Runner(hands, identity, options).run())
    except KeyboardInterrupt:
        pass
    finally:
        restore()


def main(arguments):
    """The exit code: 0, 1 where a file has to be mended first, 2 for a wrong command line."""
    try:
        if arguments[:1] == ["enrol"] and 2 <= len(arguments) <= 3:
            enrol(*arguments[1:])
        elif not arguments:
            work()
        else:
            print("usage: main.py, or main.py enrol KID:PUBLICHEX [DEVICE], in the device's directory")
            return 2
    except Exception as error:
        if type(error).__name__ != "SettingsError":
            raise
        print("[Set-up] " + str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
