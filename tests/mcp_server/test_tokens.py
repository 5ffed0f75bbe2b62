"""Which tokens and proofs open the MCP server, each check by itself (RFC 9068, RFC 9449, MCP 2026-07-28 authorization).

Not about tools (test_calls.py).
"""

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec

from host_sim.access_tokens import IssuerKeys
from host_sim.issuer import IssuerUnreachable
from tests.mcp_server.conftest import ACCEPT, Served, modern, modern_headers, serving
from tests.mcp_server.issuer import Issuer, asked
from tests.peers.dpop_auth import base64url, compact, proof, public_jwk, sign
from tests.requirements import proves

OTHER = ec.generate_private_key(ec.SECP256R1())


def challenge(answer: httpx2.Response) -> dict[str, str]:
    """The parameters of the one WWW-Authenticate header, whose scheme must be DPoP."""
    (value,) = answer.headers.get_list("WWW-Authenticate")
    scheme, _, rest = value.partition(" ")
    assert scheme == "DPoP"
    return dict(re.findall(r'([a-z_]+)="([^"]*)"', rest))


def refused(answer: httpx2.Response, error: str) -> dict[str, str]:
    assert answer.status_code == 401, answer.text
    found = challenge(answer)
    assert found.get("error", "") == error, answer.text
    assert found["algs"] == "ES256" and found["scope"] == "led:read led:write"
    return found


def test_a_bound_token_with_a_proof_opens(served: Served):
    assert served.call("whoami").status_code == 200


def test_nothing_presented_is_told_where_to_go(served: Served):
    found = refused(served.post(modern("whoami", {}), modern_headers("whoami")), "")
    assert "error" not in found, "RFC 6750, section 3.1: no code where no credentials came"
    with served.client() as client:
        metadata = client.get(found["resource_metadata"])
    assert metadata.status_code == 200
    assert metadata.json() == {
        "resource": served.resource,
        "authorization_servers": [served.issuer.url],
        "scopes_supported": ["led:read", "led:write"],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "dpop_bound_access_tokens_required": True,
        "resource_name": "Latchpin demo",
    }
    assert found["resource_metadata"] == served.resource.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")


NOW = int(time.time())


def told(spoilt: dict[str, Any]) -> str:
    """The same words in every process: no moment and no address."""
    ((name, value),) = spoilt.items()
    if name == "signer":
        return "another signer"
    return f"{name} NOW{value - NOW:+}" if type(value) is int and abs(value - NOW) < 10_000 else f"{name} {value}"[:60]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "https://localhost/other"},
        {"aud": None},
        {"aud": []},
        {"aud": {"a": "b"}},
        {"exp": NOW - 10},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": 10**400},
        {"iat": NOW + 3600},
        {"iat": None},
        {"nbf": NOW + 3600},
        {"nbf": "now"},
        {"sub": None},
        {"sub": 3},
        {"client_id": None},
        {"jti": None},
        {"scope": ["led:read"]},
        {"cnf": "x"},
        {"cnf": {"jkt": 3}},
        {"cnf": {"x5t#S256": "abc"}},
        {"cnf": None},
        {"cnf": {}},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": "dpop+jwt"}},
        {"header": {"alg": "none"}},
        {"header": {"alg": "HS256"}},
        {"header": {"alg": "RS256"}},
        {"header": {"kid": "unknown"}},
        {"header": {"kid": 3}},
        {"header": {"crit": ["exp"]}},
        {"signer": OTHER},
    ],
    ids=told,
)
def test_a_token_with_one_thing_wrong_is_refused(served: Served, spoilt: dict[str, Any]):
    refused(served.call("whoami", token=served.token(**spoilt)), "invalid_token")


def test_the_audience_is_compared_to_the_byte(served: Served):
    for audience in (served.resource + "/", served.resource.upper(), served.resource.replace("localhost", "127.0.0.1")):
        refused(served.call("whoami", token=served.token(aud=audience)), "invalid_token")
        refused(served.call("whoami", token=served.token(aud=[served.resource, audience])), "invalid_token")
    assert served.call("whoami", token=served.token(aud=[served.resource])).status_code == 200


@pytest.mark.parametrize(
    "text",
    ["x", "a.b.c", "..", "e30.e30.e30", "e30.e30.", "a" * 9000, base64url(b"[" * 3000) + ".e30.e30", base64url(b"\xff") + ".a.b",
     base64url(b'{"typ":"at+jwt","alg":"ES256","kid":"one"}') + ".e30.", base64url(b"[]") + ".e30.e30"],
)  # fmt: skip
def test_what_is_no_token_is_refused(served: Served, text: str):
    refused(served.call("whoami", token=text), "invalid_token")


def test_a_token_whose_claims_were_changed_is_refused(served: Served):
    header, _, signature = served.token().split(".")
    other = served.token(scope="admin").split(".")[1]
    refused(served.call("whoami", token=f"{header}.{other}.{signature}"), "invalid_token")


def test_an_unsigned_copy_is_refused(served: Served):
    claims = served.token().split(".")[1]
    for header in ({"typ": "at+jwt", "alg": "none"}, {"typ": "at+jwt", "alg": "none", "kid": "one"}):
        refused(served.call("whoami", token=f"{base64url(compact(header))}.{claims}."), "invalid_token")


@proves("FIPA-9.5-b")
def test_a_bound_token_as_bearer_is_refused(served: Served):
    token = served.token()
    for scheme in ("Bearer", "bearer", "BEARER"):
        refused(served.call("whoami", token=token, Authorization=f"{scheme} {token}"), "invalid_token")
    with served.client() as client:
        answer = client.post(
            served.resource,
            json=modern("whoami", {}),
            headers=ACCEPT | modern_headers("whoami") | {"Authorization": f"Bearer {token}"},
        )
    refused(answer, "invalid_token")


def test_a_token_that_is_bound_to_nothing_is_refused_unless_it_is_allowed(
    served: Served, fresh: Callable[..., AbstractContextManager[Served]]
):
    token = served.token(cnf=None)
    refused(served.call("whoami", token=token, Authorization=f"Bearer {token}"), "invalid_token")
    refused(served.call("whoami", token=token), "invalid_token")
    with fresh("allow_bearer = true") as lenient:
        token, bound = lenient.token(cnf=None), lenient.token()
        headers = modern_headers("whoami")
        assert lenient.post(modern("whoami", {}), headers | {"Authorization": f"Bearer {token}"}).status_code == 200
        refused(lenient.post(modern("whoami", {}), headers | {"Authorization": f"Bearer {bound}"}), "invalid_token")
        assert lenient.call("whoami").status_code == 200


@pytest.mark.parametrize("value", [b"DPoP", b"Basic YTpi", b"", b"DPoP a b", b"DPoP a,DPoP b", b"DPoP \xe9", b"Token x"])
def test_other_authorization_headers_are_refused(served: Served, value: bytes):
    headers = [(name.encode(), text.encode()) for name, text in (ACCEPT | modern_headers("whoami")).items()]
    with served.client() as client:
        answer = client.post(served.resource, json=modern("whoami", {}), headers=[*headers, (b"Authorization", value)])
    assert answer.status_code in (400, 401)


def test_two_authorization_headers_or_two_proofs_are_refused(served: Served):
    token = served.token()
    one = proof(served.key, "POST", served.resource, token=token)
    fixed = list((ACCEPT | modern_headers("whoami")).items())
    with served.client() as client:
        twice = [("Authorization", f"DPoP {token}"), ("Authorization", f"DPoP {token}"), ("DPoP", one)]
        assert client.post(served.resource, json=modern("whoami", {}), headers=[*fixed, *twice]).status_code == 400
        for second in (one, proof(served.key, "POST", served.resource, token=token)):
            proofs = [("Authorization", f"DPoP {token}"), ("DPoP", one), ("DPoP", second)]
            refused(client.post(served.resource, json=modern("whoami", {}), headers=[*fixed, *proofs]), "invalid_dpop_proof")
        refused(
            client.post(served.resource, json=modern("whoami", {}), headers=[*fixed, ("Authorization", f"DPoP {token}")]),
            "invalid_dpop_proof",
        )


def test_a_token_in_the_query_opens_nothing(served: Served):
    with served.client() as client:
        answer = client.post(f"{served.resource}?access_token={served.token()}", json=modern("whoami", {}), headers=ACCEPT)
    refused(answer, "")


def spoilt_proofs(served: Served, token: str) -> dict[str, str]:
    url, key = served.resource, served.key
    good = {"jti": "x" * 20, "htm": "POST", "htu": url, "iat": NOW, "ath": base64url(hashlib.sha256(token.encode()).digest())}
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public_jwk(key)}
    private = base64url(key.private_numbers().private_value.to_bytes(32, "big"))
    jwk = public_jwk(key)
    x, y, signature = proof(key, "POST", url, token=token).split(".")
    return {
        "another key": proof(OTHER, "POST", url, token=token),
        "another method": proof(key, "GET", url, token=token),
        "lower case method": proof(key, "post", url, token=token),
        "another path": proof(key, "POST", url + "x", token=token),
        "another host": proof(key, "POST", url.replace("localhost", "127.0.0.1"), token=token),
        "plaintext": proof(key, "POST", url.replace("https", "http"), token=token),
        "htu missing": proof(key, "POST", url, token=token, htu=None),
        "htu no text": proof(key, "POST", url, token=token, htu=[url]),
        "htu broken": proof(key, "POST", url, token=token, htu="https://[::1"),
        "ath missing": proof(key, "POST", url),
        "ath of another token": proof(key, "POST", url, token=token + "x"),
        "ath no text": proof(key, "POST", url, token=token, ath=3),
        "ath strange": proof(key, "POST", url, token=token, ath="\ud800"),
        "jti missing": proof(key, "POST", url, token=token, jti=None),
        "jti empty": proof(key, "POST", url, token=token, jti=""),
        "jti long": proof(key, "POST", url, token=token, jti="x" * 300),
        "jti no text": proof(key, "POST", url, token=token, jti=3),
        "old": proof(key, "POST", url, token=token, iat=NOW - 3600),
        "from the future": proof(key, "POST", url, token=token, iat=NOW + 3600),
        "iat missing": proof(key, "POST", url, token=token, iat=None),
        "iat text": proof(key, "POST", url, token=token, iat=str(NOW)),
        "iat NaN": proof(key, "POST", url, token=token, iat=float("nan")),
        "iat infinite": proof(key, "POST", url, token=token, iat=float("inf")),
        "iat huge": proof(key, "POST", url, token=token, iat=10**400),
        "iat true": proof(key, "POST", url, token=token, iat=True),
        "typ": sign(key, header | {"typ": "jwt"}, good),
        "typ missing": sign(key, {"alg": "ES256", "jwk": jwk}, good),
        "alg none": sign(key, header | {"alg": "none"}, good),
        "alg HS256": sign(key, header | {"alg": "HS256"}, good),
        "alg ES384": sign(key, header | {"alg": "ES384"}, good),
        "crit": sign(key, header | {"crit": ["htu"]}, good),
        "private key": sign(key, header | {"jwk": jwk | {"d": private}}, good),
        "jwk missing": sign(key, {"typ": "dpop+jwt", "alg": "ES256"}, good),
        "jwk no object": sign(key, header | {"jwk": "x"}, good),
        "jwk RSA": sign(key, header | {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}, good),
        "jwk symmetric": sign(key, header | {"jwk": {"kty": "oct", "k": "AQAB"}}, good),
        "jwk off the curve": sign(key, header | {"jwk": jwk | {"y": jwk["x"]}}, good),
        "jwk x no text": sign(key, header | {"jwk": jwk | {"x": 3}}, good),
        "jwk x short": sign(key, header | {"jwk": jwk | {"x": "AQ"}}, good),
        "jwk x strange": sign(key, header | {"jwk": jwk | {"x": "\u00e9"}}, good),
        "signature by another key": sign(OTHER, header, good),
        "signature cut": f"{x}.{y}.{signature[:-4]}",
        "signature gone": f"{x}.{y}.",
        "claims no object": sign(key, header, [good]),
        "header deep": base64url(b"[" * 2000) + ".e30.e30",
        "no JWT": "x",
        "empty": "",
        "long": proof(key, "POST", url, token=token, extra="x" * 5000),
    }


@proves("FIPA-9.5-b")
def test_a_proof_with_one_thing_wrong_is_refused(served: Served):
    token = served.token()
    for what, text in spoilt_proofs(served, token).items():
        answer = served.call("whoami", token=token, DPoP=text)
        assert answer.status_code == 401, what
        assert challenge(answer)["error"] == "invalid_dpop_proof", what
    assert served.call("whoami", token=token).status_code == 200


def test_a_proof_works_once(served: Served):
    token = served.token()
    once = proof(served.key, "POST", served.resource, token=token)
    assert served.call("whoami", token=token, DPoP=once).status_code == 200
    refused(served.call("whoami", token=token, DPoP=once), "invalid_dpop_proof")


def test_htu_is_compared_after_normalisation(served: Served):
    token = served.token()
    for url in (served.resource + "?a=b#c", served.resource.replace("https://localhost", "HTTPS://LOCALHOST")):
        answer = served.call("whoami", token=token, DPoP=proof(served.key, "POST", url, token=token))
        assert answer.status_code == 200


def test_iat_may_be_a_little_off(served: Served):
    token = served.token()
    for iat in (time.time() - 240, time.time() + 240):
        made = proof(served.key, "POST", served.resource, token=token, iat=iat)
        assert served.call("whoami", token=token, DPoP=made).status_code == 200


def test_nothing_of_tokens_and_proofs_stands_in_the_log(served: Served):
    token = served.token()
    made = proof(served.key, "POST", served.resource, token=token)
    served.call("whoami", token=token, DPoP=made)
    served.call("whoami", token=token, DPoP=made)
    log = served.log.read_text()
    assert '"event":"admitted"' in log and '"error":"invalid_dpop_proof"' in log
    for secret in (token, made, token.split(".")[1], made.split(".")[2]):
        assert secret not in log


def test_a_server_with_nonces_asks_for_one_and_then_needs_no_clock(strict: Served):
    token = strict.token()
    first = strict.call("whoami", token=token)
    refused(first, "use_dpop_nonce")
    nonce = first.headers["DPoP-Nonce"]
    made = proof(strict.key, "POST", strict.resource, token=token, nonce=nonce, iat=946684800)
    answer = strict.call("whoami", token=token, DPoP=made)
    assert answer.status_code == 200, "RFC 9449, section 4.3, check 11: the nonce is the clock"
    assert answer.headers["DPoP-Nonce"]
    refused(strict.call("whoami", token=token, DPoP=made), "invalid_dpop_proof")


@pytest.mark.parametrize("nonce", ["", "x", "A" * 28, "\u00e9" * 28, "\ud800" * 28, 3, None, ["x"]])
def test_a_nonce_that_is_not_ours_is_refused_with_a_new_one(strict: Served, nonce: Any):
    token = strict.token()
    answer = strict.call("whoami", token=token, DPoP=proof(strict.key, "POST", strict.resource, token=token, **{"nonce": nonce}))
    refused(answer, "use_dpop_nonce")
    assert len(answer.headers["DPoP-Nonce"]) == 28


def test_a_nonce_that_was_changed_is_refused(strict: Served):
    token = strict.token()
    nonce = strict.call("whoami", token=token).headers["DPoP-Nonce"]
    data = bytearray(base64.urlsafe_b64decode(nonce))
    for place in range(len(data)):
        data[place] ^= 1
        changed = base64url(bytes(data))
        data[place] ^= 1
        answer = strict.call("whoami", token=token, DPoP=proof(strict.key, "POST", strict.resource, token=token, nonce=changed))
        refused(answer, "use_dpop_nonce")


class Clock:
    """A clock that a test moves."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_keys_are_fetched_once_and_again_when_the_issuer_changes_them(own: Issuer):
    async def walk() -> None:
        clock = Clock()
        keys = IssuerKeys(asked(own), clock)
        for _ in range(5):
            assert await keys.key("one")
        assert own.fetched["/jwks.json"] == 1
        own.keys["two"] = ec.generate_private_key(ec.SECP256R1())
        assert await keys.key("two") is None, "asked a moment ago"
        clock.now_s += 6
        assert await keys.key("two")
        for number in range(20):
            assert await keys.key(f"made up {number}") is None
        assert own.fetched["/jwks.json"] == 2, "unknown kids make it ask once in a while, not each time"
        own.broken = True
        clock.now_s += 6
        assert await keys.key("made up") is None
        assert await keys.key("one"), "the keys of an hour are believed while the issuer is away"
        clock.now_s += 3600
        with pytest.raises(IssuerUnreachable):
            await keys.key("one")
        own.broken = False
        del own.keys["one"]
        clock.now_s += 6
        assert await keys.key("one") is None, "a key that was taken back is not believed any longer"
        assert await keys.key("two")

    asyncio.run(walk())


SPOILT_METADATA = [
    {"issuer": "URL/"},
    {"issuer": "https://other.example"},
    {"issuer": None},
    {"jwks_uri": "https://localhost:1/jwks.json"},
    {"jwks_uri": "URL.evil.example/jwks.json"},
    {"jwks_uri": None},
    {"jwks_uri": "URL/gone"},
    {"padding": "x" * 70_000},
]


@pytest.mark.parametrize("spoilt", SPOILT_METADATA, ids=lambda spoilt: str(spoilt)[:40])
def test_metadata_that_is_not_the_issuers_gives_no_keys(own: Issuer, spoilt: dict[str, Any]):
    own.metadata = {name: value and value.replace("URL", own.url) for name, value in spoilt.items()}
    with pytest.raises(IssuerUnreachable):
        asyncio.run(IssuerKeys(asked(own)).key("one"))


@pytest.mark.parametrize(
    "keys",
    [None, {}, [3], ["x"], [{}], [{"kty": "EC", "crv": "P-256", "kid": "one", "x": "AQ", "y": "AQ"}], [{"kty": "RSA"}]],
    ids=str,
)
def test_keys_that_cannot_be_used_are_none(own: Issuer, keys: Any):
    own.documents["/jwks.json"] = {"keys": keys}
    with pytest.raises(IssuerUnreachable):
        asyncio.run(IssuerKeys(asked(own)).key("one"))


def test_without_the_issuers_keys_nobody_is_let_in_and_it_mends_itself(fresh: Callable[..., AbstractContextManager[Served]]):
    with fresh() as served:
        served.issuer.broken = True
        answer = served.call("whoami")
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "5"
        served.issuer.broken = False
        time.sleep(5.2)
        assert served.call("whoami").status_code == 200


def test_an_issuer_under_another_ca_is_not_believed(tmp_path: Path, issuer: Issuer):
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    with serving(tmp_path, issuer, believe=stranger) as served:
        assert served.call("whoami").status_code == 503
