"""POST /token and POST /revoke: what a code and a refresh token are worth, to whom, and for how long.

Not how a code is earned (test_challenge.py), nor what a DPoP proof must be (test_dpop.py).
"""

import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode

import jwt
import pytest

from tests.authorization_server import clocked, running
from tests.authorization_server.parties import DpopKey, Party, verifier_and_challenge
from tests.requirements import proves


def refused(response, error: str, status: int = 400) -> bool:
    return (response.status_code, response.json()["error"]) == (status, error)


# Access tokens


@proves("RFC9068-2-a", "RFC9068-3-a", "RFC9449-6.1-a", "RFC9449-5-a", "FIPA-9.5-a", "RFC6749-5.1-a")
def test_an_access_token_is_a_jwt_for_one_resource_bound_to_the_device_s_key(server):
    party = Party(server)
    response = party.redeem(party.earn_code(scope="led:write led:read"))
    assert response.headers["cache-control"] == "no-store"
    tokens = response.json()
    assert sorted(tokens) == ["access_token", "expires_in", "refresh_token", "scope", "token_type"]
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("DPoP", 300, "led:read led:write")
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(server.http.get("/jwks.json").json()).keys}
    header = jwt.get_unverified_header(tokens["access_token"])
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
    claims = jwt.decode(
        tokens["access_token"],
        keys[header["kid"]],
        algorithms=["ES256"],
        audience=running.RESOURCE,
        issuer=server.issuer,
        options={"require": ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"]},
    )
    assert claims["cnf"] == {"jkt": party.key.jkt}
    assert (claims["sub"], claims["device_id"], claims["client_id"]) == (party.device, party.device, running.BRIDGE)
    assert claims["scope"] == "led:read led:write"
    assert claims["exp"] - claims["iat"] == 300


def test_a_client_without_dpop_gets_a_bearer_token_and_nobody_vouches_for_its_device(server):
    party = Party(server, client=running.BEARER_APP, dpop=False)
    tokens = party.earn_tokens()
    assert tokens["token_type"] == "Bearer"
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert "cnf" not in claims and "device_id" not in claims
    assert claims["sub"] == f"{running.BEARER_APP}/{party.device}"


@proves("RFC9449-5-a")
def test_an_unbound_code_redeemed_with_a_proof_gives_a_bound_token(server):
    party = Party(server, client=running.BEARER_APP, dpop=False)
    tokens = party.redeem(party.earn_code(), key=DpopKey()).json()
    assert tokens["token_type"] == "DPoP"


def test_a_token_is_for_the_resource_that_was_asked_for(server):
    party = Party(server)
    token = party.redeem(party.earn_code(resource=running.OTHER_RESOURCE, scope="door:open")).json()["access_token"]
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == running.OTHER_RESOURCE


# Codes


@proves("RFC6749-4.1.2-a")
def test_a_code_that_is_used_twice_is_refused_and_takes_its_tokens_with_it(server):
    party = Party(server)
    code = party.earn_code()
    tokens = party.redeem(code).json()
    newer = party.refresh(tokens["refresh_token"]).json()
    assert refused(party.redeem(code), "invalid_grant")
    assert refused(party.refresh(newer["refresh_token"]), "invalid_grant")


def test_a_code_expires(tmp_path):
    with running.server(tmp_path, code_ttl_s=1) as server:
        party = Party(server)
        code = party.earn_code()
        time.sleep(1.1)
        assert refused(party.redeem(code), "invalid_grant")


@proves("RFC7636-4.6-a")
@pytest.mark.parametrize(
    ("verifier", "error"),
    [
        (None, "invalid_request"),
        (verifier_and_challenge()[0], "invalid_grant"),
        ("short", "invalid_request"),
        ("é" * 43, "invalid_request"),
    ],
    ids=["none", "another", "short", "not ASCII"],
)
def test_a_code_wants_its_verifier_and_a_wrong_one_does_not_burn_it(server, verifier, error):
    party = Party(server)
    code = party.earn_code()
    assert refused(party.redeem(code, code_verifier=verifier), error)
    assert party.redeem(code).status_code == 200


@proves("RFC7636-4.6-a")
def test_the_pair_of_rfc_7636_appendix_b_is_accepted(server, vectors):
    pair = vectors.document("oauth/rfc7636_appendix_b.json")
    party = Party(server)
    party.verifier, party.code_challenge = pair["code_verifier"], pair["code_challenge"]
    assert party.earn_tokens()["scope"] == "led:read"


@proves("RFC7636-4.6-a")
def test_the_challenge_itself_is_no_verifier(server):
    party = Party(server)
    assert refused(party.redeem(party.earn_code(), code_verifier=party.code_challenge), "invalid_grant")


@proves("FIPA-6-a")
def test_a_token_request_with_a_redirect_uri_is_refused(server):
    party = Party(server)
    code = party.earn_code()
    assert refused(party.redeem(code, redirect_uri="https://app.example/"), "invalid_request")
    assert party.redeem(code).status_code == 200


@proves("FIPA-9.5.1-d", "FIPA-9.5.1-e", "FIPA-9.5.1-c")
def test_a_bound_code_wants_a_proof_of_its_key_and_survives_a_wrong_one(server):
    party = Party(server)
    code = party.earn_code()
    assert refused(party.redeem(code, key=DpopKey()), "invalid_dpop_proof")
    assert refused(party.redeem(code, key=None), "invalid_dpop_proof")
    assert party.redeem(code).status_code == 200


@proves("RFC6749-4.1.3-a")
def test_a_code_is_worth_nothing_to_another_client(server):
    app = Party(server, client=running.APP)
    code = app.earn_code()
    other = Party(server, client=running.BEARER_APP)
    other.verifier = app.verifier
    assert refused(other.redeem(code, key=app.key), "invalid_grant")
    assert app.redeem(code).status_code == 200


@proves("RFC8707-2-a")
def test_a_token_request_may_repeat_its_resource_and_not_change_it(server):
    party = Party(server)
    code = party.earn_code()
    assert refused(party.redeem(code, resource=running.OTHER_RESOURCE), "invalid_target")
    tokens = party.redeem(code, resource=running.RESOURCE).json()
    assert refused(party.refresh(tokens["refresh_token"], resource=running.OTHER_RESOURCE), "invalid_target")
    assert party.refresh(tokens["refresh_token"], resource=running.RESOURCE).status_code == 200


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "made-up", "code_verifier": "v" * 43}, "invalid_grant"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "made-up"}, "invalid_grant"),
    ],
)
def test_a_token_request_that_is_wrong_is_refused_by_its_code(server, fields, error):
    assert refused(Party(server).post("token", fields), error)


def test_an_unknown_client_is_an_invalid_client_at_the_token_endpoint(server):
    party = Party(server, client="nobody-knows-me")
    response = party.redeem("x")
    assert refused(response, "invalid_client")


# Refresh tokens


@proves("PROTOCOL-5-f")
def test_a_refresh_token_rotates_and_a_lost_reply_gets_the_same_successor(server):
    party = Party(server)
    first = party.earn_tokens()["refresh_token"]
    successors = {party.refresh(first).json()["refresh_token"] for _ in range(3)}
    assert len(successors) == 1 and first not in successors
    (second,) = successors
    third = party.refresh(second).json()["refresh_token"]
    assert third not in (first, second)


@proves("PROTOCOL-5-f")
def test_a_refresh_with_a_lost_reply_a_thousand_times_in_a_row_locks_nobody_out_and_another_key_ends_the_family(server):
    party = Party(server)
    token = party.earn_tokens()["refresh_token"]
    for _ in range(1000):
        party.refresh(token)
        token = party.refresh(token).json()["refresh_token"]
    assert refused(party.refresh(token, key=DpopKey()), "invalid_grant")
    assert refused(party.refresh(token), "invalid_grant")


@proves("PROTOCOL-5-f")
def test_a_successor_that_was_never_used_is_given_again_however_late(tmp_path):
    with clocked.server(tmp_path) as server:
        party = Party(server)
        first = party.earn_tokens()["refresh_token"]
        lost = party.refresh(first).json()["refresh_token"]
        server.now_s += 29 * 86400  # no network, and no power
        assert party.refresh(first).json()["refresh_token"] == lost
        assert party.refresh(lost).status_code == 200
        server.now_s += 2 * 86400  # what came before the owner's last is forgotten, and still ends nothing
        assert refused(party.refresh(first), "invalid_grant")
        assert party.refresh(lost).status_code == 200


@proves("PROTOCOL-5-f")
def test_an_older_token_than_the_owner_s_last_is_refused_and_ends_nothing_with_the_owner_s_key(server):
    party = Party(server)
    first = party.earn_tokens()["refresh_token"]
    second = party.refresh(first).json()["refresh_token"]
    third = party.refresh(second).json()["refresh_token"]
    assert refused(party.refresh(first), "invalid_grant")
    assert party.refresh(second).json()["refresh_token"] == third
    assert party.refresh(third).status_code == 200


@proves("PROTOCOL-5-f")
@pytest.mark.parametrize("key", [None, DpopKey()], ids=["none", "another"])
@pytest.mark.parametrize("age", [0, 1, 2])
def test_a_refresh_token_with_another_key_or_none_ends_its_family_however_old_it_is(server, age, key):
    party = Party(server)
    token = newest = party.earn_tokens()["refresh_token"]
    for _ in range(age):
        newest = party.refresh(newest).json()["refresh_token"]
    assert refused(party.refresh(token, key=key), "invalid_grant")
    assert refused(party.refresh(newest), "invalid_grant")


def test_what_names_a_family_and_lacks_the_seal_is_no_refresh_token_and_ends_nothing(server):
    party = Party(server)
    tokens = party.earn_tokens()
    family = jwt.decode(tokens["access_token"], options={"verify_signature": False})["jti"].partition(".")[0]
    genuine = urlsafe_b64decode(tokens["refresh_token"] + "=")
    assert genuine.startswith(bytes.fromhex(family))
    others = [genuine[:8] + secrets.token_bytes(24), genuine[:-1] + bytes([genuine[-1] ^ 1]), genuine[:-8], b"", genuine * 2]
    for made_up in [
        *(urlsafe_b64encode(other).rstrip(b"=").decode() for other in others),
        tokens["refresh_token"] + "!",
        "ü" * 43,
    ]:
        assert party.refresh(made_up, key=DpopKey()).json()["error"] in ("invalid_grant", "invalid_request")
        party.post("revoke", {"token": made_up, "client_id": party.client}, proof=None)
    assert party.refresh(tokens["refresh_token"]).status_code == 200


@proves("PROTOCOL-5-f")
def test_a_bearer_refresh_token_has_no_second_chance(server):
    party = Party(server, client=running.BEARER_APP, dpop=False)
    first = party.earn_tokens()["refresh_token"]
    second = party.refresh(first).json()["refresh_token"]
    assert refused(party.refresh(first), "invalid_grant")
    assert refused(party.refresh(second), "invalid_grant")


def test_a_refresh_token_of_another_client_is_refused_and_survives(server):
    app = Party(server, client=running.APP)
    token = app.earn_tokens()["refresh_token"]
    stranger = Party(server, client=running.BEARER_APP)
    for key in (app.key, stranger.key):
        assert refused(stranger.refresh(token, key=key), "invalid_grant")
    assert app.refresh(token).status_code == 200


def test_a_refresh_may_ask_for_less_and_not_for_more(server):
    party = Party(server)
    token = party.redeem(party.earn_code(scope="led:read led:write")).json()["refresh_token"]
    narrow = party.refresh(token, scope="led:read").json()
    assert narrow["scope"] == "led:read"
    assert party.refresh(narrow["refresh_token"]).json()["scope"] == "led:read led:write"
    assert refused(party.refresh(narrow["refresh_token"], scope="door:open"), "invalid_scope")


def test_a_refresh_token_expires(tmp_path):
    with running.server(tmp_path, refresh_token_ttl_s=1) as server:
        party = Party(server)
        token = party.earn_tokens()["refresh_token"]
        time.sleep(1.1)
        assert refused(party.refresh(token), "invalid_grant")


# Revocation


@proves("RFC7009-2.1-a")
@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
@pytest.mark.parametrize("hint", [None, "refresh_token", "access_token", "nonsense"])
def test_a_revoked_token_ends_its_family_whatever_the_hint(server, kind, hint):
    party = Party(server)
    tokens = party.earn_tokens()
    newer = party.refresh(tokens["refresh_token"]).json()
    fields = {"token": tokens[kind]} | ({"token_type_hint": hint} if hint else {})
    assert party.post("revoke", fields).status_code == 200
    assert refused(party.refresh(newer["refresh_token"]), "invalid_grant")


@proves("RFC7009-2.2-a")
@pytest.mark.parametrize("token", ["made-up", "a.b.c", "eyJhbGciOiJub25lIn0.eyJqdGkiOiJ4In0."])
def test_revoking_what_is_no_token_is_answered_with_200(server, token):
    assert Party(server).post("revoke", {"token": token}).status_code == 200


@proves("RFC7009-2.1-a")
def test_a_foreign_client_revokes_nothing(server):
    app = Party(server, client=running.APP)
    token = app.earn_tokens()["refresh_token"]
    Party(server).post("revoke", {"token": token})
    assert app.refresh(token).status_code == 200


def test_a_revocation_without_a_token_or_a_client_is_refused(server):
    assert refused(Party(server).post("revoke", {}), "invalid_request")
    assert refused(Party(server, client=running.APP).post("revoke", {"token": "x"}), "invalid_client")
