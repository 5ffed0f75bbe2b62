"""DPoP proofs: the examples of RFC 9449, and every way to be wrong, at both endpoints.

Not who must send one: test_challenge.py and test_tokens.py.
"""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from host_sim.authorization_server import dpop
from host_sim.authorization_server.errors import InvalidDpopProof
from tests.authorization_server import running
from tests.authorization_server.parties import DpopKey, Party
from tests.requirements import proves


@proves("RFC9449-4.3-a", "RFC9449-6.1-a")
def test_the_proofs_of_rfc_9449_verify_and_have_its_thumbprint(vectors):
    examples = vectors.document("dpop/rfc9449_examples.json")
    for example in examples["proofs"]:
        payload = example["payload"]
        proof = dpop.verify(example["jwt"], payload["htm"], payload["htu"])
        assert (proof.jkt, proof.jti, proof.nonce) == (examples["jkt"], payload["jti"], None)


@proves("RFC9449-4.3-a")
def test_the_proofs_of_rfc_9449_fail_with_any_character_changed(vectors):
    example = vectors.document("dpop/rfc9449_examples.json")["proofs"][0]
    text, payload = example["jwt"], example["payload"]
    for place in range(len(text) - 1):  # the last character has bits that no decoder reads
        changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        with pytest.raises(InvalidDpopProof):
            dpop.verify(changed, payload["htm"], payload["htu"])


@proves("RFC9449-4.3-a")
@pytest.mark.parametrize(
    ("htu", "right"),
    [
        ("https://as.example/token", True),
        ("https://AS.example:443/token", True),
        ("HTTPS://as.example/token?query=1#fragment", True),
        ("https://as.example/Token", False),
        ("https://as.example/token/", False),
        ("https://as.example:444/token", False),
        ("https://as.example.attacker.example/token", False),
        ("http://as.example/token", False),
        ("", False),
        ("https://[", False),
    ],
)
def test_htu_is_compared_without_query_and_after_normalisation(htu, right):
    proof = DpopKey().sign(htu, None)
    if right:
        assert dpop.verify(proof, "POST", "https://as.example/token")
    else:
        with pytest.raises(InvalidDpopProof):
            dpop.verify(proof, "POST", "https://as.example/token")


def _private_jwk(key: DpopKey) -> dict:
    return key.jwk | {"d": "AAAA"}


WRONG = {
    "another typ": lambda key, url, nonce: key.sign(url, nonce, {"typ": "JWT"}),
    "no key in it": lambda key, url, nonce: key.sign(url, nonce, {"jwk": {}}),
    "a key that is no object": lambda key, url, nonce: key.sign(url, nonce, {"jwk": "x"}),
    "the private key in it": lambda key, url, nonce: key.sign(url, nonce, {"jwk": _private_jwk(key)}),
    "somebody else's key in it": lambda key, url, nonce: key.sign(url, nonce, {"jwk": DpopKey().jwk}),
    "a point off the curve": lambda key, url, nonce: key.sign(url, nonce, {"jwk": key.jwk | {"x": key.jwk["y"]}}),
    "another method": lambda key, url, nonce: key.sign(url, nonce, htm="GET"),
    "another URL": lambda key, url, nonce: key.sign(url + "x", nonce),
    "no URL": lambda key, url, nonce: key.sign(url, nonce, htu=None),
    "a URL that is no text": lambda key, url, nonce: key.sign(url, nonce, htu=["x"]),
    "no jti": lambda key, url, nonce: key.sign(url, nonce, jti=None),
    "an empty jti": lambda key, url, nonce: key.sign(url, nonce, jti=""),
    "a jti that is no text": lambda key, url, nonce: key.sign(url, nonce, jti=7),
    "no iat": lambda key, url, nonce: key.sign(url, nonce, iat=None),
    "an iat that is no number": lambda key, url, nonce: key.sign(url, nonce, iat=True),
    "a nonce that is no text": lambda key, url, nonce: key.sign(url, 5),
    "no signature": lambda key, url, nonce: key.sign(url, nonce).rpartition(".")[0] + ".",
    "no algorithm": lambda key, url, nonce: jwt.encode({"jti": "x", "htm": "POST", "htu": url, "iat": 0}, "", algorithm="none"),
    "a shared secret": lambda key, url, nonce: jwt.encode(
        {"jti": "x", "htm": "POST", "htu": url, "iat": 0, "nonce": nonce},
        "k" * 32,
        algorithm="HS256",
        headers={"typ": "dpop+jwt", "jwk": {"kty": "oct", "k": base64.urlsafe_b64encode(b"k" * 32).decode()}},
    ),
    "another algorithm": lambda key, url, nonce: _signed_with_rsa(url, nonce),
    "another curve": lambda key, url, nonce: _signed_with_p384(url, nonce),
    "a critical extension": lambda key, url, nonce: key.sign(url, nonce, {"crit": ["x"], "x": 1}),
    "no JWT at all": lambda key, url, nonce: "made-up",
    "dots alone": lambda key, url, nonce: "..",
    "too much of it": lambda key, url, nonce: key.sign(url, nonce, jti="j" * 5000),
    "JSON that nests without end": lambda key, url, nonce: base64.urlsafe_b64encode(b"[" * 2000).decode().rstrip("=") + ".e30.AA",
}


def _signed_with_rsa(url: str, nonce: str) -> str:
    key = rsa.generate_private_key(65537, 2048)
    jwk = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    claims = {"jti": "x", "htm": "POST", "htu": url, "iat": 0, "nonce": nonce}
    return jwt.encode(claims, key, algorithm="RS256", headers={"typ": "dpop+jwt", "jwk": jwk})


def _signed_with_p384(url: str, nonce: str) -> str:
    key = ec.generate_private_key(ec.SECP384R1())
    jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    claims = {"jti": "x", "htm": "POST", "htu": url, "iat": 0, "nonce": nonce}
    return jwt.encode(claims, key, algorithm="ES384", headers={"typ": "dpop+jwt", "jwk": jwk})


@proves("RFC9449-4.3-a", "FIPA-9.5.1-c")
@pytest.mark.parametrize("endpoint", ["challenge", "token"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_proof_is_refused_at_both_endpoints(server, wrong, endpoint):
    party = Party(server)
    party.start()
    proof = WRONG[wrong](party.key, f"{server.issuer}/{endpoint}", party.nonce)
    response = party.post(endpoint, party.first_fields() | {"grant_type": "refresh_token", "refresh_token": "x"}, proof=proof)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_dpop_proof")


@proves("RFC9449-4.3-a")
def test_two_proofs_are_one_too_many(server):
    party = Party(server)
    party.start()
    url = f"{server.issuer}/challenge"
    headers = [("DPoP", party.key.sign(url, party.nonce)), ("DPoP", party.key.sign(url, party.nonce))]
    response = server.http.post("/challenge", data=Party(server, client=running.APP).first_fields(), headers=headers)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_dpop_proof")


@proves("RFC9449-8-a")
@pytest.mark.parametrize("nonce", [None, "made-up", "", "A" * 28, "é", "AGsD3fG7iNio0woweHRjAYb7Dw3-"])
@pytest.mark.parametrize("endpoint", ["challenge", "token"])
def test_a_proof_without_a_fresh_nonce_is_told_to_sign_again(server, endpoint, nonce):
    party = Party(server)
    proof = party.key.sign(f"{server.issuer}/{endpoint}", nonce)
    response = party.post(endpoint, party.first_fields() | {"grant_type": "refresh_token", "refresh_token": "x"}, proof=proof)
    assert (response.status_code, response.json()["error"]) == (400, "use_dpop_nonce")
    assert len(response.headers["dpop-nonce"]) == 28


@proves("RFC9449-8-a")
def test_a_nonce_that_the_server_did_not_make_is_not_fresh_whatever_time_it_names(server):
    party = Party(server)
    made_up = base64.urlsafe_b64encode(int(time.time()).to_bytes(5, "big") + bytes(16)).decode()
    response = party.post("challenge", party.first_fields(), proof=party.key.sign(f"{server.issuer}/challenge", made_up))
    assert (response.status_code, response.json()["error"]) == (400, "use_dpop_nonce")


@proves("RFC9449-8-a")
def test_a_nonce_ends_with_its_time_and_serves_many_proofs_until_then(tmp_path):
    with running.server(tmp_path, dpop_nonce_ttl_s=3) as server:
        party = Party(server)
        nonce = server.http.get("/livez").headers["dpop-nonce"]
        url = f"{server.issuer}/challenge"
        for _ in range(2):
            assert party.post("challenge", party.first_fields(), proof=party.key.sign(url, nonce)).status_code == 403
        time.sleep(4.1)
        response = party.post("challenge", party.first_fields(), proof=party.key.sign(url, nonce))
        assert response.json()["error"] == "use_dpop_nonce"


@proves("RFC9449-4.3-a")
@pytest.mark.parametrize("iat", [0, 946684800, 1 << 40])
def test_a_device_without_a_clock_is_served_because_the_nonce_is_the_clock(server, iat):
    party = Party(server)
    nonce = server.http.get("/livez").headers["dpop-nonce"]
    proof = party.key.sign(f"{server.issuer}/challenge", nonce, iat=iat)
    assert party.post("challenge", party.first_fields(), proof=proof).status_code == 403


@proves("RFC9449-11.1-a")
def test_a_proof_is_accepted_once_even_when_fifty_come_at_once(server):
    party = Party(server)
    nonce = server.http.get("/livez").headers["dpop-nonce"]
    proof = party.key.sign(f"{server.issuer}/challenge", nonce)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: party.post("challenge", party.first_fields(), proof=proof).json()["error"], range(50)))
    assert sorted(answers) == ["insufficient_authorization"] + ["invalid_dpop_proof"] * 49


@proves("RFC9449-11.1-a")
def test_a_proof_that_was_refused_for_another_reason_is_spent_all_the_same(server):
    party = Party(server)
    nonce = server.http.get("/livez").headers["dpop-nonce"]
    proof = party.key.sign(f"{server.issuer}/challenge", nonce)
    assert party.post("challenge", party.first_fields(scope="unknown"), proof=proof).json()["error"] == "invalid_scope"
    assert party.post("challenge", party.first_fields(), proof=proof).json()["error"] == "invalid_dpop_proof"


def test_a_proof_is_checked_even_where_none_was_needed(server):
    party = Party(server, client=running.BEARER_APP, dpop=False)
    response = party.post("challenge", party.first_fields(), proof="made-up")
    assert response.json()["error"] == "invalid_dpop_proof"
