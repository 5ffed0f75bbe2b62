"""Improv Wi-Fi over the serial line, version 1 (improv-wifi.com/serial): a browser or a phone tells the board its network.

Not beside a REPL or a console: while it serves, the line is its own. Ctrl-C outside of a packet still interrupts.
"""

import asyncio
import select
import sys

from latchpin.runtime import const

_HEADER = const(b"IMPROV\x01")
_STATE = const(1)
_ERROR = const(2)
_RPC = const(3)
_RESULT = const(4)

_READY = const(2)
_PROVISIONING = const(3)
_PROVISIONED = const(4)

_NONE = const(0)
_INVALID = const(1)
_UNKNOWN = const(2)
_UNABLE = const(3)

_PAUSE_MS = const(10)
_STALE = const(100)  # pauses without a byte until half a packet is forgotten


class Improv:
    """setup: a wifi_setup.WifiSetup; info: (firmware, version, chip, device name); write: takes bytes.

    Feed it the bytes that arrive. It prints nothing, and keeps no password.
    """

    def __init__(self, setup, info: tuple, write):
        self._setup = setup
        self._info = info
        self._write = write
        self._line = bytearray()
        self.done = False

    def forget(self) -> None:
        """What arrived of an unfinished packet."""
        self._line = bytearray()

    async def feed(self, byte: int) -> None:
        """The next byte. Raises KeyboardInterrupt: Ctrl-C, and no packet around it."""
        line = self._line
        if len(line) < 6 and byte != _HEADER[len(line)]:
            self.forget()
            if byte == 3:
                raise KeyboardInterrupt
            if byte != _HEADER[0]:
                return
            line = self._line
        line.append(byte)
        if len(line) < 10 or len(line) < 10 + line[8]:
            return
        self.forget()
        if line[6] != 1:
            return
        if line[-1] != sum(line[:-1]) & 0xFF:
            self._send(_ERROR, bytes((_INVALID,)))
        elif line[7] == _RPC:
            self._send(_ERROR, bytes((_NONE,)))
            error = await self._call(bytes(line[9:-1]))
            if error:
                self._send(_ERROR, bytes((error,)))

    async def _call(self, data):
        if len(data) < 2 or data[1] != len(data) - 2:
            return _INVALID
        command = data[0]
        if command == 1:
            return await self._join(data[2:])
        if command == 2:
            self.tell_state()
            if self._setup.joined:
                self._result(2, ("",))
        elif command == 3:
            self._result(3, self._info)
        elif command == 4:
            for ssid, dbm, secured in self._setup.scan():
                self._result(4, (ssid, str(dbm), "YES" if secured else "NO"))
            self._result(4, ())
        else:
            return _UNKNOWN
        return _NONE

    async def _join(self, data):
        try:
            end = 1 + data[0]
            ssid = data[1:end].decode()
            password = data[end + 1 :].decode()
            if not ssid or end + 1 + data[end] != len(data):
                return _INVALID
        except (IndexError, ValueError):
            return _INVALID
        self._send(_STATE, bytes((_PROVISIONING,)))
        self.done = await self._setup.try_and_keep(ssid, password)
        self.tell_state()
        if not self.done:
            return _UNABLE
        self._result(1, ("",))
        return _NONE

    def tell_state(self) -> None:
        self._send(_STATE, bytes((_PROVISIONED if self._setup.joined else _READY,)))

    def _result(self, command, texts):
        body = b"".join([bytes((len(text.encode()),)) + text.encode() for text in texts])
        self._send(_RESULT, bytes((command, len(body))) + body)

    def _send(self, kind, data):
        packet = _HEADER + bytes((kind, len(data))) + data
        self._write(packet + bytes((sum(packet) & 0xFF, 10)))


async def serve(setup, device: str) -> list:
    """Serve on sys.stdin and sys.stdout until the board is in a network; gives those known then. Raises KeyboardInterrupt."""
    import micropython

    from latchpin import __version__

    line = sys.stdin.buffer
    info = "Latchpin", __version__, sys.implementation._machine, device
    improv = Improv(setup, info, sys.stdout.buffer.write)
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    # A packet may have a byte 3 in it, and every command has.
    micropython.kbd_intr(-1)
    try:
        improv.tell_state()
        silent = 0
        while not improv.done:
            if poll.poll(0):
                silent = 0
                await improv.feed(line.read(1)[0])
            else:
                silent += 1
                if silent == _STALE:
                    improv.forget()
                await asyncio.sleep(_PAUSE_MS / 1000)
    finally:
        micropython.kbd_intr(3)
    return setup.networks
