"""Whom a chip trusts before it knows the time and after, on both Pythons, against real servers good and evil.

Not for how the clock is set: tests/both_runtimes/test_adapters_hands.py. Not for one TLS context alone: test_tls.py.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.adapters.certificates import Certificates, Leaf
from tests.adapters.support import Run
from tests.adapters.tls_servers import TlsServer

NOW = int(time.time())
CANARY = b"canary"
LEAVES = ["good", "expired", "future", "other_name", "other_ca", "self_signed"]
# What the hands were told about the time when they connect.
BEFORE, FLOOR, KNOWN = None, (NOW - 5_000, False), (NOW, True)
unsure = pytest.mark.parametrize("told", [BEFORE, FLOOR], ids=["nothing-told", "a-floor-told"])


class EvilServer:
    """Goes on as far as a client lets it, and hears it out to the end. `heard`: every byte as it came; `understood`: what it
    could decrypt of them."""

    def __init__(self, leaf: Leaf, newest: ssl.TLSVersion):
        self.heard = b""
        self.understood = b""
        self.done = threading.Event()
        self._context = leaf.context()
        self._context.maximum_version = newest
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(20)
        with connection:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
            step: Callable[[], object] = tls.do_handshake
            while True:
                try:
                    found = step()
                    if step == tls.do_handshake:
                        step = tls.read
                    elif isinstance(found, bytes) and found:
                        self.understood += found
                        continue
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError:
                    step = lambda: None  # noqa: E731  (an alert is no reason to stop listening)
                try:
                    connection.sendall(outgoing.read())
                    data = connection.recv(65_536)
                except OSError:
                    data = b""
                if not data:
                    break
                self.heard += data
                incoming.write(data)
        self.done.set()

    def saw_nothing(self) -> bool:
        """Not one application byte, encrypted to it or not."""
        assert self.done.wait(30) and self.heard
        return self.understood == b"" and CANARY not in self.heard


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls1.2", "tls1.3"])
def evil(request: pytest.FixtureRequest) -> Iterator[Callable[[Leaf], EvilServer]]:
    def start(leaf: Leaf) -> EvilServer:
        return EvilServer(leaf, request.param)

    yield start


def broker(connection: ssl.SSLSocket, server: TlsServer) -> None:
    """As much of one as a CONNECT with a SUBSCRIBE behind it needs."""
    server.read_packet(connection)
    connection.sendall(b"\x20\x03\0\0\0")
    server.read_packet(connection)
    connection.sendall(b"\x90\x04\0\x01\0\x01")
    while server.read(connection):
        pass


def web(connection: ssl.SSLSocket, server: TlsServer) -> None:
    while CANARY + b"\r\n" not in server.seen:
        server.read(connection)
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def how(port: int, told: object, chip: bool = True, **proof: str) -> dict:
    return {"chip": chip, "told": [told], "broker": {"host": "localhost", "port": port, **proof}}


# Both a pin and a CA.


@unsure
@pytest.mark.parametrize("which", LEAVES)
def test_before_the_time_is_known_the_pin_alone_decides(
    run: Run, tls_server: Callable[..., TlsServer], certificates: Certificates, which: str, told: object
):
    leaf: Leaf = getattr(certificates, which)
    server = tls_server(broker, context=leaf.context())
    assert run("clock.py", how(server.port, told, pin=leaf.pin, ca=certificates.ca)) == [None]
    assert CANARY in server.seen


@pytest.mark.parametrize("which", LEAVES[1:])
def test_once_the_time_is_known_the_right_pin_is_not_enough(
    run: Run, evil: Callable[[Leaf], EvilServer], certificates: Certificates, which: str
):
    leaf: Leaf = getattr(certificates, which)
    server = evil(leaf)
    became = run("clock.py", how(server.port, KNOWN, pin=leaf.pin, ca=certificates.ca))[0]
    assert became["code"] == "tls"
    assert server.saw_nothing()


def test_once_the_time_is_known_the_right_server_satisfies_both(
    run: Run, tls_server: Callable[..., TlsServer], certificates: Certificates
):
    server = tls_server(broker, context=certificates.good.context())
    asked = how(server.port, KNOWN, pin=certificates.good.pin, ca=certificates.ca)
    # One chip through all of it, on one context.
    assert run("clock.py", asked | {"told": [BEFORE, FLOOR, KNOWN, KNOWN]}) == [None] * 4
    assert server.handshakes == 4


def test_one_chip_meets_an_expired_server_before_and_after_it_learns_the_time(
    run: Run, tls_server: Callable[..., TlsServer], certificates: Certificates
):
    server = tls_server(broker, context=certificates.expired.context())
    asked = how(server.port, BEFORE, pin=certificates.expired.pin, ca=certificates.ca)
    became = run("clock.py", asked | {"told": [BEFORE, FLOOR, KNOWN, FLOOR]})
    assert became[:2] == [None, None] and became[2]["code"] == became[3]["code"] == "tls"


@pytest.mark.parametrize("told", [BEFORE, FLOOR, KNOWN], ids=["nothing-told", "a-floor-told", "known"])
@pytest.mark.parametrize("which", ["again", *LEAVES[1:]])
def test_another_certificate_than_the_pinned_is_never_met(
    run: Run, evil: Callable[[Leaf], EvilServer], certificates: Certificates, which: str, told: object
):
    server = evil(getattr(certificates, which))
    became = run("clock.py", how(server.port, told, pin=certificates.good.pin, ca=certificates.ca))[0]
    assert became["code"] == "tls"
    assert told is KNOWN or became["text"] == "not the pinned certificate"
    assert server.saw_nothing()


def test_a_ca_file_that_is_gone_when_the_time_is_known_lets_nobody_pass(
    run: Run, tls_server: Callable[..., TlsServer], certificates: Certificates, tmp_path: Path
):
    server = tls_server(broker, context=certificates.good.context())
    asked = how(server.port, KNOWN, pin=certificates.good.pin, ca=str(tmp_path / "gone.der"))
    became = run("clock.py", asked | {"told": [BEFORE, KNOWN, KNOWN]})
    assert became[0] is None and became[1] == became[2]
    assert became[1] == {"code": "tls", "text": "pin or ca file of the broker cannot be used, or no memory"}
    assert server.handshakes == 1


# One of the two.


@pytest.mark.parametrize("told", [BEFORE, FLOOR, KNOWN], ids=["nothing-told", "a-floor-told", "known"])
@pytest.mark.parametrize("which", LEAVES[1:])
def test_by_a_ca_alone_chain_dates_and_name_count_from_the_start(
    run: Run, evil: Callable[[Leaf], EvilServer], certificates: Certificates, which: str, told: object
):
    server = evil(getattr(certificates, which))
    became = run("clock.py", how(server.port, told, ca=certificates.ca))[0]
    assert became["code"] == "tls"
    # Younger than the clock, which on a chip may be behind.
    behind = "the certificate is not valid yet, or the clock is behind: a pin would help, it needs no clock"
    assert (became["text"] == behind) == (which == "future")
    assert server.saw_nothing()


def test_by_a_ca_alone_the_right_server_is_met_before_and_after(
    run: Run, tls_server: Callable[..., TlsServer], certificates: Certificates
):
    server = tls_server(broker, context=certificates.good.context())
    assert run("clock.py", how(server.port, BEFORE, ca=certificates.ca) | {"told": [BEFORE, FLOOR, KNOWN]}) == [None] * 3


@pytest.mark.parametrize("which", LEAVES)
def test_a_pin_alone_needs_no_clock_and_no_other_proof_ever(
    run: Run, tls_server: Callable[..., TlsServer], certificates: Certificates, which: str
):
    leaf: Leaf = getattr(certificates, which)
    server = tls_server(broker, context=leaf.context())
    assert run("clock.py", how(server.port, BEFORE, pin=leaf.pin) | {"told": [BEFORE, FLOOR, KNOWN]}) == [None] * 3


# A computer, and the MCP server.


@pytest.mark.parametrize("which", LEAVES[1:])
def test_a_computer_knows_the_time_by_itself(
    run: Run, evil: Callable[[Leaf], EvilServer], certificates: Certificates, which: str
):
    leaf: Leaf = getattr(certificates, which)
    server = evil(leaf)
    assert run("clock.py", how(server.port, BEFORE, chip=False, pin=leaf.pin, ca=certificates.ca))[0]["code"] == "tls"
    assert server.saw_nothing()


@pytest.mark.parametrize("alike", [True, False])
def test_the_mcp_server_is_met_in_the_same_way(
    run: Run, tls_server: Callable[..., TlsServer], certificates: Certificates, alike: bool
):
    leaf = certificates.expired
    server = tls_server(web, context=leaf.context())
    proof = {"pin": leaf.pin, "ca": certificates.ca}
    asked = how(1, BEFORE, **(proof if alike else {"ca": certificates.ca}))
    asked |= {"mcp": proof, "url": f"https://localhost:{server.port}/mcp", "told": [BEFORE, KNOWN]}
    became = run("clock.py", asked)
    assert became[0] == {"status": 200} and became[1]["code"] == "tls"
    assert server.handshakes == 1
