"""HTTPS towards servers that we have never seen and do not trust to be well: one issuer, one relay, hard limits.

Not for what their words mean: test_translate.py has that.
"""

import asyncio
import base64
import contextlib
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pydantic import ValidationError

from broker_bridge import profile
from broker_bridge.as_client import PROBE_EVERY_S, SILENT_REQUESTS, AsClient, well_known
from broker_bridge.configuration import ConfigurationError
from broker_bridge.exchange import Call
from broker_bridge.https_client import MAX_BODY, HttpsClient
from broker_bridge.refusals import Refused
from broker_bridge.relay import Relay, header_name
from broker_bridge.settings import AuthorizationServer, Resource
from broker_bridge.translate import Ask
from tests.bridge.driver import LOOPBACK
from tests.bridge.foreign import Foreign, Said, foreign, hang_up
from tests.requirements import proves

T = TypeVar("T")
NETWORKS = [ip_network(network) for network in LOOPBACK]
SECRET = "s:e%c r+é€t"
ASK = Ask("challenge", {"client_id": "latchpin-device", "pin": "123456789"}, "aaa.bbb.ccc")


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def with_client(server: Foreign, use: Callable[[AsClient, HttpsClient], Awaitable[T]], total_s: float = 5, **changes: Any) -> T:
    """What `use` gives, with a client of `server`'s issuer."""

    async def main() -> T:
        configured = {"issuer": server.issuer, "client_id": "latchpin-device", "client_secret": SECRET, "ca": server.ca}
        clock = changes.pop("clock", Clock())
        words = changes.pop("words", profile.load("reference"))
        https = HttpsClient(server.ca, NETWORKS, connect_s=1, total_s=total_s)
        try:
            return await use(AsClient(AuthorizationServer.model_validate({**configured, **changes}), words, clock, https), https)
        finally:
            await https.close()

    return asyncio.run(main())


def refused(server: Foreign, use: Callable[[AsClient, HttpsClient], Awaitable[Any]], **changes: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        with_client(server, use, **changes)
    return caught.value


async def post(client: AsClient, https: HttpsClient) -> Any:
    return await client.post(ASK)


async def metadata(client: AsClient, https: HttpsClient) -> Any:
    return await client.metadata()


# What goes out


@proves("FIPA-9.5.1-b")
def test_a_form_goes_out_with_client_authentication_and_the_devices_proof(server: Foreign):
    server.says("/challenge", Said(403, {"error": "x"}, {"DPoP-Nonce": "nonce-1", "Retry-After": "7"}))

    async def use(client: AsClient, https: HttpsClient):
        return await client.post(ASK), client.nonce

    answer, nonce = with_client(server, use)
    assert (answer.status, answer.content, answer.retry_after_s, nonce) == (403, {"error": "x"}, 7, "nonce-1")
    (asked,) = server.to("/challenge")
    assert asked.method == "POST" and asked.form == ASK.form and asked.path == "/challenge"
    assert asked.headers["dpop"] == "aaa.bbb.ccc" and asked.headers["content-type"] == "application/x-www-form-urlencoded"
    # RFC 6749, section 2.3.1
    name, password = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode().split(":")
    assert (name, password) == ("latchpin-device", "s%3Ae%25c+r%2B%C3%A9%E2%82%ACt")


def test_the_id_of_a_request_goes_with_all_that_is_asked_for_it(server: Foreign):
    server.says("/challenge", Said(400, {"error": "x"}))
    server.says("/mcp", Said(200, {"jsonrpc": "2.0"}))
    resource = Resource(uri=server.resource, scopes=["a"])

    async def use(client: AsClient, https: HttpsClient):
        await client.post(ASK, "0badcafe")
        await client.discovered(resource, https, "0badcafe")
        await Relay().call(Call(resource, "tools/call", None, b"{}", "a.b.c", "a.b.c"), https, "0badcafe")
        seen = len(server.asked)
        await client.post(ASK)
        return server.asked[:seen], server.asked[seen:]

    with_id, without = with_client(server, use)
    assert len(with_id) == 4 and {asked.headers["x-request-id"] for asked in with_id} == {"0badcafe"}
    assert [asked.headers.get("x-request-id") for asked in without] == [None]


def test_client_secret_post_and_none(server: Foreign):
    server.says("/challenge", Said(400, {"error": "x"}))
    with_client(server, post, client_authentication="client_secret_post")
    with_client(server, post, client_authentication="none", client_secret=None)
    first, second = server.to("/challenge")
    assert first.form["client_secret"] == SECRET and "authorization" not in first.headers
    assert second.form == ASK.form and "authorization" not in second.headers


CURVES: dict[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}


def private_key(kind: str) -> tuple[bytes, Any]:
    key = rsa.generate_private_key(65537, 2048) if kind == "RS256" else ec.generate_private_key(CURVES[kind])
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form), key.public_key()


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_private_key_jwt_at_both_endpoints_alike(server: Foreign, tmp_path: Path, alg: str):
    """RFC 7523, sections 2.2 and 3, checked with a library that did not sign."""
    pem, public = private_key(alg)
    (tmp_path / "client.key").write_bytes(pem)
    for path in ("/challenge", "/token"):
        server.says(path, Said(400, {"error": "x"}))

    async def use(client: AsClient, https: HttpsClient):
        for endpoint in ("challenge", "token", "token"):
            await client.post(Ask(endpoint, {"client_id": "latchpin-device"}, None))

    fields = {"client_key_file": tmp_path / "client.key", "client_key_id": "key-1"}
    with_client(server, use, client_authentication="private_key_jwt", client_secret=None, **fields)
    sent = [*server.to("/challenge"), *server.to("/token")]
    jti = set()
    for asked in sent:
        assert "authorization" not in asked.headers and "client_secret" not in asked.form
        assert asked.form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        head, claims, signature = asked.form["client_assertion"].split(".")
        padded = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in (head, claims, signature)]
        assert json.loads(padded[0]) == {"alg": alg, "typ": "JWT", "kid": "key-1"}
        said, signed = json.loads(padded[1]), f"{head}.{claims}".encode()
        if alg == "ES256":
            halves = (int.from_bytes(padded[2][:32], "big"), int.from_bytes(padded[2][32:], "big"))
            public.verify(encode_dss_signature(*halves), signed, ec.ECDSA(hashes.SHA256()))
        else:
            public.verify(padded[2], signed, padding.PKCS1v15(), hashes.SHA256())
        assert said["iss"] == said["sub"] == "latchpin-device" and said["aud"] == server.issuer
        assert abs(said["iat"] - time.time()) < 5 and said["exp"] == said["iat"] + 60
        jti.add(said["jti"])
    assert len(sent) == len(jti) == 3, "no assertion twice"


def test_the_audience_of_an_assertion_can_be_what_an_older_as_wants(server: Foreign, tmp_path: Path):
    (tmp_path / "client.key").write_bytes(private_key("ES256")[0])
    server.says("/challenge", Said(400, {"error": "x"}))
    wanted = f"{server.origin}/token"
    fields = {"client_key_file": tmp_path / "client.key", "client_assertion_audience": wanted}
    with_client(server, post, client_authentication="private_key_jwt", client_secret=None, **fields)
    claims = server.to("/challenge")[0].form["client_assertion"].split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["aud"] == wanted


@pytest.mark.parametrize("text", [b"", b"not a key", private_key("ES384")[0]])
def test_a_key_that_cannot_sign_es256_or_rs256_is_refused_before_anything_starts(server: Foreign, tmp_path: Path, text: bytes):
    (tmp_path / "client.key").write_bytes(text)
    fields = {"client_authentication": "private_key_jwt", "client_secret": None, "client_key_file": tmp_path / "client.key"}
    with pytest.raises(ConfigurationError) as caught:
        with_client(server, post, **fields)
    assert "openssl genpkey" in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"client_authentication": "private_key_jwt", "client_secret": None},
        {"client_authentication": "private_key_jwt", "client_key_file": Path(__file__)},
        {"client_key_file": Path(__file__)},
        {"client_authentication": "none", "client_secret": None, "client_key_id": "key-1"},
    ],
)
def test_settings_of_client_authentication_that_do_not_go_together_are_refused(server: Foreign, fields: dict[str, Any]):
    with pytest.raises(ValidationError):
        with_client(server, post, **fields)


def test_whatever_a_value_holds_it_stays_one_value(server: Foreign):
    server.says("/challenge", Said(400, {"error": "x"}))
    nasty = "1&client_id=evil\r\nHost: evil\0;é=+%00"

    async def use(client: AsClient, https: HttpsClient):
        await client.post(Ask("challenge", {"pin": nasty, "client_id": "c"}, None))

    with_client(server, use)
    assert server.to("/challenge")[0].form == {"pin": nasty, "client_id": "c"}


@pytest.mark.parametrize("proof", ["a.b.c\r\nX-Evil: 1", "a.b.c\nX-Evil: 1", "a\0b", "é\r"])
def test_a_header_cannot_be_broken_out_of(server: Foreign, proof: str):
    server.says("/challenge", Said(400, {"error": "x"}))

    async def use(client: AsClient, https: HttpsClient):
        await client.post(Ask("challenge", {}, proof))

    assert refused(server, use).code == "invalid" and not server.to("/challenge")


def test_neither_proxy_nor_other_certificates_come_from_the_environment(server: Foreign, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert with_client(server, metadata).metadata.issuer == server.issuer


def test_the_given_ca_is_the_only_one(server: Foreign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.ca))  # the machine trusts the server; the operator named another authority

    async def use(client: AsClient, https: HttpsClient):
        strict = HttpsClient(other, NETWORKS)
        try:
            await strict.fetch("GET", server.origin, {})
        finally:
            await strict.close()

    refusal = refused(server, use)
    assert (refusal.code, refusal.why) == ("try_later", "tls") and not server.asked
    assert os.environ["SSL_CERT_FILE"] == str(server.ca)


def test_a_certificate_for_another_name_is_refused(server: Foreign):
    server.metadata["issuer"] = server.issuer = server.origin.replace("localhost", "127.0.0.2")
    assert refused(server, metadata).why in ("tls", "connect")


# What comes back


def test_a_server_that_is_down_is_told_quickly(server: Foreign):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server.issuer = f"https://localhost:{closed.getsockname()[1]}"
        refusal = refused(server, metadata)
    assert (refusal.code, refusal.why) == ("try_later", "connect") and refusal.retry_after_s


def _drip(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
    with contextlib.suppress(OSError):
        for _ in range(300):
            handler.wfile.write(b" ")
            time.sleep(0.2)


def _silence(handler: Any) -> None:
    handler.connection.settimeout(60)
    with contextlib.suppress(OSError):
        handler.connection.recv(1)  # until the client has gone


@pytest.mark.parametrize("write", [_silence, _drip])
def test_a_slow_server_is_left_after_the_total_time(server: Foreign, write: Callable[[Any], None]):
    """Neither ends by itself before a minute has passed, and then not with a timeout."""
    server.says("/challenge", Said(write=write))
    refusal = refused(server, post, total_s=1)
    assert (refusal.code, refusal.why) == ("try_later", "timeout")


def test_an_as_that_answers_nothing_is_asked_by_the_probe_alone_until_it_answers(server: Foreign):
    server.says("/challenge", Said(write=hang_up))

    async def use(client: AsClient, https: HttpsClient):
        await client.metadata()
        codes = []
        for _ in range(SILENT_REQUESTS + 3):
            with pytest.raises(Refused) as caught:
                await client.post(ASK)
            codes.append((caught.value.code, caught.value.why, caught.value.retry_after_s))
        assert codes == [("try_later", "connection_lost", 10)] * SILENT_REQUESTS + [("try_later", "given_up", PROBE_EVERY_S)] * 3
        assert client.given_up and len(server.to("/challenge")) == SILENT_REQUESTS
        # A probe that finds nobody changes nothing; one that is answered opens the way again.
        server.says("/.well-known/oauth-authorization-server", Said(write=hang_up))
        with pytest.raises(Refused, match="connection_lost"):
            await client.probe()
        assert client.given_up and not client.reachable
        server.says("/.well-known/oauth-authorization-server", Said(200, server.metadata))
        server.says("/challenge", Said(400, {"error": "x"}))
        await client.probe()
        assert not client.given_up and client.reachable
        return await client.post(ASK)

    assert with_client(server, use).status == 400


@pytest.mark.parametrize(
    "said", [Said(500, b""), Said(429, {}), Said(302, {}, {"Location": "/"}), Said(200, b"", {"Content-Type": "x/y"})]
)
def test_an_as_that_answers_badly_is_not_given_up(server: Foreign, said: Said):
    """Else one device's request that an AS stumbles over would close the way for all."""
    server.says("/challenge", said)

    async def use(client: AsClient, https: HttpsClient):
        for _ in range(SILENT_REQUESTS * 2):
            with contextlib.suppress(Refused):
                await client.post(ASK)
        return client.given_up

    assert not with_client(server, use) and len(server.to("/challenge")) == SILENT_REQUESTS * 2


def _endless(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        while True:
            handler.wfile.write(b"1000\r\n" + bytes(4096) + b"\r\n")
    except OSError:
        pass


@pytest.mark.parametrize(
    "said",
    [
        Said(200, b'{"a":"' + b"x" * MAX_BODY + b'"}'),
        Said(200, bytes(MAX_BODY), {"Content-Length": str(MAX_BODY + 1)}),
        Said(write=_endless),
    ],
)
def test_a_body_over_64_kib_is_not_read(server: Foreign, said: Said):
    server.says("/challenge", said)
    refusal = refused(server, post)
    assert (refusal.code, refusal.why) == ("internal", "body_too_long")


def test_a_body_of_64_kib_is_read(server: Foreign):
    body = b'{"error":"' + b"x" * (MAX_BODY - 12) + b'"}'
    server.says("/challenge", Said(400, body))
    assert len(body) == MAX_BODY and len(with_client(server, post).content["error"]) == MAX_BODY - 12


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server: Foreign, status: int):
    server.says("/challenge", Said(status, {}, {"Location": f"{server.origin}/elsewhere"}))
    refusal = refused(server, post)
    assert (refusal.code, refusal.why) == ("internal", "redirect") and not server.to("/elsewhere")


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (b"{}", "text/html", "content_type"),
        (b"{}", "text/json", "content_type"),
        (b"{}", "", "content_type"),
        (b"{}", "application/jsonx", "content_type"),
        (b'{"error":"a","error":"b"}', "application/json", "json_duplicate_key"),
        (b'{"a":{"b":1,"\\u0062":2}}', "application/json", "json_duplicate_key"),
        (b"[]", "application/json", "json"),
        (b'"x"', "application/json", "json"),
        (b"", "application/json", "json"),
        (b'{"a":', "application/json", "json"),
        (b'{"a":1} x', "application/json", "json"),
        (b'{"a":NaN}', "application/json", "json"),
        (b'{"a":Infinity}', "application/json", "json"),
        (b"\xff\xfe{\x00}\x00", "application/json", "json"),
        (b'{"a":"\xff"}', "application/json", "json"),
        (b'{"a":' + b"9" * 5000 + b"}", "application/json", "json"),
        (b'{"a":' + b"[" * 60000 + b"}", "application/json", "json"),
        (b'{"a":' * 10000 + b"1" + b"}" * 10000, "application/json", "json"),
    ],
)
def test_an_answer_that_is_not_a_json_object_is_refused(server: Foreign, body: bytes, kind: str, why: str):
    server.says("/challenge", Said(400, body, {"Content-Type": kind}))
    refusal = refused(server, post)
    assert (refusal.code, refusal.why) == ("internal", why)


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.as+json"])
def test_json_has_several_media_types(server: Foreign, kind: str):
    server.says("/challenge", Said(400, {"error": "x"}, {"Content-Type": kind}))
    assert with_client(server, post).content == {"error": "x"}


def test_something_that_is_not_http_is_refused(server: Foreign):
    server.says("/challenge", Said(write=lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")))
    assert refused(server, post).why in ("not_http", "connection_lost", "connect")


def test_a_connection_cut_in_the_middle_is_asked_later(server: Foreign):
    def cut(handler: Any) -> None:
        handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a"')
        hang_up(handler)

    server.says("/challenge", Said(write=cut))
    refusal = refused(server, post)
    assert (refusal.code, refusal.why) == ("try_later", "connection_lost")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_in_html_is_trouble_all_the_same(server: Foreign, status: int):
    server.says("/challenge", Said(status, b"<html>", {"Content-Type": "text/html", "Retry-After": "9999999"}))
    answer = with_client(server, post)
    assert (answer.status, answer.content, answer.retry_after_s) == (status, {}, 3600)


@pytest.mark.parametrize("nonce", ["", "a b", 'a"b', "n" * 257, "a\\b", "é"])
def test_a_nonce_that_is_none_is_not_remembered(server: Foreign, nonce: str):
    server.says("/challenge", Said(400, {}, {"DPoP-Nonce": nonce}), Said(400, {}, {"DPoP-Nonce": "good"}))

    async def use(client: AsClient, https: HttpsClient):
        await client.post(ASK)
        before = client.nonce
        await client.post(ASK)
        return before, client.nonce

    assert with_client(server, use) == (None, "good")


# Metadata


def test_metadata_are_fetched_once_an_hour_however_many_ask(server: Foreign):
    clock = Clock()

    async def use(client: AsClient, https: HttpsClient):
        await asyncio.gather(*(client.metadata() for _ in range(20)))
        clock.now_s += 3599
        await client.metadata()
        once = len(server.asked)
        clock.now_s += 1
        await client.metadata()
        return once, len(server.asked)

    assert with_client(server, use, clock=clock) == (1, 2)


def test_a_failure_is_not_kept(server: Foreign):
    good = server.metadata
    server.says("/.well-known/oauth-authorization-server", Said(503, {}), Said(200, good))

    async def use(client: AsClient, https: HttpsClient):
        with pytest.raises(Refused, match="metadata_503"):
            await client.metadata()
        return await client.metadata()

    assert with_client(server, use).metadata.issuer == server.issuer


@pytest.mark.parametrize("change", ["{}/", "{}.", "{}:443", "https://evil.example", "HTTPS{}", ""])
def test_an_issuer_is_the_same_byte_for_byte_or_another_one(server: Foreign, change: str):
    server.metadata["issuer"] = change.format(server.issuer if change[0:1] == "{" else server.issuer[5:])
    refusal = refused(server, metadata)
    assert (refusal.code, refusal.why) == ("internal", "metadata_issuer")


@pytest.mark.parametrize("name", ["token_endpoint", "authorization_challenge_endpoint", "revocation_endpoint"])
@pytest.mark.parametrize(
    "url", ["https://evil.example/x", "https://localhost/x", "https://localhost.evil.example/x", "https://localhost:1/x"]
)
def test_an_endpoint_of_another_origin_is_a_mix_up(server: Foreign, name: str, url: str):
    server.metadata[name] = url
    assert refused(server, metadata).why == "endpoint_origin"
    origin = url.removesuffix("/x")
    found = with_client(server, metadata, other_origins=[origin])
    assert url in found.endpoints.values()


@pytest.mark.parametrize("url", ["http://localhost/x", "https://localhost\\@evil.example", "https://u@localhost/x", 7, None])
def test_an_endpoint_is_an_https_url(server: Foreign, url: Any):
    server.metadata["token_endpoint"] = url
    assert refused(server, metadata).why == "metadata_words"


def test_openid_configuration_serves_where_rfc_8414_is_not_known(server: Foreign):
    del server.routes["/.well-known/oauth-authorization-server"]
    server.says("/.well-known/openid-configuration", Said(200, server.metadata))
    assert with_client(server, metadata).endpoints["challenge"].endswith("/challenge")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://as.example", "https://as.example/.well-known/x"),
        ("https://as.example/", "https://as.example/.well-known/x"),
        ("https://as.example/t", "https://as.example/.well-known/x/t"),
        ("https://as.example:8443/t/", "https://as.example:8443/.well-known/x/t/"),
    ],
)
def test_well_known_goes_before_the_path(url: str, place: str):
    assert well_known(url, "x") == place


def test_a_profile_says_where_the_challenge_endpoint_is_when_metadata_do_not(server: Foreign):
    del server.metadata["authorization_challenge_endpoint"]
    words = profile.load("appendix-b")
    assert with_client(server, metadata, words=words).endpoints["challenge"] == f"{server.origin}/authorize-challenge"
    assert "challenge" not in with_client(server, metadata).endpoints
    assert refused(server, post).why == "endpoint_absent"


def discovered(server: Foreign) -> Callable[[AsClient, HttpsClient], Awaitable[Any]]:
    return lambda client, https: client.discovered(Resource(uri=server.resource, scopes=["a"]), https)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"authorization_servers": []}, "resource_of_another_issuer"),
        ({"authorization_servers": ["https://evil.example"]}, "resource_of_another_issuer"),
        ({"resource": "https://evil.example/mcp"}, "resource_metadata_resource"),
        ({"resource": 7}, "resource_metadata_words"),
    ],
)
def test_a_resource_must_name_itself_and_this_issuer(server: Foreign, change: dict[str, Any], why: str):
    assert with_client(server, discovered(server)).metadata.issuer == server.issuer
    server.resource_metadata |= change
    refusal = refused(server, discovered(server))
    assert (refusal.code, refusal.why) == ("internal", why)


def test_a_resource_that_is_down_is_asked_later(server: Foreign):
    server.says("/.well-known/oauth-protected-resource/mcp", Said(502, b"", {"Content-Type": "text/html"}))
    refusal = refused(server, discovered(server))
    assert (refusal.code, refusal.why) == ("try_later", "resource_metadata_502")


# The relay


def called(server: Foreign, relay: Relay, **changes: Any) -> Any:
    usual = {"method": "tools/call", "name": "whoami", "body": b'{"jsonrpc":"2.0"}', "token": "a.b-c_d~e+f/g==", "proof": "a.b.c"}

    async def use(client: AsClient, https: HttpsClient):
        return await relay.call(Call(resource=Resource(uri=server.resource, scopes=["a"]), **{**usual, **changes}), https)

    return with_client(server, use)


@proves("FIPA-9.5.1-a")
def test_a_call_is_one_post_with_mcps_headers_and_the_devices_token_and_proof(server: Foreign):
    server.says("/mcp", Said(200, {"jsonrpc": "2.0"}, {"DPoP-Nonce": "rs-nonce"}))
    relay = Relay()
    answer = called(server, relay)
    assert answer == (200, b'{"jsonrpc": "2.0"}', None, None) and relay.nonces == {server.resource: "rs-nonce"}
    (asked,) = server.to("/mcp")
    assert (asked.method, asked.body) == ("POST", b'{"jsonrpc":"2.0"}')
    expected = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "whoami",
        "authorization": "DPoP a.b-c_d~e+f/g==",
        "dpop": "a.b.c",
    }
    assert expected.items() <= asked.headers.items()


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("whoami", "whoami"),
        ("two words", "two words"),
        ("file:///a?b=c", "file:///a?b=c"),
        ("naïve", "=?base64?bmHDr3Zl?="),
        (" x", "=?base64?IHg=?="),
        ("a\r\nX-Evil: 1", "=?base64?YQ0KWC1FdmlsOiAx?="),
        ("=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
        ("", "=?base64??="),
    ],
)
def test_a_name_that_no_header_can_hold_is_encoded(server: Foreign, name: str, header: str):
    assert header_name(name) == header
    server.says("/mcp", Said(200, {}))
    called(server, Relay(), name=name)
    assert server.to("/mcp")[0].headers["mcp-name"] == header and "x-evil" not in server.to("/mcp")[0].headers


@pytest.mark.parametrize(
    "change",
    [
        {"method": "tools/call\r\nX-Evil: 1"},
        {"method": ""},
        {"method": "../x"},
        {"token": "a b"},
        {"token": "a\r\nX-Evil: 1"},
        {"token": ""},
        {"token": "é"},
        {"proof": "a.b.c\r\nX-Evil: 1"},
        {"version": "2025-06-18\r\nX-Evil: 1"},
        {"version": "1"},
        {"version": "", "session": "s\r\nX-Evil: 1"},
        {"version": "2025-06-18", "session": ""},
    ],
)
def test_a_call_that_breaks_out_of_its_headers_is_not_made(server: Foreign, change: dict[str, str]):
    server.says("/mcp", Said(200, {}))
    with pytest.raises(Refused) as caught:
        called(server, Relay(), **change)
    assert caught.value.code == "invalid" and not server.to("/mcp")


@proves("MCP-1-c")
def test_a_server_of_an_earlier_era_gets_the_headers_of_its_handshake_and_its_session_comes_back(server: Foreign):
    server.says("/mcp", Said(200, {"jsonrpc": "2.0"}, {"Mcp-Session-Id": "s-1"}))
    assert called(server, Relay(), method="initialize", name=None, version="").session == "s-1"
    called(server, Relay(), version="2025-06-18", session="s-1")
    opening, later = [asked.headers for asked in server.to("/mcp")]
    assert not {"mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id"} & set(opening)
    assert later["mcp-protocol-version"] == "2025-06-18" and later["mcp-session-id"] == "s-1" and "mcp-method" not in later


def test_a_refusal_of_the_server_is_carried_with_its_challenge(server: Foreign):
    challenge = 'DPoP error="use_dpop_nonce"'
    server.says("/mcp", Said(401, b"<html>", {"Content-Type": "text/html", "WWW-Authenticate": challenge, "DPoP-Nonce": "n"}))
    assert called(server, Relay()) == (401, b"", challenge, None)
    server.says("/mcp", Said(403, {"error": "x"}, {"WWW-Authenticate": "x" * 513}))
    assert called(server, Relay()) == (403, json.dumps({"error": "x"}).encode(), None, None)


def test_an_event_stream_is_carried_as_it_is_and_html_is_not(server: Foreign):
    stream = b"event: message\r\ndata: {}\r\n\r\n"
    server.says("/mcp", Said(200, stream, {"Content-Type": "text/event-stream; charset=utf-8"}))
    assert called(server, Relay()).body == stream
    server.says("/mcp", Said(200, b"<html>", {"Content-Type": "text/html"}))
    with pytest.raises(Refused, match="mcp_content_type"):
        called(server, Relay())


def test_each_resource_is_met_under_its_own_ca(server: Foreign, tmp_path: Path):
    with foreign(tmp_path / "second") as other:

        async def use(client: AsClient, https: HttpsClient):
            theirs = HttpsClient(other.ca, NETWORKS)
            try:
                other.resource_metadata["authorization_servers"] = [server.issuer]
                return await client.discovered(Resource(uri=other.resource, scopes=["a"]), theirs)
            finally:
                await theirs.close()

        assert with_client(server, use).metadata.issuer == server.issuer
