"""Bytes on the wire of one pairing and one tool call, by leg: MQTT payloads from the broker's tap, TCP from a meter in between.

Not for time: a relay stands in both connections.
"""

import asyncio
import contextlib
import datetime
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from host_sim.mqtt_broker import read_tap
from host_sim.world import micropython_is_here
from latchpin.wire import bridge_side
from tests.benchmarks import report
from tests.benchmarks.pairing import PLAIN, MeasuredWorld, leg_of

LEGS = ("handshake", "discover", "challenge", "answer", "token", "MCP call")
ROUNDING_S = 0.002  # the bridge's log cuts its times to milliseconds


class Meter:
    """A relay on loopback that counts. chunks: (time, towards the server, bytes)."""

    def __init__(self) -> None:
        self.chunks: list[tuple[float, bool, int]] = []
        self.target = 0
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, port: int = 0) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.sleep(0.05)

    def since(self, start: int) -> tuple[int, int]:
        """(bytes towards the server, bytes back) from chunk number `start` on."""
        up = sum(size for _, towards, size in self.chunks[start:] if towards)
        return up, sum(size for _, _, size in self.chunks[start:]) - up

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers += [writer, back]
            await asyncio.gather(self._carry(reader, back, True), self._carry(there, writer, False))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, towards: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.chunks.append((time.time(), towards, len(data)))
                writer.write(data)
                await writer.drain()
        writer.close()


class MeteredWorld(MeasuredWorld):
    """A MeasuredWorld with a meter between device and broker, and one between bridge and AS."""

    def __init__(self, folder: Path, device_meter: Meter, as_meter: Meter, device_port: int, **options: Any) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            as_meter.target = free.getsockname()[1]
        super().__init__(
            folder,
            PLAIN,
            tap=True,
            device_settings={"broker": {"host": "localhost", "port": device_port, "ca": "broker-ca.der"}},
            as_settings={"listen": f"127.0.0.1:{as_meter.target}"},
            **options,
        )
        self._device_meter, self._as_meter = device_meter, as_meter

    async def _start_services(self, broker_port: int) -> None:
        self._device_meter.target = broker_port
        await self._as_meter.start(int(self.issuer.rpartition(":")[2]))
        await super()._start_services(broker_port)

    async def _admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        # What the person does at the AS is nothing that the bridge sent: past the meter.
        issuer, self.issuer = self.issuer, f"https://localhost:{self._as_meter.target}"
        try:
            return await super()._admin(method, path, body)
        finally:
            self.issuer = issuer


def run(quick: bool) -> dict[str, Any]:
    """Prints the table and returns its figures."""
    return asyncio.run(_measure())


async def _measure() -> dict[str, Any]:
    runtime = "micropython" if micropython_is_here() else "cpython"
    device_meter, as_meter = Meter(), Meter()
    with tempfile.TemporaryDirectory(prefix="latchpin-bench-") as folder:
        try:
            device_port = await device_meter.start()
            world = MeteredWorld(Path(folder) / "world", device_meter, as_meter, device_port, runtime=runtime)
            async with world:
                tap = world.folder / "tap.bin"
                await world.pair(runtime)  # the first: the bridge fetches metadata
                await asyncio.sleep(0.2)
                before, tcp_before, http_before = len(list(read_tap(tap))), len(device_meter.chunks), len(as_meter.chunks)
                pairing = await world.pair(runtime)
                await asyncio.sleep(0.2)
                frames = list(read_tap(tap))[before:]
                tcp = device_meter.since(tcp_before)
                chunks = as_meter.chunks[http_before:]
        finally:
            await device_meter.close()
            await as_meter.close()
    table = {leg: [0] * 6 for leg in LEGS}
    _add_frames(table, frames, leg_of(pairing.requests))
    _add_http(table, chunks, pairing.requests)
    return _show(runtime, table, tcp)


def _add_frames(table: dict[str, list[int]], frames: list[tuple[str, bytes]], legs: list[str]) -> None:
    # One request at a time: four handshake messages, then a frame up and a frame down for each request that the bridge logged.
    talk = [
        (parsed[1], len(payload))
        for topic, payload in frames
        if (parsed := bridge_side.parse(topic)) and parsed[1] != bridge_side.STATE
    ]
    order = [leg for leg in ["handshake", "handshake", *legs] for _ in range(2)]
    for leg, (kind, size) in zip(order, talk, strict=True):
        down = kind == bridge_side.DOWN
        table[leg][down] += size
        table[leg][2 + down] += 1


def _add_http(table: dict[str, list[int]], chunks: list[tuple[float, bool, int]], requests: list[dict[str, Any]]) -> None:
    # A request is logged when its HTTP answer is there: what was sent belongs to the next line of the log.
    ends = [(_seconds(request["time"]) + ROUNDING_S, leg) for request, leg in zip(requests, leg_of(requests), strict=True)]
    for at, towards, size in chunks:
        leg = next((leg for end, leg in ends if at <= end), ends[-1][1])
        table[leg][4 if towards else 5] += size


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


def _show(runtime: str, table: dict[str, list[int]], tcp: tuple[int, int]) -> dict[str, Any]:
    rows: list[list[object]] = [[leg, *(f"{value:,}" for value in table[leg])] for leg in LEGS]
    sums = [sum(table[leg][column] for leg in LEGS) for column in range(6)]
    rows.append(["sum", *(f"{value:,}" for value in sums)])
    report.table(
        f"Bytes on the wire, by leg: one pairing and one relayed tool call, device on {runtime}, embedded broker",
        ["leg", "MQTT up", "MQTT down", "msgs up", "msgs down", "bridge to AS", "AS to bridge"],
        rows,
        [
            "MQTT: payloads, from the broker's tap; frames are padded to buckets: the same in every pairing, no noise",
            "bridge to AS: TCP payload of a kept-alive HTTPS connection, from a counting relay, give or take a few; "
            "discovery is cached, and the MCP call goes to another server, hence 0",
            f"the device's TCP connection in all: {tcp[0]:,} up, {tcp[1]:,} down, with TLS, topics and PUBACKs",
        ],
    )
    names = ("mqtt_up", "mqtt_down", "messages_up", "messages_down", "https_to_as", "https_from_as")
    figures: dict[str, Any] = {leg: dict(zip(names, values, strict=True)) for leg, values in [*table.items(), ("sum", sums)]}
    return {**figures, "device_tcp_up": tcp[0], "device_tcp_down": tcp[1]}
