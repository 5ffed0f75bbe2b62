"""The main job: PIN in, token out, a tool answers; on both Pythons, on both brokers, by both ways to the MCP server."""

import getpass
import signal
import subprocess
from pathlib import Path

import pytest
import trustme

from broker_bridge import mosquitto
from broker_bridge.mosquitto import Listener
from host_sim.world import World, WorldError, free_ports
from latchpin.wire import topics
from tests.journeys.conftest import MOSQUITTO, NO_MOSQUITTO, RUNTIMES, have_mosquitto, pair
from tests.journeys.tap import tapped, until_recorded


@pytest.mark.parametrize("route", ["relay", "direct"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_pin_becomes_a_token_and_a_tool_answers(travel, runtime: str, route: str) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        answer = await world.device.wait_for("Answer")
        assert world.device_id in answer and "led:write" in answer

    travel(journey, runtime=runtime, device_settings={"route": route})


@pytest.mark.skipif(not have_mosquitto(), reason=NO_MOSQUITTO)
def test_a_broker_of_ones_own_takes_the_files_that_the_world_writes(embark, tmp_path) -> None:
    certificate = trustme.CA()
    issued = certificate.issue_cert("localhost")
    chain, key, ca = tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "ca.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    certificate.cert_pem.write_to_path(ca)
    (port,) = free_ports(1)
    started: list[subprocess.Popen[bytes]] = []

    def install(notice: str) -> None:
        folder = Path(notice.partition("password_file ")[2].partition("/passwords")[0])
        conf = tmp_path / "mosquitto.conf"
        user = getpass.getuser()
        conf.write_text(mosquitto.configuration(Listener(port, chain, key), folder / "passwords", folder / "acl", user=user))
        started.append(subprocess.Popen([MOSQUITTO, "-c", str(conf)]))

    async def journey(world: World) -> None:
        await pair(world)
        await world.device.wait_for("Answer")

    try:
        embark(journey, broker=f"mqtts://localhost:{port}", broker_ca=ca, on_notice=install)
    finally:
        for process in started:
            process.terminate()
            process.wait()


def test_a_plaintext_broker_is_refused() -> None:
    with pytest.raises(WorldError, match="no plaintext mode"):
        World(Path("unused"), broker="mqtt://localhost")
    with pytest.raises(WorldError, match="--broker-ca"):
        World(Path("unused"), broker="mqtts://localhost")


def test_both_sides_show_the_same_binding_word(travel) -> None:
    async def journey(world: World) -> None:
        await world.device.start()
        shown = await world.device.wait_for("PIN?")
        (entry,) = await world.waiting()
        assert entry["device"] == world.device_id
        assert f"word: {entry['binding_word']}" in shown

    travel(journey)


def test_the_state_topic_says_1_while_the_device_is_there_and_its_will_says_0_afterwards(travel) -> None:
    async def journey(world: World) -> None:
        state = topics.topic(world.device_id, "state")
        async with tapped(world) as tap:
            await world.device.start()
            await world.device.wait_for("PIN?")
            await world.device.end(signal.SIGKILL)
            await until_recorded(tap, state, b"0")
            assert [payload for topic, payload in tap.recorded() if topic == state] == [b"1", b"0"]

    travel(journey, tap=True)


def test_a_device_that_was_off_comes_back_with_its_refresh_token_and_without_a_pin(travel) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        await world.device.wait_for("Answer")
        await world.device.end()
        seen = len(world.device.lines)
        await world.device.start()
        await world.device.wait_for("Answer", since=seen)
        assert not [line for line in world.device.lines[seen:] if line.startswith("[PIN?]")]

    travel(journey, device_settings={"call": {"tool": "whoami"}})


def test_a_token_is_renewed_before_it_ends(travel) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        await world.device.wait_for("Answer")
        seen = len(world.device.lines)
        await world.device.wait_for("Ready", within_s=30, since=seen)

    travel(journey, as_settings={"access_token_ttl_s": 5})
