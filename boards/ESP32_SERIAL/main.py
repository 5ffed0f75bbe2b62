"""Any ESP32 with nothing but its USB serial line: the terminal on the other end is keypad and display.

Not for a REPL at the same time: Ctrl-C gives it back.
"""

import asyncio

import machine


def prepare():
    """(identity, settings), or None when the person has to do something first."""
    from latchpin import runtime
    from latchpin.adapters import settings

    try:
        return settings.load()
    except settings.SettingsError as error:
        print("[Set-up] " + str(error))
        return None
    finally:
        runtime.make_room("adapters.settings", "adapters.tls_stream")


async def work(Runner, identity, options):
    """The device at work, until Ctrl-C."""
    from latchpin.adapters.hands import Hands
    from latchpin.adapters.serial_console import SerialConsole
    from latchpin.adapters.wifi import Wifi
    from latchpin.wire import topics

    console = SerialConsole()
    ours = topics.topic(identity.device, "down"), topics.topic(identity.device, "state")
    hands = Hands(identity, options, ours, console, [console])
    radio = asyncio.create_task(Wifi(options.get("wifi", []), identity.device).keep())
    try:
        await Runner(hands, identity, options).run()
    finally:
        radio.cancel()


def main():
    machine.freq(240_000_000)  # the elliptic curve takes two thirds of the time
    from latchpin.runner import Runner

    found = prepare()
    if found:
        asyncio.run(work(Runner, *found))


main()
