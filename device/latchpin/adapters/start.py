"""What every main.py of a chip does: settings, Wi-Fi, hands, the runner; or it tells the person what is missing.

Not for parts: main.py has those. Not for floors above this one: `Runner` and `topic` are given to it.
"""

import asyncio

from latchpin import runtime


class Notice:
    """A view for before the agent works."""

    code = "setup"
    entry = ""

    def __init__(self, text: str, title: str = "Set-up"):
        self.text = text
        self.title = title

    def get(self, field: str):
        """There is nothing more to it."""


def start(Runner, topic, parts) -> None:
    """Works until Ctrl-C. Runner: runner.py's, imported first, for a small heap has to have room for it in one piece;
    topic: that of wire/topics.py; parts: a function that gives (keys, screens)."""
    found, notice = _load()
    runtime.make_room("adapters.settings", "adapters.tls_stream")
    asyncio.run(_work(Runner, topic, parts, found) if found else _complain(parts, notice))


def _load():
    from latchpin.adapters import settings

    try:
        return settings.load(), None
    except settings.SettingsError as error:
        return None, Notice(str(error))


async def _work(Runner, topic, parts, found):
    from latchpin.adapters.hands import Hands
    from latchpin.adapters.wifi import Wifi

    identity, options = found
    device = identity.device
    keys, screens = parts()
    networks = options.get("wifi") or await _learn_network(device, screens)
    hands = Hands(identity, options, (topic(device, "down"), topic(device, "state")), keys, screens)
    radio = asyncio.create_task(Wifi(networks, device).keep())
    try:
        await Runner(hands, identity, options).run()
    finally:
        radio.cancel()


async def _learn_network(device, screens):
    from latchpin.adapters import improv_serial
    from latchpin.adapters.wifi_setup import WifiSetup

    for screen in screens:
        screen.show(Notice("none known: latchpin flash --wifi, or a browser with Improv", "Wi-Fi"))
    networks = await improv_serial.serve(WifiSetup(device), device)
    runtime.make_room("adapters.improv_serial", "adapters.wifi_setup", "adapters.settings")
    return networks


async def _complain(parts, notice):
    keys, screens = parts()
    for screen in screens:
        screen.show(notice)
    while True:
        await asyncio.sleep(3600)
