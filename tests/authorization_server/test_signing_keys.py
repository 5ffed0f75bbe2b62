"""Keys that sign access tokens: published before they are used, and until nothing lives that they signed.

Not what stands in a token: test_tokens.py.
"""

import stat

import jwt
import pytest

from host_sim.authorization_server import admin
from host_sim.authorization_server.signing_keys import TOKENS_LIVE_S, SigningKeys
from tests.authorization_server import clocked, running
from tests.authorization_server.parties import Party
from tests.requirements import proves


def published(server) -> list[str]:
    return [key["kid"] for key in server.http.get("/jwks.json").json()["keys"]]


@proves("PROTOCOL-5-l")
def test_a_key_is_published_before_it_signs_and_for_as_long_as_its_tokens_live(tmp_path):
    with clocked.server(tmp_path, access_token_ttl_s=3600) as server:
        party = Party(server)
        tokens = party.earn_tokens()
        (old,) = published(server)

        def signed_by() -> str:
            nonlocal tokens
            tokens = party.refresh(tokens["refresh_token"]).json()
            keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(server.http.get("/jwks.json").json()).keys}
            kid = jwt.get_unverified_header(tokens["access_token"])["kid"]
            options = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
            jwt.decode(tokens["access_token"], keys[kid], algorithms=["ES256"], options=options)
            return kid

        new = admin.rotate_key(server.services, 600).kid
        assert (published(server), signed_by()) == ([new, old], old)
        server.now_s += 599
        assert (published(server), signed_by()) == ([new, old], old)
        last_of_old = tokens["access_token"]
        server.now_s += 1
        assert (published(server), signed_by()) == ([new, old], new)
        server.now_s += 3600
        assert jwt.decode(last_of_old, options={"verify_signature": False})["exp"] < server.now_s
        assert published(server) == [new, old]
        server.now_s += TOKENS_LIVE_S - 3600
        assert (published(server), signed_by()) == ([new], new)


def test_a_next_key_that_waits_is_not_overtaken(tmp_path):
    with clocked.server(tmp_path) as server:
        admin.rotate_key(server.services, 600)
        with pytest.raises(admin.AdminError, match="published already"):
            admin.rotate_key(server.services, 600)
        server.now_s += 600
        admin.rotate_key(server.services, 600)
        assert len(published(server)) == 3


def test_what_no_living_token_is_signed_with_is_forgotten_by_the_next_rotation(tmp_path):
    keys = SigningKeys(tmp_path / "keys.json")
    kids = [keys.live(0)[0].kid]
    for turn in range(1, 4):
        now_s = turn * 10 * TOKENS_LIVE_S
        new = keys.rotate(now_s, 0)
        assert new is not None
        assert [key.kid for key in SigningKeys(tmp_path / "keys.json").live(now_s)] == [new.kid, kids[-1]]
        kids.append(new.kid)
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600


@proves("PROTOCOL-5-l")
def test_a_server_that_runs_takes_a_key_from_the_console_line(tmp_path):
    with running.server(tmp_path) as server:
        (old,) = published(server)
        said = server.run("key", "rotate", "--after", "0")
        assert said.returncode == 0, said.stderr
        new, still = published(server)
        assert still == old and new in said.stdout
        token = Party(server).earn_tokens()["access_token"]
        assert jwt.get_unverified_header(token)["kid"] == new
        listed = server.run("key", "list").stdout.splitlines()
        assert [(line.split()[0], line.split()[1]) for line in listed] == [(new, "signs"), (old, "old")]
        assert server.run("key", "rotate").returncode == 0
        waiting = server.run("key", "rotate")
        assert (waiting.returncode, "wait for it" in waiting.stderr) == (1, True)


@pytest.mark.parametrize("after", ["-1", "soon", "99999999999"])
def test_a_time_that_is_none_is_named(server, after):
    said = server.run("key", "rotate", f"--after={after}")
    assert said.returncode == 2 and "--after" in said.stderr
