"""What the AS publishes about itself, over HTTPS.

Not whether the endpoints keep the promise: the other files here.
"""

import socket
import ssl
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.authorization_server import running
from tests.authorization_server.parties import Party
from tests.requirements import proves

WELL_KNOWN = "/.well-known/oauth-authorization-server"


@proves("RFC8414-3.3-a", "FIPA-4.1-a", "FIPA-4.1-c")
def test_the_metadata_names_the_issuer_byte_for_byte_and_every_endpoint_below_it(server):
    metadata = server.http.get(WELL_KNOWN).json()
    assert metadata["issuer"] == server.issuer
    endpoints = {name: url for name, url in metadata.items() if name.endswith("_endpoint")}
    assert endpoints.keys() == {
        "authorization_endpoint",
        "token_endpoint",
        "authorization_challenge_endpoint",
        "device_authorization_endpoint",
        "pushed_authorization_request_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
    }
    for url in endpoints.values():
        assert url.startswith(server.issuer + "/") and urlsplit(url).scheme == "https"
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert metadata["dpop_signing_alg_values_supported"] == ["ES256"]
    assert metadata["response_types_supported"] == ["code"]
    device_code = "urn:ietf:params:oauth:grant-type:device_code"
    assert metadata["grant_types_supported"] == ["authorization_code", "refresh_token", device_code]
    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert metadata["introspection_endpoint_auth_methods_supported"] == ["client_secret_basic"]


@proves("RFC8414-3-a")
@pytest.mark.parametrize("issuer", ["https://localhost:PORT/tenant/", "https://localhost:PORT/tenant", "https://LOCALHOST:PORT/"])
def test_an_issuer_keeps_its_slashes_and_capitals_and_its_path_goes_behind_the_well_known_name(tmp_path, issuer):
    with running.server(tmp_path, issuer=issuer) as server:
        parts = urlsplit(server.issuer)
        metadata = server.http.get(f"https://localhost:{parts.port}{WELL_KNOWN}{parts.path.rstrip('/')}").json()
        assert metadata["issuer"] == server.issuer == issuer.replace("PORT", str(parts.port))
        assert metadata["token_endpoint"] == server.issuer.rstrip("/") + "/token"
        assert Party(server).earn_tokens()["token_type"] == "DPoP"


def test_the_jwk_set_has_no_private_part(server):
    keys = server.http.get("/jwks.json").json()["keys"]
    assert [sorted(key) for key in keys] == [["alg", "crv", "kid", "kty", "use", "x", "y"]]


@proves("RFC6749-4.1.2.1-a")
def test_the_authorization_endpoint_tells_the_person_and_redirects_nobody(server):
    query = {"response_type": "code", "client_id": running.APP, "redirect_uri": "https://attacker.example/"}
    query["state"] = "<script>alert"
    response = server.http.get("/authorize", params=query)
    assert response.status_code == 400
    assert "location" not in response.headers
    assert "not registered" in response.text
    assert "<script>alert" not in response.text and "attacker" not in response.text


@proves("FIPA-4.1-a")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_nothing_is_served_in_plaintext_nor_below_tls_1_2(server):
    address = ("127.0.0.1", urlsplit(server.issuer).port)
    with pytest.raises(httpx2.HTTPError):
        httpx2.post(f"http://localhost:{address[1]}/challenge", data={"a": "b"}, timeout=30)
    context = ssl.create_default_context(cafile=str(server.ca))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # or OpenSSL would not even offer it
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(address, 5) as raw, pytest.raises(ssl.SSLError) as refused:
        context.wrap_socket(raw, server_hostname="localhost")
    # The server's own doing: an alert, or the end of the connection where its event loop loses the alert.
    ended = isinstance(refused.value, ssl.SSLZeroReturnError) or refused.value.reason == "UNEXPECTED_EOF_WHILE_READING"
    assert ended or refused.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


def test_every_response_brings_a_fresh_nonce_and_is_stored_by_nobody(server):
    for response in (
        server.http.get(WELL_KNOWN),
        server.http.get("/jwks.json"),
        server.http.get("/livez"),
        server.http.get("/readyz"),
        server.http.get("/nowhere"),
        server.http.put("/token"),
        server.http.post("/token", data={"grant_type": "password"}),
        server.http.get("/admin/waiting"),
    ):
        assert len(response.headers["dpop-nonce"]) == 28
        assert response.headers["cache-control"] == "no-store"


def test_it_is_alive_and_ready(server):
    assert server.http.get("/livez").json() == {"status": "alive"}
    assert server.http.get("/readyz").json() == {"status": "ready"}
