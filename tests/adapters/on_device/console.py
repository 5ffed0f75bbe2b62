"""Prints every key that the SerialConsole reads as its position in the alphabet of keys, so that no digit shows; "=" ends it."""

import asyncio

from latchpin.adapters.serial_console import SerialConsole

KEYS = "0123456789*#ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class View:
    def __init__(self, title, text, entry):
        self.title = title
        self.text = text
        self.entry = entry

    def get(self, field):
        """Nothing more."""


async def main():
    console = SerialConsole()
    console.show(View("PIN?", "word: amber fox", ""))
    console.show(View("PIN?", "word: amber fox", ""))
    count = 0
    last = None
    while True:
        key = await console.read_key()
        count += 1
        if key == "Q":
            break
        if key == "R" and last:
            console.show(last)
            continue
        last = View("Key", "abcdefghij*#ABCDEFGHIJKLMNOPQRSTUVWXYZ"[KEYS.index(key)], "1234"[: count % 2])
        console.show(last)
    print("end")


asyncio.run(main())
