"""A crossing between one replica and the broker: each message, either way, waits here until the test says that it may pass.

Not a broker and not a fault in itself: the TLS of both sides ends here, packets are passed on byte by byte.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import mqtt5

from host_sim.mqtt_broker import integer

# May this message pass? Asked in order, one at a time: (the crossing, the packet).
Passes = Callable[["Crossing", mqtt5.PublishPacket], Awaitable[bool]]
PUBLISH, UNSUBSCRIBE = 3, 10


class Crossing:
    """Listens on `port` for one replica, whose `name` is for the test alone.

    gone: the replica's connection has ended, and the broker knows; leaving: it has said that it takes no more hellos.
    """

    def __init__(self, name: str, port: int, broker_port: int, folder: Path, passes: Passes) -> None:
        self.name = name
        self.leaving = asyncio.Event()
        self._port, self._broker_port, self._folder, self._passes = port, broker_port, folder, passes
        self.gone = asyncio.Event()

    async def open(self) -> asyncio.Server:
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        return await asyncio.start_server(self._carry, "127.0.0.1", self._port, ssl=server)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        context = ssl.create_default_context(cafile=str(self._folder / "ca.pem"))
        try:
            broker = await asyncio.open_connection("localhost", self._broker_port, ssl=context)
        except OSError:  # there is no broker, or none any more
            writer.close()
            return
        self.gone.clear()
        self.leaving.clear()
        ways = [asyncio.create_task(self._pump(*way)) for way in ((reader, broker[1]), (broker[0], writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        broker[1].close()
        with contextlib.suppress(OSError):
            await broker[1].wait_closed()
        self.gone.set()
        writer.close()
        for way in ways:
            way.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                packet = await _packet(reader)
                if packet[0] >> 4 == PUBLISH:
                    found, _ = mqtt5.read(packet)
                    assert isinstance(found, mqtt5.PublishPacket)
                    if not await self._passes(self, found):
                        continue
                writer.write(packet)
                if packet[0] >> 4 == UNSUBSCRIBE:
                    self.leaving.set()
                await writer.drain()


async def _packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(2)
    while (length := integer(head, 1)) is None:
        head += await reader.readexactly(1)
    return head + await reader.readexactly(length[0])
