"""adapters/https_post.py on both Pythons: what goes out, what is understood, and what is refused.

Not for TLS: test_tls.py has that.
"""

import ssl
from collections.abc import Callable

import pytest

from tests.adapters.certificates import Certificates
from tests.adapters.support import Run
from tests.adapters.tls_servers import TlsServer

Start = Callable[..., TlsServer]
HEADERS = "Content-Type: application/json\r\nMcp-Method: tools/call\r\n"
BODY = '{"jsonrpc": "2.0"}'


def answers(*parts: bytes) -> Callable:
    def behaviour(connection: ssl.SSLSocket, server: TlsServer) -> None:
        while BODY.encode() not in server.seen:
            server.read(connection)
        for part in parts:
            connection.sendall(part)
        connection.unwrap()

    return behaviour


def how(port: int, certificates: Certificates, **more: object) -> dict:
    given = {"url": f"https://localhost:{port}/mcp", "headers": HEADERS, "body": BODY, "proof": {"ca": certificates.ca}}
    return given | more


@pytest.fixture
def ask(run: Run, tls_server: Start, certificates: Certificates) -> Callable:
    """ask(parts of an answer, ...) -> (what the device made of it, what the server saw)."""

    def ask(*parts: bytes, **more: object) -> tuple[dict, bytes]:
        server = tls_server(answers(*parts), context=certificates.good.context())
        return run("post.py", how(server.port, certificates, **more)), server.seen

    return ask


def test_a_request_is_http_1_0_with_host_headers_and_length(ask: Callable):
    came, seen = ask(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    head, _, body = seen.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /mcp HTTP/1.0" and lines[1].startswith("Host: localhost:")
    assert lines[2:] == ["Content-Type: application/json", "Mcp-Method: tools/call", f"Content-Length: {len(BODY)}"]
    assert body == BODY.encode()
    assert came == {"status": 200, "headers": {}, "body": "{}"}


def test_an_answer_in_small_pieces_is_put_together(ask: Callable):
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\nDPoP-Nonce: abc\r\nWWW-Authenticate: DPoP error=x\r\n\r\nhello"
    came, _ = ask(*[bytes((byte,)) for byte in answer])
    assert came == {"status": 401, "headers": {"dpop-nonce": "abc", "www-authenticate": "DPoP error=x"}, "body": "hello"}


@pytest.mark.parametrize("pieces", [1, 3])
def test_an_answer_without_a_length_ends_with_the_connection(ask: Callable, pieces: int):
    answer = [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", b"event: message\n", b"data: {}\n\n"]
    came, _ = ask(*answer) if pieces == 3 else ask(b"".join(answer))
    assert came["headers"] == {"content-type": "text/event-stream"}
    assert came["body"] == "event: message\ndata: {}\n\n"


def test_an_answer_of_exactly_the_limit_passes_and_one_more_byte_does_not(ask: Callable):
    for body, code in ((b"x" * 65_536, None), (b"x" * 65_537, "protocol")):
        with_length = b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        came, _ = ask(with_length, body)
        assert came.get("code") == code
        assert code or came["body"] == body.decode()
        lines = b"data: %s\n" * 2 % (b"x" * 4_089, b"x" * (len(body) - 4_103))
        came, _ = ask(b"HTTP/1.0 200 OK\r\n\r\n", lines)
        assert len(lines) == len(body) and came.get("code") == code
        assert code or came["body"] == lines.decode()


def test_a_claimed_length_over_the_limit_is_refused_before_it_is_read(ask: Callable):
    came, _ = ask(b"HTTP/1.0 200 OK\r\nContent-Length: 4000000000\r\n\r\n")
    assert came["code"] == "protocol" and "longer" in came["text"]


NO_ANSWER = {
    "nothing": (b"", "closed"),
    "half a status line": (b"HTTP/1.0 20", "closed"),
    "half a body": (b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "closed"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", "protocol"),
    "no status": (b"HTTP/1.0\r\n\r\n", "protocol"),
    "a status that is no number": (b"HTTP/1.0 two OK\r\n\r\n", "protocol"),
    "a length that is no number": (b"HTTP/1.0 200 OK\r\nContent-Length: many\r\n\r\n", "protocol"),
    "a negative length": (b"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", "protocol"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "protocol"),
    "a header without a colon": (b"HTTP/1.0 200 OK\r\nnonsense\r\n\r\n", "protocol"),
    "a line that is too long": (b"HTTP/1.0 200 " + b"x" * 9_000 + b"\r\n", "protocol"),
    "headers without an end": (b"HTTP/1.0 200 OK\r\n" + b"A: b\r\n" * 2_000, "protocol"),
    "no UTF-8": (b"HTTP/1.0 200 OK\r\nA: \xff\xfe\r\n\r\n", "protocol"),
}


@pytest.mark.parametrize("name", NO_ANSWER)
def test_what_is_no_answer_has_its_code(ask: Callable, name: str):
    answer, code = NO_ANSWER[name]
    came, _ = ask(answer, timeout_s=3)
    # An end that comes together with the last bytes is not always seen by MicroPython's streams.
    assert came["code"] == code or (code == "closed" and came["code"] == "timeout")


def test_a_server_that_never_answers_is_given_up(run: Run, tls_server: Start, certificates: Certificates):
    def silent(connection: ssl.SSLSocket, server: TlsServer) -> None:
        while server.read(connection):
            pass

    server = tls_server(silent, context=certificates.good.context())
    assert run("post.py", how(server.port, certificates, timeout_s=1))["code"] == "timeout"


def test_a_drip_that_never_ends_is_given_up(run: Run, tls_server: Start, certificates: Certificates):
    def drip(connection: ssl.SSLSocket, server: TlsServer) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        while not server.done.wait(0.2):
            connection.sendall(b"x")

    server = tls_server(drip, context=certificates.good.context())
    assert run("post.py", how(server.port, certificates, timeout_s=1))["code"] == "timeout"


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://localhost:1/mcp"},
        {"url": "https:///mcp"},
        {"url": "https://user@localhost:1/mcp"},
        {"url": "https://[::1]:1/mcp"},
        {"url": "https://localhost:x/mcp"},
        {"url": "https://localhost:1/mcp HTTP/1.0\r\nX: y"},
        {"url": "https://localhost:1/m cp"},
        {"headers": "A: b"},
        {"headers": "A: b\r\n\r\nPOST /"},
        {"headers": "A: b\r\n\r\n"},
        {"headers": "\r\nA: b\r\n"},
    ],
    ids=str,
)
def test_an_address_or_header_that_could_say_more_than_it_should_is_refused(run: Run, certificates: Certificates, change: dict):
    assert run("post.py", how(1, certificates, **change))["code"] == "refused"


def test_without_proof_of_the_server_nothing_is_sent(run: Run, tls_server: Start, certificates: Certificates):
    server = tls_server(answers(b""), context=certificates.good.context())
    for proof in ({}, {"ca": "missing.der"}, {"pin": certificates.again.pin}):
        assert run("post.py", how(server.port, certificates, proof=proof))["code"] == "tls"
    assert server.seen == b""
