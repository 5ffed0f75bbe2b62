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
    """In a terminal: each key at once, and no echo of what is typed. Returns how it was; None if this is no terminal."""
    try:
        import termios

        before = termios.tcgetattr(0)
    except Exception:  # CPython's is no OSError
        return None
    mode = list(before)
    mode[3] &= ~(0x108 if sys.platform == "darwin" else 0x00A)  # ICANON and ECHO, which MicroPython does not name
    termios.tcsetattr(0, termios.TCSANOW, mode)
    return before


def enrol(bridge, device=None):
    """Prints the line for whoever enrols: DEVICE KID PUBLICHEX MQTTPASSWORD."""
    from latchpin.adapters import settings

    identity = settings.make_identity(device=device, bridges=[settings.parse_bridge(bridge)])
    if not hasattr(os, "chmod"):  # MicroPython on unix
        os.system("chmod 600 " + settings.IDENTITY)  # noqa: S605
    print(identity.enrolment())


def work():
    """The device at work, until Ctrl-C. Raises SettingsError."""
    # The largest first: a small heap has to have room for it in one piece.
    from latchpin.runner import Runner

    hands, identity, settings = assemble()
    before = hush()
    try:
        asyncio.run(Runner(hands, identity, settings).run())
    except KeyboardInterrupt:
        pass
    finally:
        if before:
            import termios

            termios.tcsetattr(0, termios.TCSANOW, before)


def assemble():
    """(hands, identity, settings) for the runner. Raises SettingsError."""
    from latchpin import runtime
    from latchpin.adapters import settings

    try:
        identity, found = settings.load()
    finally:
        settings = None
        runtime.make_room("adapters.settings", "adapters.tls_stream")
    from latchpin.adapters.hands import Hands
    from latchpin.adapters.serial_console import SerialConsole
    from latchpin.wire import topics

    keys = SerialConsole(draws=True)
    listen = topics.topic(identity.device, "down"), topics.topic(identity.device, "state")
    return Hands(identity, found, listen, keys, [keys]), identity, found


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
