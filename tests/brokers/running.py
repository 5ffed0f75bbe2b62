"""Running brokers for tests: `embedded(folder, registry)` and `mosquitto(folder, registry)`, over TLS, on free ports.

Not a broker and not a test: each starts the real program in its own process and ends it.
"""

import contextlib
import dataclasses
import getpass
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import trustme

from broker_bridge import mosquitto as files
from broker_bridge.registry import Registry, hash_mqtt_password
from host_sim.world import free_ports

DEMO = ("host_sim", "broker")
MISSING = "needs mosquitto: apt-get install mosquitto"
BRIDGES, BRIDGE_PASSWORD = ("bridge", "bridge-2"), "a password for bridges"


@dataclasses.dataclass
class Running:
    """A broker that listens. `ca` is a PEM file; `reload` lets it take the registry as it is now."""

    kind: str
    host: str
    port: int
    ca: Path
    bridge_password: str = dataclasses.field(repr=False)
    process: subprocess.Popen[str]
    registry: Path
    reload: Callable[[], None]
    tap: Path | None = None
    bridge_username: str = BRIDGES[0]

    @property
    def url(self) -> str:
        return f"mqtts://{self.host}:{self.port}"


@contextlib.contextmanager
def embedded(folder: Path, registry: Registry, *, port: int = 0, program: tuple[str, ...] = DEMO) -> Iterator[Running]:
    """The demo broker, `latchpin broker`, with the bridges BRIDGES and a tap."""
    ca, _, _ = certificate(folder)
    (folder / "bridge.password").write_text(BRIDGE_PASSWORD)
    (folder / "broker.toml").write_text(
        f'listen = "127.0.0.1:{port}"\ncertificate = "broker.pem"\nprivate_key = "broker.key"\ntap = "tap.bin"\n'
        f'registry = "{registry.path.resolve()}"\n\n[bridge]\nusernames = {list(BRIDGES)}\npassword_file = "bridge.password"\n'
    )
    command = [sys.executable, "-m", *program, "--config", str(folder / "broker.toml")]
    with (folder / "broker.log").open("a") as log, _process(command, log) as process:
        ready = first_line(process)
        assert ready.startswith("ready mqtts://127.0.0.1:"), (folder / "broker.log").read_text()
        listening, path = int(ready.rpartition(":")[2]), registry.path
        yield Running("embedded", "127.0.0.1", listening, ca, BRIDGE_PASSWORD, process, path, lambda: None, folder / "tap.bin")


@contextlib.contextmanager
def mosquitto(folder: Path, registry: Registry, *, port: int = 0, more: str = "") -> Iterator[Running]:
    """Real mosquitto on the files of broker_bridge/mosquitto.py, and `more` in its settings. See `have_mosquitto()` first."""
    ca, chain, key = certificate(folder)
    bridges = {name: hash_mqtt_password(BRIDGE_PASSWORD.encode()) for name in BRIDGES}
    listener = files.Listener(port or free_port(), chain, key)

    def write() -> Path:
        conf = files.write(folder, registry, listener, bridges, user=getpass.getuser())
        conf.write_text(conf.read_text() + more)
        return conf

    with (
        (folder / "mosquitto.log").open("a") as log,
        _process([installed("mosquitto"), "-v", "-c", str(write())], log) as process,
    ):
        _wait_for(listener.port, ca, process, folder / "mosquitto.log")

        def reload() -> None:
            registry.reload()
            write()
            process.send_signal(signal.SIGHUP)

        yield Running("mosquitto", "127.0.0.1", listener.port, ca, BRIDGE_PASSWORD, process, registry.path, reload)


def have_mosquitto() -> bool:
    return bool(installed("mosquitto"))


def installed(name: str) -> str:
    """Where `name` is; Debian keeps servers out of a user's path."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin") or ""


def certificate(folder: Path) -> tuple[Path, Path, Path]:
    """(CA, chain, key) as PEM files for localhost and 127.0.0.1; made once for a folder."""
    ca, chain, key = folder / "ca.pem", folder / "broker.pem", folder / "broker.key"
    if not ca.exists():
        authority = trustme.CA()
        leaf = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(ca)
        leaf.private_key_pem.write_to_path(key)
        chain.write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
    return ca, chain, key


def free_port() -> int:
    return free_ports(1)[0]


def first_line(process: subprocess.Popen[str], within_s: float = 20) -> str:
    """The first line that the process prints, or what it printed until it ended."""
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout
    threading.Thread(target=lambda out=process.stdout: lines.put(out.readline()), daemon=True).start()
    return lines.get(timeout=within_s).strip()


@contextlib.contextmanager
def _process(command: list[str], log: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # type: ignore[arg-type]
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _wait_for(port: int, ca: Path, process: subprocess.Popen[str], log: Path) -> None:
    context = ssl.create_default_context(cafile=str(ca))
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as plain:
            context.wrap_socket(plain, server_hostname="localhost").close()
            return
        time.sleep(0.02)
    raise AssertionError(log.read_text())
