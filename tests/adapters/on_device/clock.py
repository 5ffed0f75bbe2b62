"""A chip's hands, with a clock that they are told about, meet one server, or several in turn. Run by test_clock.py.

Not a test. The clock of the process itself, by which certificates are judged, is right all the time.
"""

import asyncio
import json
import sys

from latchpin.adapters.stream import LinkError


class Machine:
    """A chip's `machine` module, as far as a clock goes."""

    def RTC(self):
        return self

    def datetime(self, value):
        pass


class Nobody:
    async def read_key(self):
        """Nobody types."""


async def meet(hands, how):
    """What became of a connection, by the broker's way or by that of the MCP server."""
    heard = []

    async def hear(status, headers, piece, last):
        heard.append(status)

    try:
        if how.get("url"):
            await hands.post(how["url"], "Authorization: DPoP canary\r\n", b"canary", hear)
            return {"status": heard[0]}
        link = hands.link()
        try:
            await link.connect()
        finally:
            await link.close()
    except LinkError as error:
        return {"code": error.code, "text": error.text}


async def main(how):
    if how["chip"]:
        sys.modules["machine"] = Machine()
    from latchpin.adapters.hands import Hands
    from latchpin.adapters.identity import Identity

    identity = Identity("lp-canary", b"\x01", bytes(32), bytes(64), "canary", [])
    settings = {"broker": how["broker"], "mcp": how.get("mcp", {}), "keepalive_s": 30}
    hands = Hands(identity, settings, ("down", "state"), Nobody(), [])
    became = []
    # What the agent says of the time before each meeting: null, or (seconds since 1970, whether that is sure).
    for told in how["told"]:
        if told:
            hands.set_clock(told[0], told[1])
        became.append(await meet(hands, how))
    return became


with open(sys.argv[1]) as given:
    print(json.dumps(asyncio.run(main(json.load(given)))))
