"""Every shipped profile against an AS of its dialect, through the real bridge and a broker.

Not the reference profile: test_with_the_reference_as.py has that.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from broker_bridge import profile
from broker_bridge.configuration import ConfigurationError
from latchpin.wire.bridge_side import CODES
from tests.authorization_server.parties import verifier_and_challenge
from tests.bridge import dialects
from tests.bridge.dialects import INACTIVE, OTP, USER, WRONG, Dialect
from tests.bridge.driver import Bridge, Device, Place, running
from tests.bridge.foreign import Foreign, Said, foreign
from tests.brokers import running as brokers
from tests.brokers.running import Running

DIALECTS: dict[str, tuple[str, type[Dialect]]] = {
    "appendix-b": ("appendix-b", dialects.AppendixB),
    "draft-02": ("draft-02", dialects.Draft02),
    "draft-03": ("draft-02", dialects.Draft03),
    "janssen": ("janssen", dialects.Janssen),
    "entra-native-v2": ("entra-native-v2", dialects.EntraNativeV2),
}
NATIVE = [name for name in DIALECTS if name != "entra-native-v2"]


class Town:
    def __init__(self, server: Foreign, spoken: Dialect, bridge: Bridge, device: Device) -> None:
        self.server, self.spoken, self.bridge, self.device = server, spoken, bridge, device
        self.verifier, self.code_challenge = verifier_and_challenge()
        self.auth_session: str | None = None

    def ask(self, **fields: Any) -> Any:
        reply = self.device.ask("CHALLENGE", resource=0, scope=1, **fields)
        self.auth_session = reply.get("auth_session") or self.auth_session
        return reply

    def start(self) -> Any:
        return self.ask(code_challenge=self.code_challenge)

    def answer(self, **answers: str) -> Any:
        return self.ask(auth_session=self.auth_session, answers=answers)

    def token(self, **fields: str) -> Any:
        return self.device.ask("TOKEN", resource=0, **fields)


class Standing(NamedTuple):
    place: Place
    broker: Running
    server: Foreign
    bridge: Bridge
    dialect: type[Dialect]


@pytest.fixture(scope="module")
def standing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    name, dialect = DIALECTS[request.param]
    folder = tmp_path_factory.mktemp("town")
    (folder / "broker").mkdir()
    place = Place(folder)
    with brokers.embedded(folder / "broker", place.registry) as broker, foreign(folder / "foreign") as server:
        dialect(server)
        client = {"client_authentication": "none"} if dialect.public else {"client_secret_file": "client.secret"}
        named = {"profile": name, **client}
        config = place.configure(broker, server.issuer, server.resource, server.ca, authorization_server=named)
        if dialect.public:
            config.write_text(config.read_text().replace('client_secret_file = "client.secret"\n', ""))
        with running(config) as bridge:
            yield Standing(place, broker, server, bridge, dialect)


@pytest.fixture
def town(standing: Standing) -> Iterator[Town]:
    """The standing bridge, a new device, and an AS that forgot the test before."""
    server, spoken = standing.server, standing.dialect(standing.server)
    device = Device(standing.place.identity(), standing.broker).shake()
    assert device.ask("DISCOVER", resource=0)["challenge_endpoint"] == server.origin + spoken.challenge_path
    yield Town(server, spoken, standing.bridge, device)
    device.close()


def asked_for(reply: Any) -> list[str]:
    assert reply.name == "PROMPT", reply
    return [item["name"] for item in reply["inputs"]]


def error(reply: Any) -> str:
    assert reply.name == "ERROR", reply
    return CODES[reply["error"]]


native = pytest.mark.parametrize("standing", NATIVE, indirect=True, scope="module")
every = pytest.mark.parametrize("standing", list(DIALECTS), indirect=True, scope="module")


def only(name: str) -> Any:
    return pytest.mark.parametrize("standing", [name], indirect=True, scope="module")


@native
def test_a_username_and_an_otp_become_a_code_that_only_the_device_redeems(town: Town):
    assert asked_for(town.start()) == ["username"]
    assert asked_for(town.answer(username=USER)) == ["otp"]
    code = town.answer(otp=OTP)
    assert code.name == "CODE"
    tokens = town.token(code=code["code"], code_verifier=town.verifier)
    assert tokens.name == "TOKENS" and tokens["granted_scope"] == "led:read led:write"
    assert error(town.token(code=code["code"], code_verifier=town.verifier)) == "invalid_grant"


@native
def test_without_the_verifier_of_the_device_the_code_is_worth_nothing(town: Town):
    town.start()
    town.answer(username=USER)
    code = town.answer(otp=OTP)
    assert error(town.token(code=code["code"], code_verifier="v" * 43)) == "invalid_grant"


@native
def test_a_wrong_otp_is_asked_for_again_and_the_right_one_still_counts(town: Town):
    town.start()
    town.answer(username=USER)
    again = town.answer(otp=WRONG)
    assert asked_for(again) == ["otp"] if again.name == "PROMPT" else error(again) == "wrong_answer"
    assert town.answer(otp=OTP).name == "CODE"


@native
def test_a_session_that_the_as_does_not_know_is_invalid(town: Town):
    town.start()
    town.answer(username=USER)
    town.auth_session = "made-up"
    assert error(town.answer(otp=OTP)) == "invalid_session"


@every
def test_an_unknown_answer_is_refused_and_not_guessed(town: Town):
    path, device = town.spoken.challenge_path, town.device
    strange: list[tuple[int, Any, str]] = [
        (401, {"error": "shoe_size_required", "auth_session": "s"}, "as_error_unknown"),
        (403, {"error": "insufficient_authorization", "auth_session": "s", "shoe_size_required": True}, "as_asks_nothing_known"),
        (418, {"error": "insufficient_authorization"}, "as_418"),
        (200, {"code": "a-code"}, "as_words"),
        (200, {"authorization_code": 7}, "as_words"),
        (400, ["insufficient_authorization"], "json"),
    ]
    for status, body, why in strange:
        town.server.says(path, Said(status, body))
        reply = device.ask("CHALLENGE", resource=0, scope=1, code_challenge="c" * 43, auth_session="s")
        assert error(reply) == "internal"
        assert town.bridge.line(event="request", code=why)["outcome"] == "internal"


@only("appendix-b")
def test_the_as_is_not_asked_before_it_can_be_told_the_username(town: Town):
    first = town.start()
    assert first["auth_session"] == "begin." + town.code_challenge and not town.server.to(town.spoken.challenge_path)
    assert asked_for(town.ask(auth_session=town.auth_session)) == ["username"], "where do I stand: still there"
    assert error(town.answer(otp=OTP)) == "invalid"
    town.answer(username=USER)
    (sent,) = town.server.to(town.spoken.challenge_path)
    assert sent.form == {
        "response_type": "code",
        "client_id": "latchpin-device",
        "scope": "led:read led:write",
        "resource": town.server.resource,
        "code_challenge": town.code_challenge,
        "code_challenge_method": "S256",
        "username": USER,
    }
    town.answer(otp=OTP)
    assert set(town.server.to(town.spoken.challenge_path)[1].form) == {"auth_session", "otp"}


@only("appendix-b")
def test_an_as_cannot_hand_out_the_bridges_own_beginning_and_must_give_a_session(town: Town):
    path = town.spoken.challenge_path
    town.start()
    for given in ({"auth_session": "begin." + "c" * 43}, {}):
        town.server.says(path, Said(403, {"error": "insufficient_authorization", "otp_required": True, **given}))
        assert error(town.answer(username=USER)) == "internal"
    town.bridge.line(event="request", code="as_without_auth_session")


@only("janssen")
def test_a_user_that_janssen_does_not_know_is_denied_and_a_missing_scope_is_told(town: Town):
    for name in ("mallory", INACTIVE):
        town.auth_session = None
        town.start()
        town.answer(username=name)
        assert error(town.answer(otp=OTP)) == "denied"
    town.spoken.granted = frozenset()  # pyright: ignore[reportAttributeAccessIssue]
    assert error(town.start()) == "invalid"
    assert town.bridge.line(event="request", code="invalid_request")


@only("janssen")
def test_janssen_is_told_its_script_and_the_scope_in_every_request(town: Town):
    town.start()
    town.answer(username=USER)
    town.answer(otp=OTP)
    for sent in town.server.to(town.spoken.challenge_path):
        assert sent.form["acr_values"] == "latchpin" and sent.form["use_auth_session"] == "true"
        assert sent.form["scope"] == "led:read led:write" and sent.form["client_id"] == "latchpin-device"


@only("entra-native-v2")
def test_entras_native_steps_are_refused_and_its_device_grant_works(town: Town):
    assert error(town.start()) == "needs_browser"
    (sent,) = town.server.to(town.spoken.challenge_path)
    assert sent.form["scope"] == "led:read led:write" and "resource" not in sent.form
    assert not any("/api/v2.0/" in asked.path for asked in town.server.asked), "no link of theirs is followed"
    for name in ("username", "password", "otp"):
        assert error(town.ask(auth_session="s", answers={name: "123456"})) == "invalid"
    shown = town.device.ask("DEVICE_CODE", resource=0, scope=1)
    assert shown.name == "SHOW" and shown["user_code"] == "ABCD1234"
    assert town.token(device_code=shown["device_code"]).name == "TOKENS"


def test_entra_without_s256_in_its_metadata_is_refused_at_the_first_step(place: Place, broker: Running, server: Foreign):
    dialects.EntraNativeV2(server)
    del server.metadata["code_challenge_methods_supported"]
    named = {"profile": "entra-native-v2"}
    with running(place.configure(broker, server.issuer, server.resource, server.ca, authorization_server=named)) as bridge:
        device = Device(place.identity(), broker).shake()
        assert error(device.ask("DISCOVER", resource=0)) == "internal"
        assert bridge.line(event="request", code="as_without_s256")
        device.close()


def test_every_shipped_profile_is_tested_here_or_is_the_reference():
    shipped = {path.stem for path in Path(profile.__file__).parent.joinpath("profiles").glob("*.toml")}
    assert shipped == {name for name, _ in DIALECTS.values()} | {"reference"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[[asks]]\ninputs = [{ name = "otp", kind = "digits" }]', "needs either member or error"),
        (
            '[answers]\notp = "x"\n[[asks]]\nmember = "a"\nerror = "b"\ninputs = [{ name = "otp", kind = "digits" }]',
            "needs either",
        ),
        ('[[asks]]\nmember = "a"\ninputs = [{ name = "otp", kind = "digits" }]', "not in [answers]"),
        ('[answers]\notp = "x"\n[challenge]\nbegin = [{ name = "otp", kind = "retina" }]', "a kind that is none of"),
        ('[challenge]\npath = "../token"', "challenge.path"),
        ('omit = ["client_id"]', "omit"),
    ],
)
def test_a_profile_with_a_mistake_is_refused_with_its_mend(tmp_path: Path, text: str, why: str):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        profile.load(str(tmp_path / "own.toml"))
    assert why in str(caught.value)
