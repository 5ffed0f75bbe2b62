"""TLS on both Pythons against real servers: who does not prove itself sees no application byte.

Not for MQTT: test_mqtt_link.py has that.
"""

import hashlib
import re
import socket
import ssl
import time
from collections.abc import Callable

import pytest

from tests.adapters.certificates import Certificates, Leaf
from tests.adapters.support import DEVICE, Run
from tests.adapters.tls_servers import TlsServer

FIRST = "canary: what must never reach a stranger"

Start = Callable[..., TlsServer]


def trust(certificates: Certificates, by: str) -> dict:
    return {"ca": {"ca": certificates.ca}, "pin": {"pin": certificates.good.pin}}[by] | {"first": FIRST}


def echo(connection: ssl.SSLSocket, server: TlsServer) -> None:
    while data := server.read(connection):
        for at in range(0, len(data), 700):
            connection.sendall(data[at : at + 700])


@pytest.mark.parametrize("by", ["ca", "pin"])
def test_a_server_that_proves_itself_gets_the_first_bytes(run: Run, tls_server: Start, certificates: Certificates, by: str):
    server = tls_server(context=certificates.good.context())
    assert run("open_tls.py", trust(certificates, by) | {"port": server.port})["code"] is None
    assert server.done.wait(30)
    assert server.seen == FIRST.encode()


def test_pin_and_ca_together_must_both_hold(run: Run, tls_server: Start, certificates: Certificates):
    both = trust(certificates, "ca") | trust(certificates, "pin")
    good, again = tls_server(context=certificates.good.context()), tls_server(context=certificates.again.context())
    assert run("open_tls.py", both | {"port": good.port})["code"] is None
    assert run("open_tls.py", both | {"port": again.port}) == {"code": "tls", "text": "not the pinned certificate"}
    assert again.seen == b""


def test_neither_pin_nor_ca_is_refused_before_any_connection(run: Run, tls_server: Start, certificates: Certificates):
    server = tls_server(context=certificates.good.context())
    assert run("open_tls.py", {"first": FIRST, "port": server.port}) == {"refused": "context"}
    assert server.handshakes == 0 and not server.failures


@pytest.mark.parametrize("pin", ["00", "zz" * 32, "0" * 63])
def test_a_pin_that_is_no_sha_256_is_refused(run: Run, pin: str):
    assert run("open_tls.py", {"first": FIRST, "port": 1, "pin": pin}) == {"refused": "context"}


def test_the_next_pin_may_stand_beside_the_current_one(run: Run, tls_server: Start, certificates: Certificates):
    server = tls_server(context=certificates.again.context())
    two = f"{certificates.good.pin} {certificates.again.pin.upper()}"
    assert run("open_tls.py", {"first": FIRST, "port": server.port, "pin": two})["code"] is None


@pytest.mark.parametrize("which", ["other_name", "other_ca", "expired", "future", "self_signed"])
def test_a_server_outside_the_ca_sees_no_application_byte(run: Run, tls_server: Start, certificates: Certificates, which: str):
    leaf: Leaf = getattr(certificates, which)
    server = tls_server(context=leaf.context())
    answer = run("open_tls.py", trust(certificates, "ca") | {"port": server.port})
    assert answer["code"] == "tls" and answer["text"]
    assert server.done.wait(30)
    assert server.seen == b""


def test_the_name_that_counts_is_the_server_name(run: Run, tls_server: Start, certificates: Certificates):
    other, good = tls_server(context=certificates.other_name.context()), tls_server(context=certificates.good.context())
    asked = trust(certificates, "ca") | {"server_name": "elsewhere.example"}
    assert run("open_tls.py", asked | {"port": other.port})["code"] is None
    assert run("open_tls.py", asked | {"port": good.port})["code"] == "tls"
    assert good.done.wait(30)
    assert good.seen == b""


@pytest.mark.parametrize("which", ["again", "other_name", "other_ca", "expired", "self_signed"])
def test_a_server_with_another_certificate_than_the_pinned_sees_no_application_byte(
    run: Run, tls_server: Start, certificates: Certificates, which: str
):
    leaf: Leaf = getattr(certificates, which)
    server = tls_server(context=leaf.context())
    answer = run("open_tls.py", trust(certificates, "pin") | {"port": server.port})
    assert answer == {"code": "tls", "text": "not the pinned certificate"}
    assert server.done.wait(30)
    assert server.seen == b""


@pytest.mark.parametrize("which", ["expired", "future", "self_signed"])
def test_a_pin_holds_without_a_clock_and_without_a_ca(run: Run, tls_server: Start, certificates: Certificates, which: str):
    leaf: Leaf = getattr(certificates, which)
    server = tls_server(context=leaf.context())
    answer = run("open_tls.py", {"first": FIRST, "port": server.port, "pin": leaf.pin, "server_name": "anything"})
    assert answer["code"] is None
    assert server.done.wait(30)
    assert server.seen == FIRST.encode()


def test_a_pinned_leaf_with_a_foreign_key_is_refused(run: Run, tls_server: Start, certificates: Certificates):
    """The certificate is public: without its key the handshake must fail (RFC 5246, section 7.4.3)."""

    def replay(connection: socket.socket, server: TlsServer) -> None:
        # The flight of the real server, recorded from another handshake and played to this client.
        with socket.create_connection(("127.0.0.1", real.port)) as upstream:
            upstream.settimeout(30)
            connection.recv(65_536)
            stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            stranger.check_hostname = False
            stranger.verify_mode = ssl.CERT_NONE
            stranger.maximum_version = ssl.TLSVersion.TLSv1_2
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = stranger.wrap_bio(incoming, outgoing)
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            upstream.sendall(outgoing.read())
            connection.sendall(upstream.recv(65_536))
            server.raw += connection.recv(65_536)

    real = tls_server(context=certificates.good.context())
    server = tls_server(raw=replay)
    answer = run("open_tls.py", trust(certificates, "pin") | {"port": server.port})
    assert answer["code"] == "tls"
    assert server.done.wait(30) and not server.failures
    assert server.raw[:1] in (b"", b"\x15"), "an alert or nothing"
    assert FIRST.encode() not in server.raw


@pytest.mark.parametrize("by", ["ca", "pin"])
def test_a_server_that_hangs_in_the_handshake_is_given_up(run: Run, tls_server: Start, certificates: Certificates, by: str):
    def hang(connection: socket.socket, server: TlsServer) -> None:
        while data := connection.recv(65_536):
            server.raw += data

    server = tls_server(raw=hang)
    started = time.monotonic()
    answer = run("open_tls.py", trust(certificates, by) | {"port": server.port, "timeout_s": 1})
    assert answer["code"] == "timeout"
    assert time.monotonic() - started < 25
    assert server.done.wait(30)
    assert server.raw[0] == 22 and FIRST.encode() not in server.raw


def test_a_server_that_stops_in_the_middle_of_its_flight_is_given_up(run: Run, tls_server: Start, certificates: Certificates):
    def stop(connection: socket.socket, server: TlsServer) -> None:
        with socket.create_connection(("127.0.0.1", real.port)) as upstream:
            upstream.sendall(connection.recv(65_536))
            connection.sendall(upstream.recv(65_536)[:200])
            server.raw += connection.recv(65_536)

    real = tls_server(context=certificates.good.context())
    server = tls_server(raw=stop)
    assert run("open_tls.py", trust(certificates, "ca") | {"port": server.port, "timeout_s": 1})["code"] == "timeout"
    assert server.done.wait(30)
    assert FIRST.encode() not in server.raw


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x03\x00\x00\x00" * 9])
def test_a_server_without_tls_sees_no_application_byte(run: Run, tls_server: Start, certificates: Certificates, says: bytes):
    def plain(connection: socket.socket, server: TlsServer) -> None:
        server.raw += connection.recv(65_536)
        connection.sendall(says)
        connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(65_536):
            server.raw += data

    server = tls_server(raw=plain)
    answer = run("open_tls.py", trust(certificates, "pin") | {"port": server.port})
    assert answer["code"] == "tls"
    assert server.done.wait(30)
    assert FIRST.encode() not in server.raw


def test_a_server_of_tls_1_1_is_refused(run: Run, tls_server: Start, certificates: Certificates):
    context = certificates.good.context()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    server = tls_server(context=context)
    assert run("open_tls.py", trust(certificates, "ca") | {"port": server.port})["code"] == "tls"
    assert server.seen == b""


def test_nobody_listening_is_tcp_and_an_unknown_name_is_dns(run: Run, certificates: Certificates):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert run("open_tls.py", trust(certificates, "ca") | {"port": port})["code"] == "tcp"
    assert run("open_tls.py", trust(certificates, "ca") | {"port": port, "host": "no-such-host.invalid"})["code"] == "dns"


@pytest.mark.parametrize("size", [256, 4_096, 65_536])
def test_big_writes_and_partial_reads_come_through_whole(run: Run, tls_server: Start, certificates: Certificates, size: int):
    server = tls_server(echo, context=certificates.good.context())
    answer = run("open_tls.py", trust(certificates, "ca") | {"port": server.port, "size": size})
    assert answer == {"code": None, "echoed": True}


def test_a_device_never_imports_ssl_and_never_asks_for_no_certificate():
    for path in DEVICE.rglob("*.py"):
        code = re.sub(r"#.*", "", path.read_text())
        assert "CERT_NONE" not in code and not re.search(r"import ssl|from ssl", code), path


def test_the_pin_is_the_sha_256_of_the_leaf_as_openssl_prints_it(certificates: Certificates):
    der = ssl.PEM_cert_to_DER_cert(certificates.good.certificate.read_text().split("-----END")[0] + "-----END CERTIFICATE-----\n")
    assert hashlib.sha256(der).hexdigest() == certificates.good.pin
