"""Through an authorization server of somebody else's, which has never heard of a challenge endpoint: `oidc-provider` (npm).

Not its rules, nor our own server (test_device_grant.py): a device pairs by the device grant, renews, leaves; or says why not.
"""

import asyncio
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from host_sim.world import World
from tests.journeys.conftest import RUNTIMES
from tests.journeys.test_device_grant import shown
from tests.peers.authorization_servers import oidc_provider
from tests.peers.authorization_servers.oidc_provider import Visitor, events

pytestmark = pytest.mark.node
LATCHPIN = str(Path(sys.executable).parent / "latchpin")


def told(world: World) -> list[str]:
    """What came of each request for tokens, and of each revocation, by its own word."""
    return [" ".join(str(line[key]) for key in ("grant", "error", "event") if key in line) for line in events(world)]


async def latchpin(world: World, *words: str) -> tuple[int, str]:
    """(exit code, stdout) of a command beside the world's files."""
    run = partial(subprocess.run, cwd=world.folder, capture_output=True, text=True, timeout=120)
    done = await asyncio.to_thread(run, [LATCHPIN, *words])
    return done.returncode, done.stdout


async def happens(world: World, what: str, count: int = 1) -> None:
    async with asyncio.timeout(30):
        while told(world).count(what) < count:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_device_pairs_calls_renews_and_takes_its_leave(embark, monkeypatch, runtime: str) -> None:
    async def journey(world: World) -> None:
        device, ada = world.device, Visitor(world)
        await device.start()
        seen = shown(await device.wait_for("Enter the code"))
        assert seen.url == f"{world.issuer}/device"
        url = seen.url if runtime == "cpython" else f"{seen.url}?user_code={seen.code}"
        await asyncio.to_thread(ada.let_in, url, seen.code)
        answered = json.loads((await device.wait_for("Answer", within_s=30)).removeprefix("[Answer] "))
        assert (answered["owner"], answered["client"]) == ("ada", "latchpin-device") and answered["key"]
        assert answered["scopes"] == ["led:read", "led:write"]
        assert "device_code use_dpop_nonce refused" in told(world), "its proofs want a nonce"
        await happens(world, "refresh_token granted", 2)
        lines = len(device.lines)
        await device.type("#")
        await device.wait_for("Answer", since=lines)
        await device.type("*000##")
        await device.wait_for("Unpaired")
        await happens(world, "refresh_token.destroyed")
        await happens(world, "grant.revoked")
        again = shown(await device.wait_for("Enter the code", since=lines))
        assert again.code != seen.code

    oidc_provider.allow_renewal(monkeypatch)
    embark(journey, runtime=runtime, **oidc_provider.options(accessTokenTtl=6))


def test_without_a_refresh_token_a_person_is_asked_again_and_a_jwt_that_nobody_revokes_keeps_no_device(embark) -> None:
    async def journey(world: World) -> None:
        device, ada = world.device, Visitor(world)
        code, said = await latchpin(world, "doctor", "--device", "device")
        assert code == 0 and "shows a code) and DPoP" in said, said
        code, said = await latchpin(world, "bridge", "check", "--config", "bridge.toml")
        assert code == 0 and "devices ask for no PIN but show a code" in said and "invalid_grant" in said, said
        await device.start()
        first = await device.wait_for("Enter the code")
        await asyncio.to_thread(ada.refuse, shown(first).url, shown(first).code)
        await device.wait_to_read("[Denied] the owner said no", within_s=30)
        lines = len(device.lines)
        await device.type("#")
        second = shown(await device.wait_for("Enter the code", since=lines))
        await asyncio.to_thread(ada.let_in, second.url, second.code)
        await device.wait_for("Answer", within_s=30)
        third = shown(await device.wait_for("Enter the code", within_s=30, since=len(device.lines)))
        await asyncio.to_thread(Visitor(world).let_in, third.url, third.code, "grace")
        lines = len(device.lines)
        await device.wait_for("Ready", within_s=30, since=lines)
        await device.type("*000##")
        await device.wait_for("Enter the code", since=lines)
        assert "unsupported_token_type revocation.error" in told(world), told(world)

    embark(journey, **oidc_provider.options(accessTokenTtl=6))


def test_a_server_that_offers_neither_is_said_to_need_a_browser(embark) -> None:
    async def journey(world: World) -> None:
        code, said = await latchpin(world, "doctor", "--device", "device")
        assert code == 1 and "FAIL  authorization server: it offers neither" in said, said
        code, said = await latchpin(world, "bridge", "check", "--config", "bridge.toml")
        assert code == 1 and "FAIL  as.offers" in said and "1 of 15 to mend" in said, said
        await world.device.start()
        line = await world.device.wait_for("Needs browser")
        assert re.fullmatch(
            r"\[Needs browser\] the server wants one, none here\. # tries again \[needs_browser DISCOVER \w+\]", line
        )
        lines = len(world.device.lines)
        await world.device.type("#")
        await world.device.wait_for("Needs browser", since=lines)

    embark(journey, **oidc_provider.options(deviceFlow=False))
