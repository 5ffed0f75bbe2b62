"""What a bridge carries: sealed round trips and handshakes a second, beside the bare echo of the same broker in the same run.

Not a limit of the product: broker, bridge, AS and all devices share this machine's cores. CPU a trip is the steadier figure.
"""

import asyncio
import getpass
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w

from broker_bridge import bridge_key, mosquitto
from broker_bridge.registry import Registry, hash_mqtt_password
from host_sim.broker import loop_factory
from host_sim.world import Service
from latchpin.wire import bridge_side, topics
from tests.benchmarks import report
from tests.benchmarks.load import Link, LoadDevice, join
from tests.bridge.driver import KID, LOOPBACK, Identity
from tests.brokers.measure import cpu_s
from tests.brokers.running import certificate, free_port, have_mosquitto, installed

HERE = Path(__file__).resolve().parent
DEVICES = 32
ECHO, PAYLOAD = "echo-1", bytes(256)
CHALLENGE = {
    "resource": 0,
    "scope": 0,
    "code_challenge": "c" * 43,
    "dpop": ".".join(("h" * 200, "c" * 200, "s" * 86)),
}


class Place:
    """Broker, bridge and trivial AS as processes, and devices in this one."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.folder, self.kind = folder, broker
        self.services: dict[str, Service] = {}
        self.counts: dict[str, int] = {}
        self.links: list[Link] = []
        self.devices: list[LoadDevice] = []

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

    async def _build(self) -> None:
        folder = self.folder
        folder.chmod(0o700)
        ca, chain, key = certificate(folder)
        bridge = bridge_key.make(folder / "bridge.key")
        identities = self._enrol(bridge.public)
        broker_port, as_port = free_port(), free_port()
        (folder / "password").write_text("a password for bridges")
        (folder / "client.secret").write_text("client-secret-" + "q" * 20)
        self._write_bridge(broker_port, as_port)
        trivial = [sys.executable, str(HERE / "trivial_as.py"), str(as_port), str(chain), str(key)]
        await self._start("as", trivial)
        await self._start_broker(broker_port, chain, key)
        await self._start("bridge", [sys.executable, "-m", "host_sim", "bridge", "--config", "bridge.toml"])
        echo = await join(broker_port, ca, "bridge-2", "a password for bridges", [bridge_side.replica_filter(ECHO)])
        echo.heard = lambda topic, payload: echo.publish(topics.topic(topic.split("/")[2], "down"), payload)
        self.links.append(echo)
        for identity in identities:
            link = await join(broker_port, ca, identity.device, identity.password, [topics.topic(identity.device, "down")])
            self.links.append(link)
            self.devices.append(LoadDevice(identity, link, self.counts))

    def _enrol(self, bridge_public: bytes) -> list[Identity]:
        registry = Registry(self.folder / "devices.toml")
        identities = [Identity(bridge_public, f"lp-load-{number}") for number in range(DEVICES)]
        for identity in identities:
            registry.enrol(identity.device, identity.public, hash_mqtt_password(identity.password.encode()))
        return identities

    def _write_bridge(self, broker_port: int, as_port: int) -> None:
        issuer = f"https://localhost:{as_port}"
        table = {
            "broker": {
                "url": f"mqtts://localhost:{broker_port}",
                "username": "bridge",
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
            # One machine stands for thousands of devices here.
            "limits": {"frames_per_s": 1e6, "frames_burst": 1_000_000, "handshakes_per_s": 1e6},
        }
        (self.folder / "bridge.toml").write_text(tomli_w.dumps(table))

    async def _start_broker(self, port: int, chain: Path, key: Path) -> None:
        names = ["bridge", "bridge-2"]
        if self.kind == "mosquitto":
            hashed = hash_mqtt_password(b"a password for bridges")
            listener = mosquitto.Listener(port, chain, key)
            registry = Registry(self.folder / "devices.toml")
            conf = mosquitto.write(self.folder, registry, listener, dict.fromkeys(names, hashed), user=getpass.getuser())
            await self._start("broker", [installed("mosquitto"), "-c", str(conf)], says_ready=False)
            for _ in range(200):
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return
            raise AssertionError((self.folder / "broker.log").read_text())
        table = {
            "listen": f"127.0.0.1:{port}",
            "certificate": chain.name,
            "private_key": key.name,
            "registry": "devices.toml",
            "bridge": {"usernames": names, "password_file": "password"},
        }
        (self.folder / "broker.toml").write_text(tomli_w.dumps(table))
        await self._start("broker", [sys.executable, "-m", "host_sim", "broker", "--config", "broker.toml"])

    async def _start(self, name: str, command: list[str], says_ready: bool = True) -> None:
        self.services[name] = Service(name, command, self.folder, says_ready)
        await self.services[name].start()

    def _cpu_s(self) -> dict[str, float]:
        try:
            used = {name: cpu_s(service._process.pid) for name, service in self.services.items() if service._process}
        except OSError:  # no /proc here
            used = {}
        return {**used, "devices": time.process_time()}

    async def load(self, begin: Callable[[LoadDevice], None], what: str, seconds: float) -> tuple[float, dict[str, float]]:
        """(things done a second, CPU microseconds of each process a thing) with every device at it."""
        for device in self.devices:
            begin(device)
        await asyncio.sleep(0.2)
        before, used, began = self.counts.get(what, 0), self._cpu_s(), time.monotonic()
        await asyncio.sleep(seconds)
        done, took = self.counts.get(what, 0) - before, time.monotonic() - began
        spent = {name: 1e6 * (now - used[name]) / max(1, done) for name, now in self._cpu_s().items()}
        await asyncio.gather(*(device.rest() for device in self.devices))
        assert done, f"no {what} came back; counted: {self.counts}"
        return done / took, spent


# What every device does, what comes back for it, and how it begins.
LOADS: dict[str, tuple[str, Callable[[LoadDevice], None]]] = {
    "bare echo, 256 B, no bridge": ("echo", lambda device: device.echo(ECHO, PAYLOAD)),
    "handshake (4 messages)": ("handshake", lambda device: device.shake()),
    "DISCOVER (sealed, from the cache)": ("OFFER", lambda device: device.ask("DISCOVER", {"resource": 0})),
    "CHALLENGE (sealed, one HTTPS POST)": ("PROMPT", lambda device: device.ask("CHALLENGE", CHALLENGE)),
}


def run(quick: bool) -> dict[str, Any]:
    """Prints a table for each broker and returns its figures."""
    brokers = ["embedded", *(["mosquitto"] if have_mosquitto() and not quick else [])]
    figures = {}
    for broker in brokers:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            figures[broker] = runner.run(_measure(broker, 1 if quick else 3, 0.6 if quick else 1.5))
    return figures


async def _measure(broker: str, rounds: int, seconds: float) -> dict[str, Any]:
    rates: dict[str, list[float]] = {name: [] for name in LOADS}
    spent: dict[str, list[dict[str, float]]] = {name: [] for name in LOADS}
    with tempfile.TemporaryDirectory(prefix="latchpin-bench-") as folder:
        async with Place(Path(folder), broker) as place:
            for _ in range(rounds):
                for name, (what, begin) in LOADS.items():
                    rate, used = await place.load(begin, what, seconds)
                    rates[name].append(rate)
                    spent[name].append(used)
    echo, *_ = LOADS
    rows, figures = [], {}
    for name in LOADS:
        ratio = [rate / bare for rate, bare in zip(rates[name], rates[echo], strict=True)]
        cpu = {part: statistics.median(used[part] for used in spent[name]) for part in spent[name][0]}
        shown = [f"{cpu[part]:.0f}" if part in cpu else "-" for part in ("bridge", "broker", "as", "devices")]
        rows.append([name, report.spread(rates[name]), report.spread(ratio, 3), *shown])
        figures[name] = {
            "per_s": report.figure(rates[name], 1),
            "of_echo": report.figure(ratio),
            "cpu_us": {part: round(value) for part, value in cpu.items()},
        }
    report.table(
        f"Bridge: {DEVICES} devices at once, {broker} broker; a second, median of {rounds} rounds of {seconds:g} s (least..most)",
        ["what", "a second", "of the echo", "CPU us: bridge", "broker", "AS", "devices"],
        rows,
        [
            "one of each in turn in every round; `of the echo` divides by the echo of the same round",
            "all over TLS with QoS 1; one bridge process that logs as it does by default; devices: one process, mqtt5 codec",
            "CPU us: of each process for one round trip, from /proc (10 ms ticks): the steadier figure on a busy machine",
            "the AS answers every challenge with the same 403 at once (trivial_as.py); the bridge's limits are lifted",
        ],
    )
    return figures
