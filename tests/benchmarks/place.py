"""Where a bridge is measured: broker, AS and bridge as processes, the bridge on a core of its own, all devices in this process.

Not a world: the AS is a trivial one, and the bridge's limits are lifted.
"""

import asyncio
import contextlib
import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from broker_bridge import bridge_key, mosquitto
from broker_bridge.registry import Registry, hash_mqtt_password
from host_sim.world import LOOPBACK, Service
from latchpin.wire import topics
from tests.benchmarks.load import Link, LoadDevice, join
from tests.bridge.driver import KID, Identity
from tests.brokers.measure import memory_kb
from tests.brokers.running import certificate, free_port, have_mosquitto, installed

HERE = Path(__file__).resolve().parent
PASSWORD = "a password for bridges"
OTHERS = ("bridge-echo", "bridge-wire", "bridge-pass", "bridge-naive")


def broker_here() -> str:
    """mosquitto where it is installed, for that is what stands in production; else the demo broker."""
    return "mosquitto" if have_mosquitto() else "embedded"


@contextlib.contextmanager
def on_core(number: int | None) -> Any:
    """Processes and threads that are started inside stay on this core, or on any for None; so does this one meanwhile."""
    if number is None or not hasattr(os, "sched_getaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[number % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_us(process: int) -> float:
    """CPU that all threads of a process have used (Linux); 0 where nobody says."""
    try:
        threads = Path(f"/proc/{process}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1000
    except (OSError, ValueError):
        return 0.0


class Place:
    """`services` by name; `devices` are enrolled and connected, `enrolled` more stand in the registry, for `crowd`.

    cores: that of the bridge and that of all the rest.
    """

    def __init__(
        self,
        folder: Path,
        broker: str,
        devices: int = 32,
        replicas: int = 1,
        enrolled: int = 0,
        cores: tuple[int | None, int | None] = (0, 1),
    ) -> None:
        self.folder, self.kind = folder, broker
        self.services: dict[str, Service] = {}
        self.links: list[Link] = []
        self.devices: list[LoadDevice] = []
        self.replicas: dict[str, str] = {}
        self._count, self._enrolled, self.cores = devices, enrolled, cores
        self._bridges = [f"bridge-{number}" for number in range(1, replicas + 1)]

    async def __aenter__(self) -> "Place":
        try:
            await self._build()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for link in self.links:
            link.close()
        await asyncio.gather(*(service.end() for service in self.services.values()))

    def pid(self, name: str) -> int:
        process = self.services[name]._process
        assert process is not None
        return process.pid

    def spent_us(self, names: Sequence[str]) -> dict[str, float]:
        """CPU so far, of services by name; "load" is this process."""
        return {name: cpu_us(os.getpid() if name == "load" else self.pid(name)) for name in names}

    def resident_kb(self, name: str) -> int:
        return memory_kb(self.pid(name))

    async def link(self, name: str, password: str, patterns: list[str]) -> Link:
        link = await join(self.broker_port, self.ca, name, password, patterns)
        self.links.append(link)
        return link

    async def start(self, name: str, *command: str, core: int | None, says_ready: bool = True) -> str:
        """What the program says behind `ready`."""
        self.services[name] = service = Service(name, list(command), self.folder, says_ready)
        with on_core(core):
            return await service.start()

    async def _build(self) -> None:
        self.folder.chmod(0o700)
        self.ca, chain, key = certificate(self.folder)
        bridge = bridge_key.make(self.folder / "bridge.key")
        self.identities = self._enrol(bridge.public)
        self.broker_port, self.as_port, self.operations_port = free_port(), free_port(), free_port()
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "client.secret").write_text("client-secret-" + "q" * 20)
        for name in self._bridges:
            self._write_bridge(name)
        trivial = [sys.executable, str(HERE / "trivial_as.py"), str(self.as_port), str(chain), str(key)]
        await self.start("AS", *trivial, core=self.cores[1])
        await self._start_broker(chain, key)
        for name in self._bridges:
            command = (sys.executable, "-m", "host_sim", "bridge", "--config", f"{name}.toml")
            self.replicas[name] = await self.start(name, *command, core=self.cores[0])
        for identity in self.identities[: self._count]:
            link = await self.link(identity.device, identity.password, [topics.topic(identity.device, "down")])
            self.devices.append(LoadDevice(identity, link))

    def _enrol(self, bridge_public: bytes) -> list[Identity]:
        identities = [Identity(bridge_public, f"lp-load-{number}") for number in range(self._count + self._enrolled)]
        hashed = hash_mqtt_password(identities[0].password.encode())
        table = {}
        for identity in identities:
            identity.password = identities[0].password
            key = {"kid": identity.kid[0], "public": identity.public.hex()}
            table[identity.device] = {"alias": "", "mqtt_password": hashed, "revoked": False, "keys": [key]}
        (self.folder / "devices.toml").write_text(tomli_w.dumps({"devices": table}))
        return identities

    def _write_bridge(self, name: str) -> None:
        issuer = f"https://localhost:{self.as_port}"
        first = name == self._bridges[0]
        table = {
            "broker": {
                "url": f"mqtts://localhost:{self.broker_port}",
                "username": name,
                "password_file": "password",
                "ca": "ca.pem",
            },
            "authorization_server": {
                "issuer": issuer,
                "client_id": "latchpin-device",
                "client_secret_file": "client.secret",
                "ca": "ca.pem",
                "private_networks": LOOPBACK,
            },
            "resources": [{"uri": f"{issuer}/mcp", "scopes": ["led:read"], "ca": "ca.pem", "private_networks": LOOPBACK}],
            "identity": {"key_file": "bridge.key", "kid": KID},
            "registry": {"file": "devices.toml"},
            "operations": {"listen": f"127.0.0.1:{self.operations_port}"} if first else {},
            # One machine stands for thousands of devices here.
            "limits": {"frames_per_s": 1e6, "frames_burst": 1_000_000, "handshakes_per_s": 1e6},
        }
        (self.folder / f"{name}.toml").write_text(tomli_w.dumps(table))

    async def _start_broker(self, chain: Path, key: Path) -> None:
        names = [*self._bridges, *OTHERS]
        if self.kind == "mosquitto":
            hashed = dict.fromkeys([*names, "crowd"], hash_mqtt_password(PASSWORD.encode()))
            listener = mosquitto.Listener(self.broker_port, chain, key)
            registry = Registry(self.folder / "devices.toml")
            conf = mosquitto.write(self.folder, registry, listener, hashed, user=getpass.getuser())
            with (self.folder / "acl").open("a") as acl:
                acl.write("user crowd\ntopic readwrite latchpin/#\n")
            await self.start("broker", installed("mosquitto"), "-c", str(conf), core=self.cores[1], says_ready=False)
            await _listening(self.broker_port, self.folder / "broker.log")
            return
        table = {
            "listen": f"127.0.0.1:{self.broker_port}",
            "certificate": chain.name,
            "private_key": key.name,
            "registry": "devices.toml",
            "bridge": {"usernames": names, "password_file": "password"},
        }
        (self.folder / "broker.toml").write_text(tomli_w.dumps(table))
        program = ["host_sim", "broker"] if not self._enrolled else ["tests.brokers.open_broker"]
        await self.start("broker", sys.executable, "-m", *program, "--config", "broker.toml", core=self.cores[1])


async def _listening(port: int, log: Path) -> None:
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError(log.read_text())
