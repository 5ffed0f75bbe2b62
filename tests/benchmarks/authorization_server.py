"""What the AS carries: first challenge requests and refreshes a second, with DPoP, beside a bare Starlette handler in one run.

Not a limit of the product: server and clients share this machine's cores. Each answer is on the disk before it leaves, and
each proof is signed before the clock starts. The three are asked in turn in short rounds, and the ratios are those within a
round: whatever else the machine does meanwhile, it does to all three.
"""

import asyncio
import json
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from host_sim.world import Service, free_ports
from tests.authorization_server import running
from tests.benchmarks import as_legs, report
from tests.benchmarks.as_legs import Device

HERE = Path(__file__).resolve().parent
CONNECTIONS = 64
ROUNDS, EACH = 30, 4  # requests of each device in a round


class Round(NamedTuple):
    """`cpu_us`: of the server, for one request."""

    a_second: float
    cpu_us: float


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection that is kept: `ask` and await (head, body)."""

    _answered: "asyncio.Future[tuple[bytes, bytes]] | None" = None

    def connection_made(self, transport: Any) -> None:
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._buffer = b""
            self._answered.set_result((head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered and not self._answered.done():
            self._answered.set_exception(ConnectionError("the server closed the connection"))

    def close(self) -> None:
        self._transport.close()

    def ask(self, request: bytes) -> "asyncio.Future[tuple[bytes, bytes]]":
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answered


class Place(running.Files):
    """The AS and the bare handler as processes, each on a port of its own, and the devices' connections to both."""

    def __init__(self, folder: Path) -> None:
        port, self._bare_port = free_ports(2)
        super().__init__(folder, port, {"log_level": "warning"})

    async def __aenter__(self) -> "Place":
        bare = running.Files(self.folder / "bare", self._bare_port, {})
        command = [sys.executable, "-m", "host_sim", "as", "serve", "--config", str(self.config)]
        self.services = {
            "as": Service("as", command, self.folder),
            "bare": Service("bare", [sys.executable, str(HERE / "bare_app.py"), str(bare.config)], self.folder),
        }
        for service in self.services.values():
            await service.start()
        self.links: dict[str, list[Connection]] = {}
        loop = asyncio.get_running_loop()
        for name, files in (("as", self), ("bare", bare)):
            context = ssl.create_default_context(cafile=str(files.ca))
            port = int(files.issuer.rpartition(":")[2])
            opened = [
                loop.create_connection(Connection, "127.0.0.1", port, ssl=context, server_hostname="localhost")
                for _ in range(CONNECTIONS)
            ]
            self.links[name] = [link for _, link in await asyncio.gather(*opened)]
        self.devices = [Device(self, number) for number in range(CONNECTIONS)]
        for device, link in zip(self.devices, self.links["as"], strict=True):
            await self._pair(device, link)
        return self

    async def __aexit__(self, *_: object) -> None:
        for link in (link for links in self.links.values() for link in links):
            link.close()
        await asyncio.gather(*(service.end() for service in self.services.values()))

    async def nonce(self) -> str:
        head, _ = await self.links["as"][0].ask(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return head.partition(b"dpop-nonce: ")[2].partition(b"\r\n")[0].decode()

    async def _pair(self, device: Device, link: Connection) -> None:
        nonce = await self.nonce()
        first = _read(await link.ask(device.first_challenge(nonce)), 403)
        authorization = f"Authorization: Bearer {self.admin_token}\r\n"
        body = json.dumps({"device": device.name}).encode()
        head = f"POST /admin/pin HTTP/1.1\r\nHost: localhost\r\n{authorization}Content-Length: {len(body)}\r\n\r\n"
        pin = _read(await link.ask(head.encode() + body), 200)["pin"]
        code = _read(await link.ask(device.answer(nonce, first["auth_session"], pin)), 200)["authorization_code"]
        device.refresh_token = _read(await link.ask(device.redeem(nonce, code)), 200)["refresh_token"]

    async def drive(self, name: str, ask: Callable[[Device, Connection, bytes], Any], requests: list[list[bytes]]) -> Round:
        """Every device asks one of its requests after the other, all devices at once."""
        process = self.services[name].pid
        cpu_ns, began = _cpu_ns(process), time.perf_counter()

        async def one(device: Device, link: Connection, mine: list[bytes]) -> None:
            for request in mine:
                await ask(device, link, request)

        await asyncio.gather(*(one(*each) for each in zip(self.devices, self.links[name], requests, strict=True)))
        took_s, count = time.perf_counter() - began, sum(len(mine) for mine in requests)
        return Round(count / took_s, (_cpu_ns(process) - cpu_ns) / count / 1000)


def _cpu_ns(process: int) -> int:
    return time.clock_gettime_ns(~process << 3 | 2)  # clock_getcpuclockid(3): of all its threads


def _read(answered: tuple[bytes, bytes], status: int) -> dict[str, Any]:
    head, body = answered
    assert int(head[9:12]) == status, body
    return json.loads(body)


async def _bare(device: Device, link: Connection, request: bytes) -> None:
    _read(await link.ask(request), 200)


async def _challenge(device: Device, link: Connection, request: bytes) -> None:
    _read(await link.ask(request), 403)


async def _refresh(device: Device, link: Connection, request: bytes) -> None:
    answered = await link.ask(device.with_token(request))
    device.refresh_token = _read(answered, 200)["refresh_token"]


async def _measure(folder: Path, rounds: int) -> dict[str, list[Round]]:
    found: dict[str, list[Round]] = {"bare": [], "challenge": [], "token": []}
    async with Place(folder) as place:
        for number in range(rounds + 1):  # the first warms up
            nonce = await place.nonce()
            challenges = [[device.first_challenge(nonce) for _ in range(EACH)] for device in place.devices]
            refreshes = [[device.refresh(nonce) for _ in range(EACH)] for device in place.devices]
            turns = [
                ("bare", "bare", _bare, challenges),
                ("challenge", "as", _challenge, challenges),
                ("token", "as", _refresh, refreshes),
            ]
            for name, service, ask, requests in turns[number % 3 :] + turns[: number % 3]:
                measured = await place.drive(service, ask, requests)
                if number:
                    found[name].append(measured)
    return found


def run(quick: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        legs = as_legs.measure(Path(folder) / "legs", 2 if quick else 20)
        found = uvloop.run(_measure(Path(folder), 2 if quick else ROUNDS))
    rates = {name: _against_bare(found, name, lambda each: each.a_second) for name in as_legs.REQUESTS}
    cpus = {name: _against_bare(found, name, lambda each: 1 / each.cpu_us) for name in as_legs.REQUESTS}
    rows = [
        (
            name,
            report.spread([each.a_second for each in measured]),
            report.spread(rates[name], 2) if name in rates else "1",
            report.spread([each.cpu_us for each in measured]),
            report.spread(cpus[name], 2) if name in cpus else "1",
        )
        for name, measured in found.items()
    ]
    report.table(
        f"AS: {CONNECTIONS} devices at once, each request with a DPoP proof, each answer on the disk before it leaves",
        ("request", "a second", "ratio to bare", "CPU of the server, us", "ratio to bare"),
        rows,
        (
            "bare: a Starlette handler that reads the same body and answers as much, served the same way, in the same round.",
            f"Median (least to most) of {len(found['bare'])} rounds of {CONNECTIONS * EACH} requests; a ratio is that of a round."
            " Proofs are signed before the clock starts.",
        ),
    )
    cpu = {name: statistics.median(each.cpu_us for each in measured) for name, measured in found.items()}
    report.table(
        "AS: where its CPU goes, us",
        ("part", *as_legs.REQUESTS),
        [
            ("TLS, HTTP, routing: what the bare handler costs", *(f"{cpu['bare']:.0f}" for _ in legs)),
            ("the proof: reading, P-256, claims", *(f"{each.proof:.0f}" for each in legs.values())),
            ("the access token: claims, P-256", *(f"{each.signature:.0f}" for each in legs.values())),
            ("rules and statements", *(f"{each.rest:.0f}" for each in legs.values())),
            ("form, commit and what is between", *(f"{cpu[name] - cpu['bare'] - sum(legs[name][:3]):.0f}" for name in legs)),
            ("statements of SQL", *(each.statements for each in legs.values())),
        ],
        (
            "The second to fourth are measured in this process, many of a kind in a row, before the servers run; the fifth is"
            " what is left, with what it costs that the caches hold other code meanwhile.",
        ),
    )
    return {"legs": {name: each._asdict() for name, each in legs.items()}} | {
        name: {"a_second": report.figure([each.a_second for each in measured], 1)}
        | {"cpu_us": report.figure([each.cpu_us for each in measured], 1)}
        | ({"ratio": report.figure(rates[name]), "cpu_ratio": report.figure(cpus[name])} if name in rates else {})
        for name, measured in found.items()
    }


def _against_bare(found: dict[str, list[Round]], name: str, figure: Callable[[Round], float]) -> list[float]:
    return [figure(mine) / figure(bare) for mine, bare in zip(found[name], found["bare"], strict=True)]
