"""An operator's inventory in place of a registry file: asked over HTTPS, believed for a while, closed to whom it does not know.

Not for the registry's own files: tests/brokers/test_registry.py has those.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme

from broker_bridge import app, settings
from broker_bridge.devices import REFUSAL
from broker_bridge.https_client import HttpsClient
from broker_bridge.inventory import RETRY_S, Inventory
from broker_bridge.settings import RegistrySource
from tests.bridge.driver import LOOPBACK, Bridge, Device, Identity, Place, message, running
from tests.bridge.foreign import Foreign, Said, foreign, hang_up, prompt
from tests.brokers.running import Running

TTL_S = 60


class Stock:
    """The foreign server as an inventory. `devices`: what it knows; `down`: it answers nobody."""

    def __init__(self, server: Foreign) -> None:
        self.server = server
        self.devices: dict[str, dict[str, Any]] = {}

    def add(self, identity: Identity, **more: Any) -> Identity:
        keys = [{"kid": 1, "public": identity.public.hex()}]
        self.says(identity.device, Said(200, {"device": identity.device, "keys": keys, "owner": "somebody", **more}))
        return identity

    def says(self, device: str, *answers: Said) -> None:
        self.server.says(f"/stock/{device}", *answers)

    def asked(self, device: str) -> int:
        return len(self.server.to(f"/stock/{device}"))


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[Stock]:
    with foreign(tmp_path / "stock") as server:
        yield Stock(server)


def with_inventory(stock: Stock, use: Callable[[Inventory, Clock], Awaitable[None]], **more: Any) -> list[dict[str, Any]]:
    """The log lines of what `use` does."""
    lines: list[dict[str, Any]] = []

    async def main() -> None:
        clock = Clock()
        https = HttpsClient(stock.server.ca, [ip_network(network) for network in LOOPBACK])
        inventory = Inventory(
            f"{stock.server.origin}/stock",
            more.get("token"),
            TTL_S,
            https,
            clock,
            lambda event, level, **line: lines.append(line),
        )
        try:
            await use(inventory, clock)
        finally:
            await inventory.close()

    asyncio.run(main())
    return lines


@pytest.fixture
def identity() -> Identity:
    return Identity(bytes(64))


def test_an_answer_is_believed_for_its_time_and_asked_for_again_ahead_of_it(stock: Stock, identity: Identity):
    stock.add(identity)
    device = identity.device

    async def use(inventory: Inventory, clock: Clock) -> None:
        assert inventory.get(device) is None and not inventory.ask_ahead(device)
        await asyncio.gather(*(inventory.ask(device) for _ in range(20)))
        found = inventory.get(device)
        assert found and found.public_key(1) == identity.public and stock.asked(device) == 1
        clock.now_s = TTL_S / 2 - 1
        assert inventory.ask_ahead(device) and not inventory._asking
        clock.now_s = TTL_S / 2
        assert inventory.ask_ahead(device)
        await asyncio.gather(*inventory._asking.values())
        assert stock.asked(device) == 2
        clock.now_s += TTL_S - 1
        assert inventory.get(device)
        clock.now_s += 1
        assert inventory.get(device) is None and not inventory.ask_ahead(device)

    assert with_inventory(stock, use, token="the-token") == []
    assert {asked.headers["authorization"] for asked in stock.server.asked} == {"Bearer the-token"}


def test_a_no_is_believed_too(stock: Stock, identity: Identity):
    async def use(inventory: Inventory, clock: Clock) -> None:
        for _ in range(3):
            assert inventory.ask_ahead(identity.device) or await inventory.ask(identity.device) is None
            assert inventory.get(identity.device) is None
        assert stock.asked(identity.device) == 1
        clock.now_s = TTL_S
        stock.add(identity)
        await inventory.ask(identity.device)
        assert inventory.get(identity.device)

    with_inventory(stock, use)


def test_an_inventory_that_is_away_lets_nobody_new_in_and_keeps_who_is_known_for_its_time(stock: Stock, identity: Identity):
    other = Identity(bytes(64))

    async def use(inventory: Inventory, clock: Clock) -> None:
        await inventory.ask(stock.add(identity).device)
        for device in (identity.device, other.device):
            stock.says(device, Said(503, b""), Said(write=hang_up), Said(302, b"", {"Location": "/"}))
        clock.now_s = TTL_S - 1
        for _ in range(3):
            await inventory.ask(identity.device)
            assert inventory.get(identity.device)
        await inventory.ask(other.device)
        assert inventory.get(other.device) is None and inventory.ask_ahead(other.device), "not asked at each frame"
        clock.now_s = TTL_S
        assert inventory.get(identity.device) is None
        await inventory.ask(identity.device)
        assert inventory.get(identity.device) is None
        stock.add(other)
        clock.now_s += RETRY_S
        await inventory.ask(other.device)
        assert inventory.get(other.device)

    codes = [line["code"] for line in with_inventory(stock, use)]
    assert codes == ["inventory_503", "connection_lost", "redirect", "inventory_503", "redirect"]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"device": "{device}", "keys": []},
        {"device": "lp-another", "keys": [{"kid": 1, "public": "{public}"}]},
        {"device": "{device}", "keys": [{"kid": 256, "public": "{public}"}]},
        {"device": "{device}", "keys": [{"kid": 1, "public": "00"}]},
        {"device": "{device}", "keys": [{"kid": 1, "public": "ab" * 64}]},
        {"device": "{device}", "keys": [{"kid": 1, "public": "{public}"}], "revoked": "false"},
    ],
)
def test_an_answer_that_is_no_entry_for_this_device_is_no_yes(stock: Stock, identity: Identity, body: Any):
    text = json.dumps(body).replace("{device}", identity.device).replace("{public}", identity.public.hex())
    stock.says(identity.device, Said(200, text.encode()))

    async def use(inventory: Inventory, clock: Clock) -> None:
        await inventory.ask(identity.device)
        assert inventory.get(identity.device) is None

    (line,) = with_inventory(stock, use)
    assert line["code"] in ("inventory_words", "inventory_device", "json")


def test_an_inventory_may_want_a_certificate(tmp_path: Path, identity: Identity):
    authority = trustme.CA()
    with foreign(tmp_path / "stock", authority) as server:
        stock = Stock(server)
        stock.add(identity)
        server.context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(server.context)
        ours = authority.issue_cert("latchpin-bridge")
        ours.private_key_pem.write_to_path(tmp_path / "client.key")
        ours.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
        configured = {"url": f"{server.origin}/stock", "ca": server.ca, "private_networks": LOOPBACK}
        pair = {"client_certificate": tmp_path / "client.pem", "client_private_key": tmp_path / "client.key"}

        async def asked(**more: Any) -> object:
            inventory = app.inventory_of(RegistrySource.model_validate({**configured, **more}))
            assert inventory
            await inventory.ask(identity.device)
            await inventory.close()
            return inventory.get(identity.device)

        assert asyncio.run(asked(**pair)) and not asyncio.run(asked())


def test_a_bridge_with_an_inventory_refuses_who_is_revoked_there(place: Place, broker: Running, server: Foreign, stock: Stock):
    """A live session: after its time its next frame is refused, and its device comes back once the inventory says so."""
    identity = place.identity()  # the broker's account
    stock.add(identity)
    server.says("/challenge", prompt())
    registry = {
        "url": f"{stock.server.origin}/stock",
        "token": "CANARY-inventory-token",
        "ca": str(stock.server.ca),
        "private_networks": LOOPBACK,
        "ttl_s": 1,
    }
    limits = {"frames_per_s": 1e6, "frames_burst": 1_000_000}
    config = place.configure(broker, server.issuer, server.resource, server.ca, limits=limits, log_level="debug")
    config.write_text(config.read_text().replace('file = "devices.toml"', "\n".join(_toml(registry))))
    with running(config) as bridge:
        device = Device(identity, broker).shake()
        assert device.ask("DISCOVER", resource=0).name == "OFFER"
        stock.add(identity, revoked=True)
        _until_refused(device, bridge)
        device.say_hello()
        assert bridge.line(event="handshake", outcome="refused", code="unknown_device")["device"] == identity.device
        device.close()
    assert stock.server.asked[0].headers["authorization"] == "Bearer CANARY-inventory-token"
    assert "CANARY" not in "".join(bridge.text)


def _toml(table: dict[str, Any]) -> list[str]:
    return [f"{name} = {value if isinstance(value, int) else repr(value)}" for name, value in table.items()]


def _until_refused(device: Device, bridge: Bridge) -> None:
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        frame, request = device.seal(message("DISCOVER", resource=0))
        device.say_up(frame)
        reply = device.hear()
        if reply == REFUSAL:
            bridge.line(event="session", device=device.identity.device, code="revoked")
            return
        assert device.open(reply, request).name == "OFFER"
    raise AssertionError("a revoked device is still heard")


@pytest.mark.parametrize(
    ("registry", "told"),
    [
        ({}, "needs either file or url"),
        ({"file": "devices.toml", "url": "https://stock.example"}, "needs either file or url"),
        ({"url": "http://stock.example"}, "https://"),
        ({"url": "https://stock.example", "ttl_s": 61}, "ttl_s"),
        ({"url": "https://stock.example", "token": "a", "token_file": __file__}, "leave one out"),
        ({"url": "https://stock.example", "client_certificate": __file__}, "go together"),
        ({"file": "devices.toml", "token": "a"}, "go with url alone"),
    ],
)
def test_a_registry_that_is_two_or_none_is_refused(registry: dict[str, Any], told: str):
    with pytest.raises(ValueError, match=told):
        settings.RegistrySource.model_validate(registry)
