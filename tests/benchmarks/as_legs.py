"""The devices of the AS's benchmark, and what the parts of one answer cost: first challenge request and refresh.

Not over HTTP (authorization_server.py): the endpoints are asked as functions, in this process, many in one transaction.
"""

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from joserfc import jwt

from broker_bridge import logs
from host_sim.authorization_server import dpop
from host_sim.authorization_server.challenge_endpoint import ChallengeEndpoint
from host_sim.authorization_server.forms import Posted
from host_sim.authorization_server.oauth_core import Core
from host_sim.authorization_server.token_endpoint import TokenEndpoint
from tests.authorization_server import clocked, running
from tests.authorization_server.parties import DpopKey, basic, verifier_and_challenge

REQUESTS = ("challenge", "token")
DEVICES = 64
_LATER = "R" * 43


class Device:
    """A device behind the bridge: its key, its proofs, its refresh token."""

    def __init__(self, server: running.Files, number: int) -> None:
        self._server, self.name, self._key = server, f"lp-bench-{number:03}", DpopKey()
        self._authorization = basic(running.BRIDGE, running.BRIDGE_SECRET)
        self.refresh_token = "none"

    def proof(self, endpoint: str, nonce: str) -> str:
        return self._key.sign(f"{self._server.issuer}/{endpoint}", nonce)

    def request(self, endpoint: str, nonce: str, **fields: str) -> bytes:
        body = urlencode(fields).encode()
        head = (
            f"POST /{endpoint} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Authorization: {self._authorization}\r\nDPoP: {self.proof(endpoint, nonce)}\r\nContent-Length: {len(body)}\r\n\r\n"
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

    def answer(self, nonce: str, auth_session: str, pin: str) -> bytes:
        return self.request("challenge", nonce, auth_session=auth_session, pin=pin)

    def redeem(self, nonce: str, code: str) -> bytes:
        return self.request("token", nonce, grant_type="authorization_code", code=code, code_verifier=self.verifier)

    def refresh(self, nonce: str) -> bytes:
        """A refresh, signed before its token is known: `with_token` writes it in, always as long."""
        return self.request("token", nonce, grant_type="refresh_token", refresh_token=_LATER)

    def with_token(self, request: bytes) -> bytes:
        return request.replace(_LATER.encode(), self.refresh_token.encode())


class Legs(NamedTuple):
    """CPU of the parts of one answer, in us; and how many statements of SQL there are in `rest`."""

    proof: float
    signature: float
    rest: float
    statements: int


class _Inside:
    """Both endpoints of an AS in this process, and devices that are paired with it."""

    def __init__(self, server: clocked.Clocked) -> None:
        self.services, self.issuer, self._now_s = server.services, server.issuer, server.now_s
        challenge = ChallengeEndpoint(server.services)
        self._endpoints: dict[str, Any] = {"challenge": challenge, "token": TokenEndpoint(Core(server.services), challenge)}
        self._devices = [Device(server, number) for number in range(DEVICES)]
        for device in self._devices:
            first = self._said("challenge", device.first_challenge(self._nonce))
            pin = server.issue_pin(device.name)
            code = self._said("challenge", device.answer(self._nonce, first["auth_session"], pin))["authorization_code"]
            device.refresh_token = self._said("token", device.redeem(self._nonce, code))["refresh_token"]

    @property
    def _nonce(self) -> str:
        return self.services.nonces.issue(self._now_s)

    def _said(self, name: str, request: bytes) -> dict[str, Any]:
        return json.loads(self._endpoints[name].answer(self._posted(name, request)).body)

    def _posted(self, name: str, request: bytes) -> Posted:
        """As forms.read makes it of a request."""
        head, _, body = request.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        proof = dpop.judged([headers["DPoP"]], f"{self.issuer}/{name}")
        return Posted(dict(parse_qsl(body.decode())), headers["Authorization"], proof)

    def all_at_once(self, name: str) -> float:
        """One request of each device, in one transaction: us of each, without its proof."""
        kinds = {"challenge": Device.first_challenge, "token": Device.refresh}
        asked = [self._posted(name, device.with_token(kinds[name](device, self._nonce))) for device in self._devices]
        endpoint, answers = self._endpoints[name], []

        def work() -> float:
            return _us(lambda: answers.extend(endpoint.answer(posted) for posted in asked)) / len(asked)

        took = asyncio.run(self.services.storage.together(work))
        for device, answered in zip(self._devices, answers, strict=True):
            assert answered.status_code in (200, 403), answered.body
            device.refresh_token = json.loads(answered.body).get("refresh_token", device.refresh_token)
        return took

    def statements(self, name: str) -> int:
        """Of one answer, without what opens and ends its transaction."""
        seen: list[str] = []
        connection = self.services.storage._connection
        connection.set_trace_callback(seen.append)
        self.all_at_once(name)
        connection.set_trace_callback(None)
        return len([each for each in seen if each.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE")]) // DEVICES

    def proof(self) -> float:
        url = f"{self.issuer}/challenge"
        proofs = [device.proof("challenge", self._nonce) for device in self._devices]
        return _us(lambda: [dpop.judged([proof], url) for proof in proofs]) / DEVICES

    def signature(self) -> float:
        key = self.services.keys.signing_keys.signing(self._now_s)
        said = self._said("token", self._devices[0].with_token(self._devices[0].refresh(self._nonce)))
        self._devices[0].refresh_token = said["refresh_token"]
        token = jwt.decode(said["access_token"], key.key)
        return _us(lambda: [jwt.encode(token.header, token.claims, key.key) for _ in self._devices]) / DEVICES


def measure(folder: Path, rounds: int) -> dict[str, Legs]:
    with clocked.server(folder, now_s=int(time.time()), log_level="warning") as server:
        logs.start("warning")
        inside = _Inside(server)
        gc.freeze()  # as the server does

        def median(measured: Callable[[], float]) -> float:
            return statistics.median(measured() for _ in range(rounds))

        found = {}
        for name in REQUESTS:
            proof, signature = median(inside.proof), median(inside.signature) if name == "token" else 0.0
            whole = median(lambda name=name: inside.all_at_once(name))
            found[name] = Legs(proof, signature, whole - signature, inside.statements(name))
        gc.unfreeze()
        return found


def _us(work: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - began) / 1000
