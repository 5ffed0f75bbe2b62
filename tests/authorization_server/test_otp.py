"""The challenge `otp`: RFC 6238, its vectors, and a code that is good once.

Not the limits that hold for every challenge: test_guessing.py.
"""

import base64
import hmac
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512

from host_sim.authorization_server import admin
from host_sim.authorization_server.challenges import otp
from tests.authorization_server import running
from tests.authorization_server.browsing import account
from tests.authorization_server.direct import START, Asker, Direct, open_direct
from tests.authorization_server.parties import Party
from tests.requirements import proves

ONLY_OTP = [{"challenges": ["otp"]}]
SEED = b"1234567890"
# RFC 6238, appendix B (with the seeds of errata 2866: as long as the hash)
VECTORS = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]


@proves("RFC6238-4-a")
@pytest.mark.parametrize(("at_s", "sha1", "sha256", "sha512"), VECTORS)
def test_the_vectors_of_appendix_b(at_s, sha1, sha256, sha512):
    assert otp.value(SEED * 2, at_s, 8, SHA1()) == sha1
    assert otp.value((SEED * 4)[:32], at_s, 8, SHA256()) == sha256
    assert otp.value((SEED * 7)[:64], at_s, 8, SHA512()) == sha512


class Authenticator:
    """What a person's telephone does with the URI: RFC 4226, section 5.3, in another hand."""

    def __init__(self, uri: str) -> None:
        self.uri = urlsplit(uri)
        self.words = {name: values[0] for name, values in parse_qs(self.uri.query).items()}
        self.secret = base64.b32decode(self.words["secret"] + "=" * (-len(self.words["secret"]) % 8))

    def shows(self, at_s: int) -> str:
        digest = hmac.digest(self.secret, struct.pack(">Q", at_s // 30), "sha1")
        (number,) = struct.unpack_from(">I", digest, digest[-1] & 15)
        return f"{(number & 0x7FFFFFFF) % 10**6:06}"


@pytest.fixture
def direct(tmp_path: Path) -> Iterator[Direct]:
    with open_direct(tmp_path, policy=ONLY_OTP) as opened:
        opened.account("ada")
        yield opened


def test_a_name_and_a_code_of_the_authenticator_earn_a_code_for_the_account(direct):
    ada = direct.services.accounts.by_name("ada")
    authenticator = Authenticator(admin.enrol_otp(direct.services, "Ada"))
    assert authenticator.uri[:3] == ("otpauth", "totp", "/localhost%3A9443:ada")
    assert len(authenticator.secret) == 20  # RFC 4226, section 4, R6
    app = Asker(direct, client=running.BEARER_APP)
    app.start()
    assert app.said["inputs"] == [
        {"name": "username", "kind": "text", "min": 1, "max": 64, "check": "none", "label": "User name"},
        {"name": "otp", "kind": "digits", "min": 6, "max": 6, "check": "none", "label": "One-time code"},
    ]
    app.follow(username=" Ada ", otp=authenticator.shows(direct.clock_s))
    assert app.status == 200
    with direct.transaction() as transaction:
        code = transaction.code(direct.services.keys.keyed_hash("code", app.said["authorization_code"]))
    assert code.subject == ada.id


@proves("RFC6238-5.2-a")
@pytest.mark.parametrize("later_s", [0, 29, 30, 59])
def test_a_code_is_good_once_and_so_is_none_before_it(direct, later_s):
    shows = Authenticator(admin.enrol_otp(direct.services, "ada")).shows
    direct.clock_s = START - START % 30
    first = shows(direct.clock_s)
    asker = Asker(direct)
    asker.start()
    assert "authorization_code" in asker.follow(username="ada", otp=first)
    direct.clock_s += later_s
    for used in (first, shows(START - START % 30 - 30)):
        asker.start()
        assert asker.follow(username="ada", otp=used)["reason"] == "wrong_answer"
    if later_s >= 30:
        assert "authorization_code" in asker.follow(username="ada", otp=shows(direct.clock_s))


@proves("RFC6238-5.2-b")
@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_away_and_no_more(direct, steps, good):
    shows = Authenticator(admin.enrol_otp(direct.services, "ada")).shows
    asker = Asker(direct)
    asker.start()
    asker.follow(username="ada", otp=shows(direct.clock_s + 30 * steps))
    assert (asker.status == 200) is good


def test_a_newer_authenticator_makes_the_older_one_void(direct):
    older, newer = (Authenticator(admin.enrol_otp(direct.services, "ada")) for _ in range(2))
    asker = Asker(direct)
    asker.start()
    assert asker.follow(username="ada", otp=older.shows(direct.clock_s))["reason"] == "wrong_answer"
    assert "authorization_code" in asker.follow(username="ada", otp=newer.shows(direct.clock_s))


@pytest.mark.parametrize("typed", ["", "0", "000000", "abcdef", "\u0660" * 6, "0" * 4096])
def test_whatever_is_typed_is_wrong_for_an_account_without_authenticator_and_for_none(direct, typed):
    for name in ("ada", "nobody", "", "-", "ac-0"):
        asker = Asker(direct, client=running.BEARER_APP)
        asker.start()
        asker.follow(username=name, **({"otp": typed} if typed else {}))
        assert (asker.status, asker.said["reason"]) == (403, "wrong_answer" if name or typed else "none")


def test_an_owned_device_is_not_asked_who_it_is(direct):
    shows = Authenticator(admin.enrol_otp(direct.services, "ada")).shows
    asker = Asker(direct)
    asker.start()
    assert asker.asked == ["username", "otp"]
    asker.follow(username="ada", otp=shows(direct.clock_s))
    direct.clock_s += 30
    asker.start()
    assert asker.asked == ["otp"]
    assert "authorization_code" in asker.follow(otp=shows(direct.clock_s))


def test_the_console_line_shows_the_secret_once_and_keeps_none_of_it(tmp_path):
    with running.server(tmp_path, policy=ONLY_OTP) as server:
        account(server, "ada")
        done = server.run("user", "otp", "ada")
        assert (done.returncode, done.stderr) == (0, "")
        authenticator = Authenticator(done.stdout.splitlines()[0])
        party = Party(server)
        party.start()
        now_s = int(server.admin("waiting")[0]["since"])
        assert party.follow(username="ada", otp=authenticator.shows(now_s)).status_code == 200
        kept = b"".join(path.read_bytes() for path in server.state.iterdir())
        assert authenticator.secret not in kept and authenticator.words["secret"].encode() not in kept
        assert server.run("user", "otp", "nobody").returncode == 1
