"""What the AS carries: first challenge requests and refreshes a second, with DPoP, beside a bare Starlette handler in one run.

Not a limit of the product: server and clients share this machine's cores. Each answer is on the disk before it leaves, and
each proof is signed before the clock starts.
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
from urllib.parse import parse_qsl, urlencode

import uvloop

from broker_bridge import logs
from host_sim.authorization_server import dpop
from host_sim.authorization_server.challenge_endpoint import ChallengeEndpoint
from host_sim.authorization_server.forms import Posted
from host_sim.world import Service, free_ports
from tests.authorization_server import clocked, running
from tests.authorization_server.parties import DpopKey, basic, verifier_and_challenge
from tests.benchmarks import report
from tests.brokers.measure import cpu_s

HERE = Path(__file__).resolve().parent
CONNECTIONS = 64


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


class Device:
    """A device behind the bridge: its key, its proofs, its refresh token."""

    def __init__(self, server: running.Files, number: int) -> None:
        self._server, self.name, self._key = server, f"lp-bench-{number:03}", DpopKey()
        self._authorization = basic(running.BRIDGE, running.BRIDGE_SECRET)
        self.refresh_token = "none"

    def request(self, endpoint: str, nonce: str, **fields: str) -> bytes:
        proof = self._key.sign(f"{self._server.issuer}/{endpoint}", nonce)
        body = urlencode(fields).encode()
        head = (
            f"POST /{endpoint} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Authorization: {self._authorization}\r\nDPoP: {proof}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def first_challenge(self, nonce: str) -> bytes:
        self.verifier, code_challenge = verifier_and_challenge()
        return self.request(
            "challenge",
            nonce,
            response_type="code",
            scope="led:read",
            resource=running.RESOURCE,
            code_challenge=code_challenge,
            code_challenge_method="S256",
            device_id=self.name,
        )

    def refresh(self, nonce: str) -> bytes:
        """A refresh; the token, always as long, is written into it when it is sent."""
        return self.request("token", nonce, grant_type="refresh_token", refresh_token="R" * 43)


class Place(running.Files):
    """The AS and the bare handler as processes, each on a port of its own, and the devices' connections to both."""

    async def __aenter__(self) -> "Place":
        bare = running.Files(self.folder / "bare", free_ports(1)[0], {})
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
        fields = {"auth_session": first["auth_session"], "pin": pin}
        code = _read(await link.ask(device.request("challenge", nonce, **fields)), 200)["authorization_code"]
        fields = {"grant_type": "authorization_code", "code": code, "code_verifier": device.verifier}
        device.refresh_token = _read(await link.ask(device.request("token", nonce, **fields)), 200)["refresh_token"]

    async def drive(self, name: str, ask: Callable[[Device, Connection, bytes], Any], requests: list[list[bytes]]) -> Round:
        """Every device asks one of its requests after the other, all devices at once."""
        process = self.services[name].pid
        cpu, began = cpu_s(process), time.perf_counter()

        async def one(device: Device, link: Connection, mine: list[bytes]) -> None:
            for request in mine:
                await ask(device, link, request)

        await asyncio.gather(*(one(*each) for each in zip(self.devices, self.links[name], requests, strict=True)))
        took_s, count = time.perf_counter() - began, sum(len(mine) for mine in requests)
        return Round(count / took_s, (cpu_s(process) - cpu) / count * 1e6)


def _read(answered: tuple[bytes, bytes], status: int) -> dict[str, Any]:
    head, body = answered
    assert int(head[9:12]) == status, body
    return json.loads(body)


async def _bare(device: Device, link: Connection, request: bytes) -> None:
    _read(await link.ask(request), 200)


async def _challenge(device: Device, link: Connection, request: bytes) -> None:
    _read(await link.ask(request), 403)


async def _refresh(device: Device, link: Connection, request: bytes) -> None:
    answered = await link.ask(request.replace(b"R" * 43, device.refresh_token.encode()))
    device.refresh_token = _read(answered, 200)["refresh_token"]


async def _measure(folder: Path, rounds: int, each: int) -> dict[str, list[Round]]:
    found: dict[str, list[Round]] = {"bare": [], "challenge": [], "token": []}
    async with Place(folder, free_ports(1)[0], {"log_level": "warning"}) as place:
        for number in range(rounds + 1):  # the first warms up
            nonce = await place.nonce()
            challenges = [[device.first_challenge(nonce) for _ in range(each)] for device in place.devices]
            refreshes = [[device.refresh(nonce) for _ in range(each)] for device in place.devices]
            bare = await place.drive("bare", _bare, challenges)
            challenge = await place.drive("as", _challenge, challenges)
            token = await place.drive("as", _refresh, refreshes)
            if number:
                for name, measured in (("bare", bare), ("challenge", challenge), ("token", token)):
                    found[name].append(measured)
    return found


def _legs(folder: Path, count: int) -> dict[str, float]:
    """CPU of the parts of one first challenge request, in us, with nothing around them: no HTTP, and no commit of its own."""
    with clocked.server(folder, now_s=int(time.time()), log_level="warning") as server:
        logs.start("warning")
        services, key = server.services, DpopKey()
        endpoint, url = ChallengeEndpoint(services), f"{server.issuer}/challenge"
        device = Device(server, 0)

        def posted() -> Posted:
            head, _, body = device.first_challenge(services.nonces.issue(server.now_s)).partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            return Posted(dict(parse_qsl(body.decode())), headers["Authorization"], (headers["DPoP"],))

        requests = [posted() for _ in range(count)]
        proof = key.sign(url, services.nonces.issue(server.now_s))

        async def together() -> float:
            def all_of_them() -> float:
                began = time.process_time()
                for request in requests:
                    assert endpoint.answer(request).status_code == 403
                return time.process_time() - began

            return await services.storage.together(all_of_them)

        began = time.process_time()
        for _ in range(count):
            dpop.verify(proof, "POST", url)
        proofs = time.process_time() - began
        return {"proof": proofs / count * 1e6, "endpoint": asyncio.run(together()) / count * 1e6}


def run(quick: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        legs = _legs(Path(folder) / "legs", 50 if quick else 500)
        found = uvloop.run(_measure(Path(folder), 1 if quick else 5, 10 if quick else 30))
    ratios = {
        name: [mine.a_second / bare.a_second for mine, bare in zip(found[name], found["bare"], strict=True)]
        for name in ("challenge", "token")
    }
    rows = [
        (
            name,
            report.spread([each.a_second for each in measured]),
            report.spread([each.cpu_us for each in measured]),
            report.spread(ratios[name], 2) if name in ratios else "1",
        )
        for name, measured in found.items()
    ]
    report.table(
        f"AS: {CONNECTIONS} devices at once, each request with a DPoP proof, each answer on the disk before it leaves",
        ("request", "a second", "CPU of the server, us", "ratio to bare"),
        rows,
        (
            "bare: a Starlette handler that reads the same form and answers as much, served the same way, in the same round.",
            "Median (least to most) of the rounds; the ratio is that of each round. Proofs are signed before the clock starts.",
        ),
    )
    bare, whole = (statistics.median(each.cpu_us for each in found[name]) for name in ("bare", "challenge"))
    report.table(
        "AS: where the CPU of a first challenge request goes, us",
        ("part", "us"),
        [
            ("TLS, HTTP, routing: what the bare handler costs", f"{bare:.0f}"),
            ("the proof: reading, P-256, claims", f"{legs['proof']:.0f}"),
            ("client, policy, session: rules and statements", f"{legs['endpoint'] - legs['proof']:.0f}"),
            ("form, commit and what is between", f"{whole - bare - legs['endpoint']:.0f}"),
        ],
        ("The second and third are measured in this process, before the servers run; the last is what is left.",),
    )
    return {"legs": legs} | {
        name: {"a_second": report.figure([each.a_second for each in measured], 1)}
        | {"cpu_us": report.figure([each.cpu_us for each in measured], 1)}
        | ({"ratio": report.figure(ratios[name])} if name in ratios else {})
        for name, measured in found.items()
    }
