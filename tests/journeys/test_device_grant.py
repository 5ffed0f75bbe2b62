"""The device grant, whole: a server that wants a browser, a code and a URL on the device, a person elsewhere, a tool's answer.

Not the grant's rules (tests/authorization_server/test_device_grant.py), nor a server of somebody else's
(test_foreign_authorization_server.py).
"""

import asyncio
import json
import re
import signal
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

import numpy
import pytest

from host_sim.authorization_server.services import open_services
from host_sim.authorization_server.settings import load
from host_sim.world import DeviceProcess, World
from tests.adapters.test_qr_on_displays import modules, read
from tests.authorization_server.browsing import Browser, Site, account
from tests.journeys.conftest import RUNTIMES
from tests.journeys.test_outages import FASTER, Life

# The AS answers the challenge with redirect_to_web.
BROWSER: dict[str, Any] = {"policy": [{"web": "required"}]}
INTERVAL_S = 5


class Shown(NamedTuple):
    """What a person reads on the device's screen."""

    code: str
    url: str
    until: str


def shown(line: str) -> Shown:
    found = re.fullmatch(r"\[Enter the code\] (\S+) at (https://\S+); until (\d\d:\d\d) UTC", line)
    assert found, line
    return Shown(*found.groups())


def person(world: World, name: str = "ada") -> tuple[Browser, str]:
    """(the browser in which a new account is signed in, that account's id)"""
    site = Site(world.issuer, world.folder)
    account(site, name)
    services = open_services(load(site.config, {}))
    try:
        found = services.accounts.by_name(name)
        assert found is not None
        return Browser(site).sign_in(name), found.id
    finally:
        services.storage.close()


def enter(browser: Browser, seen: Shown, device: str, decision: str = "allow") -> None:
    """Types the code at the URL, compares, decides."""
    browser.get(seen.url)
    browser.send("/device", user_code=seen.code.lower())
    assert seen.code in browser.text and device in browser.text, browser.text
    browser.send("/device", decision=decision)
    assert browser.page.status_code == 200, browser.text


async def scanned(device: DeviceProcess) -> str:
    """What a QR reader sees on the device's terminal, when it is drawn as a whole."""
    async with asyncio.timeout(10):
        while True:
            await asyncio.sleep(0.05)
            drawn = [line for line in device.lines if line.startswith("\x1b[30;107m")]
            if drawn and (texts := read(numpy.kron(modules(drawn), numpy.ones((4, 4), numpy.uint8)))):
                return texts[0]


def polls(world: World) -> list[tuple[float, str]]:
    """(when, what came of it) of each poll, by the AS's log."""
    lines = [json.loads(line) for line in (world.folder / "as.log").read_text().splitlines()]
    heard = [line for line in lines if line["event"] == "token"]
    return [(datetime.fromisoformat(line["time"]).timestamp(), line.get("error") or line["outcome"]) for line in heard]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_person_goes_where_the_qr_code_leads_and_a_tool_answers(embark, runtime: str) -> None:
    async def journey(world: World) -> None:
        ada, owner = await asyncio.to_thread(person, world)
        await world.device.start()
        seen = shown(await world.device.wait_for("Enter the code"))
        assert seen.url == f"{world.issuer}/device"
        url = await scanned(world.device)
        assert url == f"{seen.url}?user_code={seen.code}"
        ada.get(url)
        ada.send("/device")
        assert seen.code in ada.text and world.device_id in ada.text
        ada.send("/device", decision="allow")
        await world.device.wait_for("Ready", within_s=30)
        answered = json.loads((await world.device.wait_for("Answer")).removeprefix("[Answer] "))
        assert (answered["device"], answered["owner"]) == (world.device_id, owner)
        assert answered["scopes"] == ["led:read", "led:write"] and answered["key"]
        ada.get("/")
        assert world.device_id in ada.text

    embark(journey, runtime=runtime, as_settings=BROWSER)


def test_a_power_cut_leaves_the_code_on_the_screen_and_good(travel) -> None:
    async def journey(world: World) -> None:
        ada, _ = await asyncio.to_thread(person, world)
        await world.device.start()
        before = await world.device.wait_for("Enter the code")
        await asyncio.sleep(0.3)
        await world.device.end(signal.SIGKILL)
        lines = len(world.device.lines)
        await world.device.start()
        after = await world.device.wait_for("Enter the code", since=lines)
        assert after == before
        await asyncio.to_thread(enter, ada, shown(after), world.device_id)
        await world.device.wait_for("Answer", within_s=30)
        assert polls(world)[-1][1] == "granted"

    travel(journey, as_settings=BROWSER)


def test_a_code_that_ran_out_gives_way_to_another_and_who_is_refused_may_ask_again(embark) -> None:
    async def journey(world: World) -> None:
        ada, _ = await asyncio.to_thread(person, world)
        device = world.device
        await device.start()
        first = await device.wait_for("Enter the code")
        lines = device.lines.index(first) + 1
        second = await device.wait_for("Enter the code", within_s=30, since=lines)
        assert shown(second).code != shown(first).code
        await asyncio.to_thread(enter, ada, shown(second), world.device_id, "refuse")
        await device.wait_to_read("[Denied] the owner said no", within_s=30)
        asked = polls(world)
        outcomes = [outcome for _, outcome in asked]
        assert outcomes[:2] == ["authorization_pending", "expired_token"] and outcomes[-1] == "access_denied"
        assert all(later - sooner > INTERVAL_S - 0.1 for (sooner, _), (later, _) in pairwise(asked)), asked
        lines = len(device.lines)
        await device.type("#")
        third = await device.wait_for("Enter the code", since=lines)
        await asyncio.to_thread(enter, ada, shown(third), world.device_id)
        await device.wait_for("Answer", within_s=30)

    embark(journey, as_settings={**BROWSER, "device_code_ttl_s": INTERVAL_S + 3})


def test_a_device_whose_clock_runs_fast_slows_down_as_often_as_it_is_told(embark, monkeypatch) -> None:
    async def journey(world: World) -> None:
        ada, _ = await asyncio.to_thread(person, world)
        life = Life(world, monkeypatch)
        with life.lived():
            async with asyncio.timeout(60):
                while sum(error == "slow_down" for _, error in polls(world)) < 3:
                    await asyncio.sleep(0.05)
                (view,) = {view.text: view for view in life.shown if view.code == "user_code"}.values()
                assert view.qr.startswith(f"{world.issuer}/device?user_code=")
                seen = shown(f"[{view.title}] {view.text}")
                await asyncio.to_thread(enter, ada, seen, world.device_id)
                while not life.answers:
                    await asyncio.sleep(0.05)
        asked = polls(world)
        assert [error for _, error in asked][:4] == ["authorization_pending", "slow_down", "slow_down", "slow_down"]
        assert asked[-1][1] == "granted"
        gaps_s = [FASTER * (later - sooner) for (sooner, _), (later, _) in pairwise(asked)]
        assert all(gap_s > (told + 1) * INTERVAL_S - 0.5 for told, gap_s in enumerate(gaps_s)), gaps_s

    embark(journey, as_settings=BROWSER)
