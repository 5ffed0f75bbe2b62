"""A world with two replicas of the bridge, each behind a crossing; and a device whose clock stands still until it is moved.

Not another world: brokers, servers, replicas and the device are those of host_sim/world.py.
"""

import asyncio
import contextlib
import signal
import sqlite3
import sys
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import mqtt5

from broker_bridge import mosquitto
from broker_bridge.registry import hash_mqtt_password
from host_sim.world import Service, World, free_ports
from latchpin import runtime
from latchpin.runner import Runner
from tests.journeys.spied_device import SpiedDevice
from tests.replicas.crossing import Crossing

REPLICAS = ("bridge", "bridge-2")
WITHIN_S = 60  # only a hang takes that long


class Carried(NamedTuple):
    """A message at a crossing. up: from the device."""

    crossing: Crossing
    up: bool


Deed = Callable[[Carried], Awaitable[bool]]


class Cluster(World):
    """`at(number, deed)`: when the message of that number comes to a crossing, `deed` is done and says whether it may pass."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, **options)
        self.crossings: dict[str, Crossing] = {}
        self.carried: list[Carried] = []
        self.met: asyncio.Future[Carried]
        self._at: tuple[int, Deed] | None = None
        self._told: Crossing | None = None
        self._servers: list[asyncio.Server] = []

    async def begin(self, number: int = 0, deed: Deed | None = None) -> None:
        """Two replicas stand, whatever became of those before, and messages are counted from 1. `met` has the one of `number`."""
        for name in REPLICAS:
            if not self.services[name].alive:
                await self.services[name].start()
        self.carried, self._told = [], None
        self._at = (number, deed) if deed else None
        self.met = asyncio.get_running_loop().create_future()

    async def kill(self, carried: Carried) -> bool:
        """The replica dies by SIGKILL, and the message with it."""
        await self.services[carried.crossing.name].end(signal.SIGKILL)
        return False

    async def stop(self, carried: Carried) -> bool:
        """The replica is told to stop; what comes up from now on reaches it once it has said that it leaves the share."""
        self.services[carried.crossing.name].poke(signal.SIGTERM)
        self._told = carried.crossing
        return True

    async def ended(self, name: str) -> int:
        """The exit code of a replica that ends by itself."""
        process = self.services[name]._process
        assert process is not None
        return await asyncio.wait_for(process.wait(), WITHIN_S)

    async def _passes(self, crossing: Crossing, packet: mqtt5.PublishPacket) -> bool:
        carried, passes = Carried(crossing, not packet.topic.endswith("/down")), True
        self.carried.append(carried)
        if self._at is not None and len(self.carried) == self._at[0]:
            self.met.set_result(carried)
            passes = await self._at[1](carried)
        if carried.up and self._told is crossing:
            await crossing.leaving.wait()
        return passes

    # What World asks its heirs.

    def _write_files(self, ports: list[int]) -> None:
        super()._write_files(ports)
        broker = tomllib.loads((self.folder / "broker.toml").read_text())
        broker["bridge"] = {"usernames": list(REPLICAS), "password_file": "bridge.password"}
        self._write_toml("broker.toml", broker)
        for name, port in zip(REPLICAS, free_ports(len(REPLICAS)), strict=True):
            bridge = tomllib.loads((self.folder / "bridge.toml").read_text())
            bridge["broker"].update(url=f"mqtts://localhost:{port}", username=name)
            bridge["operations"] = {}
            # A device is paired again and again here.
            bridge["limits"] = {"frames_per_s": 1000, "frames_burst": 1000}
            self._write_toml(f"{name}.toml", bridge)
            self.crossings[name] = Crossing(name, port, ports[2], self.folder, self._passes)

    def _mosquitto(self, port: int) -> list[str]:
        command = super()._mosquitto(port)
        hashed = hash_mqtt_password(self._bridge_password.encode())
        (self.folder / "passwords").write_text(mosquitto.password_lines(self.registry, dict.fromkeys(REPLICAS, hashed)))
        (self.folder / "acl").write_text(mosquitto.acl_lines(REPLICAS))
        return command

    async def _start_services(self, broker_port: int) -> None:
        self._servers = [await crossing.open() for crossing in self.crossings.values()]
        await super()._start_services(broker_port)
        # Not with the others: it would look for a broker that is not there yet, and wait.
        self._add_replica(REPLICAS[1])
        await self.services[REPLICAS[1]].start()

    def _add(self, name: str, command: list[str], says_ready: bool = True) -> None:
        if name == REPLICAS[0]:
            self._add_replica(name)
        else:
            super()._add(name, command, says_ready)

    def _add_replica(self, name: str) -> None:
        self.services[name] = Service(name, [sys.executable, "-m", "host_sim", "bridge", "--config", f"{name}.toml"], self.folder)

    async def end(self) -> None:
        await super().end()
        for server in self._servers:
            server.close()

    # What the authorization server has written down.

    def rows(self, query: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.folder / "as-state" / "state.sqlite")) as connection:
            return connection.execute(query).fetchall()


class StillDevice(SpiedDevice):
    """The device in this process. Its clock moves only by `until_greeting`; a person types the PIN whenever it asks."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.clock_ms = 0
        self.typed = 0

    @property
    def agent(self) -> Any:
        return self.runner.agent

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not met():
                await asyncio.sleep(0.01)

    async def until_greeting(self) -> None:
        """Time passes for the device, until it has given up and says hello again."""
        talk, greeted = self.agent.talk, asyncio.Event()
        greet = talk.greet

        def watched(now_ms: int) -> Any:
            greeted.set()
            return greet(now_ms)

        talk.greet = watched
        while not greeted.is_set():
            deadline_ms = self.clock_ms = self.agent.deadline_ms
            self.runner._wake.set()
            await self.until(lambda deadline_ms=deadline_ms: greeted.is_set() or self.agent.deadline_ms != deadline_ms)

    async def be_typed_at(self, world: World) -> None:
        pin = ""
        while True:
            await self.until(lambda: self.agent.state == "WAITING")
            pin = pin or (await world.issue_pin())["pin"]
            self.type(pin + "#")
            self.typed += 1
            await self.until(lambda: self.agent.state != "WAITING")


@contextlib.asynccontextmanager
async def still_device(world: World, monkeypatch: Any) -> AsyncIterator[StillDevice]:
    """An unpaired StillDevice at work, and a person beside it."""
    for journal in (world.folder / "device").glob("token_?.bin"):
        journal.unlink()
    device = StillDevice(world)
    monkeypatch.setattr(runtime, "ticks_ms", lambda: device.clock_ms)
    device.runner = Runner(device, device.identity, device.settings)
    tasks = [asyncio.create_task(device.runner.run()), asyncio.create_task(device.be_typed_at(world))]
    try:
        yield device
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
