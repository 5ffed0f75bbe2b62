"""`latchpin doctor` names the first step that fails, and what to do."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from host_sim.world import World

LATCHPIN = str(Path(sys.executable).parent / "latchpin")


def doctor(world: World) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LATCHPIN, "doctor", "--device", str(world.folder / "device")], capture_output=True, text=True, timeout=120
    )


def change(path: Path, **members: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}))


def test_where_everything_works_it_says_so_and_exits_0(travel) -> None:
    async def journey(world: World) -> None:
        done = doctor(world)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("ok    ") == 9 and "FAIL" not in done.stdout
        assert await world.waiting() == [], "no PIN is asked for"

    travel(journey)


def test_each_broken_part_is_named_as_its_own_step(travel) -> None:
    async def journey(world: World) -> None:
        identity, settings = (world.folder / "device" / name for name in ("identity.json", "settings.json"))
        good = identity.read_text(), settings.read_text()
        broker = json.loads(good[1])["broker"]

        def failing() -> str:
            done = doctor(world)
            identity.write_text(good[0])
            settings.write_text(good[1])
            assert done.returncode == 1 and done.stdout.count("FAIL  ") == 1 and "next: " in done.stdout, (
                done.stdout + done.stderr
            )
            assert json.loads(good[0])["private"] not in done.stdout
            return done.stdout.rpartition("FAIL  ")[2].partition(":")[0]

        settings.write_text("{")
        assert failing() == "files"
        change(settings, broker={**broker, "host": "no-such-host.invalid"})
        assert failing() == "name"
        change(settings, broker={**broker, "port": 1})
        assert failing() == "connection"
        change(settings, broker={**broker, "server_name": "elsewhere.example"})
        assert failing() == "certificate"
        change(settings, broker={**broker, "pin": "00" * 32})
        assert failing() == "certificate"
        change(identity, mqtt_password="wrong")
        assert failing() == "login"
        change(identity, bridges=[[2, json.loads(good[0])["public"]]])
        assert failing() == "hello"
        other = json.loads(good[0])["bridges"][0][1]
        world.registry.path.write_text(world.registry.path.read_text().replace(json.loads(good[0])["public"], other))
        world.services["bridge"].poke(signal.SIGHUP)
        assert failing() == "handshake"
        world.registry.path.write_text(world.registry.path.read_text().replace(other, json.loads(good[0])["public"]))
        world.services["bridge"].poke(signal.SIGHUP)
        await world.services["as"].end(signal.SIGKILL)
        await world.services["bridge"].end()
        await world.services["bridge"].start()
        assert failing() == "authorization server"
        await world.services["bridge"].end()
        assert failing() == "hello"

    travel(journey)
