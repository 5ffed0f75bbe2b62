"""What the adapter tests share: running a device script on both Pythons, TLS servers good and evil, certificates.

Not for mocks: servers here are real sockets, and the device side is always the project's own code in a process of its own.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.adapters.certificates import Certificates
from tests.adapters.support import HERE, Run, command, environment
from tests.adapters.tls_servers import TlsServer


@pytest.fixture(params=["cpython", "micropython"])
def python(request: pytest.FixtureRequest) -> str:
    """Which Python plays the device."""
    return request.param


@pytest.fixture
def run(python: str, tmp_path: Path) -> Run:
    """run(script name, argument, timeout_s=30) -> what the script printed as JSON on its last line."""

    def run(name: str, argument: object = None, timeout_s: float = 30, options: tuple[str, ...] = ()) -> dict:
        script = HERE / "on_device" / name
        # In a file: MicroPython dies of an argument of more than 255 bytes ("uncaught NLR").
        given = tmp_path / "argument.json"
        given.write_text(json.dumps(argument))
        done = subprocess.run(
            [*command(python, script, options), str(given)],
            env=environment(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(trustme.CA(), tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_server() -> Iterator[Callable[..., TlsServer]]:
    """tls_server(behaviour, context=...) -> a started TlsServer, stopped at the end of the test."""
    started = []

    def start(*arguments, **named) -> TlsServer:
        server = TlsServer(*arguments, **named)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()
