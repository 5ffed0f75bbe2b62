"""Pairings to measure: a World whose device is one of on_device/*.py, booted, paired, asked for one tool call, ended.

Not a journey of its own: broker, bridge, AS, MCP server and device are what `latchpin demo` starts, unchanged.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from host_sim.world import BOARD, DeviceProcess, World, WorldError

ON_DEVICE = Path(__file__).resolve().parent / "on_device"
WATCHED, WEIGHED, PLAIN = ON_DEVICE / "watched.py", ON_DEVICE / "weighed.py", BOARD / "main.py"
WITHIN_S = 20
# One device that pairs again and again would otherwise meet the bridge's limit of 5 frames a second.
UNHURRIED = {"limits": {"frames_per_s": 1000, "frames_burst": 1000}}


class Pairing(NamedTuple):
    """What one pairing left behind: `said` by the wrapper on the device's stderr, `requests` as the bridge logged them."""

    said: Any
    requests: list[dict[str, Any]]


class MeasuredWorld(World):
    """A World whose device starts at `main`: PLAIN is the board's own, WATCHED and WEIGHED import that and look on."""

    def __init__(self, folder: Path, main: Path, **options: Any) -> None:
        super().__init__(folder, main=main, bridge_settings=UNHURRIED, **options)

    async def __aenter__(self) -> "MeasuredWorld":
        await super().__aenter__()
        return self

    async def pair(self, runtime: str, heap: str | None = None, within_s: float = WITHIN_S) -> Pairing:
        """Boot an unpaired device on `runtime`, type the PIN, wait for the tool's answer, end it.

        heap: as `-X heapsize=` takes it. Raises WorldError: a screen did not come within `within_s`, or the device died.
        """
        self.runtime, self._heap = runtime, heap
        folder = self.folder / "device"
        for journal in folder.glob("token_?.bin"):
            journal.unlink()
        bridge_log, device_log = self.services["bridge"].log, folder / "device.log"
        before = [log.stat().st_size if log.exists() else 0 for log in (bridge_log, device_log)]
        command, environment = self._device_command()
        self.device = DeviceProcess(folder, command, environment, lambda line: None)
        await self.device.start()
        try:
            await self.device.wait_for("PIN?", within_s)
            pin = (await self.issue_pin())["pin"]
            await self.device.type(pin + "#")
            answer = await self.device.wait_for("Answer", within_s)
        finally:
            await self.device.end()
        if self.device_id not in answer:
            raise WorldError(f"the tool did not answer: {answer}")
        lines = [line for line in _since(bridge_log, before[0]) if line.startswith("{")]
        said = [line.removeprefix("bench ") for line in _since(device_log, before[1]) if line.startswith("bench ")]
        requests = [entry for entry in map(json.loads, lines) if entry.get("event") == "request"]
        return Pairing(json.loads(said[-1]) if said else None, requests)


def leg_of(requests: list[dict[str, Any]]) -> list[str]:
    """The leg to which each request of a pairing belongs; a CHALLENGE after the PROMPT carries the PIN."""
    legs, prompted = [], False
    for request in requests:
        step = request["step"]
        legs.append({"challenge": "answer" if prompted else "challenge", "call": "MCP call"}.get(step, step))
        prompted = prompted or request["outcome"] == "prompt"
    return legs


def _since(log: Path, start: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace").splitlines()
