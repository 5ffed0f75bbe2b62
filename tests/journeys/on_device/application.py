"""boards/UNIX with an application: after the call of settings.json it makes those of calls.json, one by one, and says what came.

Not a test: test_mcp_servers.py starts it, on both Pythons. A line for each answer: `[Heard] {"ok", "text", "kept", "size",
"crc"}`, with size and CRC-32 of all the bytes that `hear` was given.
"""

import asyncio
import binascii
import json
import sys

import main

from latchpin.agent.events import Event
from latchpin.runner import Runner

heard = {"size": 0, "crc": 0}


def work():
    hands, identity, settings = main.assemble()
    with open("calls.json") as file:
        calls = json.load(file)
    runner = Runner(hands, identity, settings)

    def hear(data):
        heard["size"] += len(data)
        heard["crc"] = binascii.crc32(data, heard["crc"])

    def answer(ok, text):
        found = dict(heard, ok=ok, text=text[:200], kept=len(text))
        heard.update({"size": 0, "crc": 0})
        print("[Heard] " + json.dumps(found))
        if calls:
            runner.put(Event("Call", **calls.pop(0)))

    hands.hear = hear
    hands.answer = answer
    asyncio.run(runner.run())


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(main.main(sys.argv[1:]))
    work()
