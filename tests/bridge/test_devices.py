"""Who may speak: handshakes, sessions and frames, against latchpin.wire's own initiator, without a network.

Not for what requests ask: test_exchange.py has that.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from broker_bridge.devices import HINT_EVERY_S, PENDING_S, REFUSAL, Devices, Opened, Plain
from broker_bridge.handshake import Responder
from broker_bridge.registry import Registry
from broker_bridge.settings import Limits
from latchpin.crypto import p256
from latchpin.wire import bridge_side, cbor, messages, session, topics
from latchpin.wire.errors import PeerError
from tests.bridge.driver import KID, Identity, Talk, message

REPLICA = "replica-1"


CLOCK = {"s": 1000.0}


@pytest.fixture(autouse=True)
def one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limiter's own clock is the house's."""
    monkeypatch.setattr("token_bucket.storage.time", SimpleNamespace(monotonic=lambda: CLOCK["s"]))


class House:
    """One replica's devices, at a time that the test moves."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.private = p256.new_private(os.urandom)
        self.public = p256.public_key(self.private)
        self.registry = Registry(folder / "devices.toml")
        self.lines: list[dict[str, Any]] = []
        self.limits = Limits.model_validate({"frames_burst": 1000, **limits})
        self.devices = self.replica(REPLICA)

    @property
    def now_s(self) -> float:
        return CLOCK["s"]

    @now_s.setter
    def now_s(self, now_s: float) -> None:
        CLOCK["s"] = now_s

    def replica(self, name: str) -> Devices:
        responder = Responder(KID, self.private, self.public)
        return Devices(self.registry, responder, name, self.limits, os.urandom, self._log)

    def _log(self, event: str, **members: Any) -> None:
        self.lines.append({"event": event, **members})

    def identity(self) -> Identity:
        identity = Identity(self.public).enrol(self.registry)
        self.devices.follow_registry()
        return identity

    def take(self, topic: str, payload: bytes) -> Any:
        came = self.devices.take(topic, payload, self.now_s)
        return self.devices.read(came) if isinstance(came, Plain) else came

    def hello(self, talk: Talk, payload: bytes | None = None) -> bytes | None:
        came = self.take(topics.topic(talk.identity.device, "hello"), payload or talk.hello())
        assert came is None or came[0] == talk.identity.device
        return came[1] if came else None

    def up(self, talk: Talk, payload: bytes) -> Any:
        return self.take(topics.topic(talk.identity.device, "up", REPLICA), payload)

    def shake(self, talk: Talk) -> Talk:
        """A session that is not confirmed yet."""
        step_2 = self.hello(talk)
        assert step_2
        talk.confirm(self.up(talk, talk.proof(step_2))[1])
        return talk

    def speak(self, talk: Talk) -> Any:
        return self.up(talk, talk.seal(message("DISCOVER", resource=0))[0])

    def confirmed(self) -> Talk:
        talk = self.shake(Talk(self.identity()))
        assert isinstance(self.speak(talk), Opened)
        return talk

    def dropped(self, why: str) -> int:
        return self.devices.counts[f"dropped_{why}"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield House(tmp_path)


def test_a_device_shakes_hands_speaks_and_hears(house: House):
    talk = Talk(house.identity())
    house.shake(talk)
    assert talk.replica == REPLICA and (house.devices.live, house.devices.pending) == (0, 1)
    frame, request = talk.seal(message("DISCOVER", b"12345678", resource=0))
    opened = house.up(talk, frame)
    assert opened.live.device == talk.identity.device and opened.message["rid"] == b"12345678"
    assert (house.devices.live, house.devices.pending) == (1, 0)
    reply, _ = opened.live.keyed.seal(messages.pack(message("ERROR", b"12345678", now=1, error=10)), opened.answers)
    assert talk.open(reply, request)["error"] == 10


def test_the_log_names_a_handshake_as_the_devices_screen_does(house: House):
    talk = Talk(house.identity())
    house.shake(talk)
    steps = [(line["step"], line["outcome"]) for line in house.lines if line.get("rid") == talk.request_id]
    assert steps == [("hello", "answered"), ("proof", "keyed")]


def test_an_identical_hello_gets_the_identical_answer(house: House):
    talk = Talk(house.identity())
    hello = talk.hello()
    step_2 = house.hello(talk, hello)
    assert house.hello(talk, hello) == step_2 and house.devices.pending == 1
    talk.confirm(house.up(talk, talk.proof(step_2 or b""))[1])
    assert isinstance(house.speak(talk), Opened)


def test_an_identical_hello_after_the_proof_gets_other_keys(house: House):
    talk = Talk(house.identity())
    hello = talk.hello()
    step_2 = house.hello(talk, hello)
    house.up(talk, talk.proof(step_2 or b""))
    assert house.hello(talk, hello) not in (step_2, None)


def test_an_identical_proof_gets_the_identical_answer(house: House):
    talk = Talk(house.identity())
    proof = talk.proof(house.hello(talk) or b"")
    first = house.up(talk, proof)
    assert house.up(talk, proof) == first
    assert house.up(talk, bridge_side.pack_step(3, os.urandom(19))) is None and house.dropped("out_of_turn") == 1
    talk.confirm(first[1])
    assert isinstance(house.speak(talk), Opened)


def test_of_two_hellos_the_later_one_counts(house: House):
    identity = house.identity()
    one, two = Talk(identity), Talk(identity)
    answers = [house.hello(one), house.hello(two)]
    assert answers[0] != answers[1] and house.devices.pending == 1
    two_proof = two.proof(answers[1] or b"")
    two.confirm(house.up(two, two_proof)[1])
    assert isinstance(house.speak(two), Opened)


def test_the_proof_of_a_superseded_hello_ends_the_handshake(house: House):
    identity = house.identity()
    one, two = Talk(identity), Talk(identity)
    proof = one.proof(house.hello(one) or b"")
    house.hello(two)
    assert house.up(one, proof)[1] == REFUSAL and house.devices.pending == 0


def test_a_new_hello_does_not_end_a_confirmed_session_and_a_proven_one_does_not_either(house: House):
    old = house.confirmed()
    new = Talk(old.identity)
    step_2 = house.hello(new)
    assert isinstance(house.speak(old), Opened)
    new.confirm(house.up(new, new.proof(step_2 or b""))[1])
    assert isinstance(house.speak(old), Opened)
    opened = house.speak(new)
    assert isinstance(opened, Opened) and house.devices.live == 1
    assert house.speak(old)[1] == REFUSAL and house.dropped("unknown_session") == 1


def test_a_forged_frame_does_not_confirm_a_session(house: House):
    old = house.confirmed()
    new = house.shake(Talk(old.identity))
    frame = bytearray(new.seal(message("DISCOVER", resource=0))[0])
    frame[-1] ^= 1
    assert house.up(new, bytes(frame)) is None and house.dropped("forged") == 1
    assert isinstance(house.speak(old), Opened)


def test_what_ran_in_a_replaced_session_is_for_nobody(house: House):
    old = house.confirmed()
    opened = house.speak(old)
    house.speak(house.shake(Talk(old.identity)))
    assert opened.live.exchange.closed


def test_a_pending_handshake_lives_30_seconds(house: House):
    talk = Talk(house.identity())
    step_2 = house.hello(talk)
    house.now_s += PENDING_S
    assert house.up(talk, talk.proof(step_2 or b""))[1] == REFUSAL
    house.devices.sweep(house.now_s)
    assert house.devices.pending == 0
    unconfirmed = house.shake(Talk(talk.identity))
    house.now_s += PENDING_S
    house.devices.sweep(house.now_s)
    assert house.speak(unconfirmed)[1] == REFUSAL


def test_there_are_as_many_pending_handshakes_as_configured_and_the_oldest_goes(tmp_path: Path):
    house = House(tmp_path, pending_handshakes=3)
    talks = [Talk(house.identity()) for _ in range(4)]
    answers = [house.hello(talk) or b"" for talk in talks]
    assert house.devices.pending == 3
    assert house.up(talks[0], talks[0].proof(answers[0]))[1] == REFUSAL
    talks[3].confirm(house.up(talks[3], talks[3].proof(answers[3]))[1])


def test_when_there_are_too_many_sessions_the_oldest_goes(tmp_path: Path):
    house = House(tmp_path, live_sessions=2)
    talks = [house.confirmed() for _ in range(3)]
    assert house.devices.live == 2
    assert house.speak(talks[0])[1] == REFUSAL and isinstance(house.speak(talks[2]), Opened)


@pytest.mark.parametrize(
    ("kind", "fields", "served"),
    [
        ("DISCOVER", {"resource": 0}, False),
        ("CHALLENGE", {"resource": 0, "scope": 0, "auth_session": "s"}, False),
        ("CHALLENGE", {"resource": 0, "scope": 0, "auth_session": "s", "answers": {"pin": "1"}}, True),
        ("CALL", {"resource": 0, "method": "tools/call", "access_token": "t", "block": 0}, False),
        ("CALL", {"resource": 0, "method": "tools/call", "access_token": "t", "block": 1}, True),
    ],
)
def test_while_it_hands_over_it_serves_only_what_another_replica_could_not(house: House, kind: str, fields: Any, served: bool):
    talk = house.confirmed()
    house.devices.handing_over = True
    frame, _ = talk.seal(message(kind, **fields))
    came = house.up(talk, frame)
    assert isinstance(came, Opened) if served else came == (talk.identity.device, REFUSAL)
    assert house.devices.speaking == served


def test_an_unknown_device_is_refused_before_any_key_is_touched(house: House):
    stranger = Talk(Identity(house.public))
    assert house.hello(stranger) == REFUSAL and house.devices.pending == 0
    assert house.lines[-1]["code"] == "unknown_device" and house.lines[-1]["rid"] == stranger.request_id


def test_a_device_with_another_key_is_refused(house: House):
    enrolled = house.identity()
    impostor = Talk(Identity(house.public, enrolled.device))
    assert house.up(impostor, impostor.proof(house.hello(impostor) or b""))[1] == REFUSAL
    assert house.lines[-1] == {
        "event": "handshake",
        "rid": impostor.request_id,
        "device": enrolled.device,
        "step": "proof",
        "outcome": "refused",
        "code": "wrong_key",
    }
    assert house.devices.pending == 0


def test_a_device_with_an_unknown_kid_is_refused(house: House):
    talk = Talk(house.identity())
    talk.identity.kid = b"\x07"
    assert house.up(talk, talk.proof(house.hello(talk) or b""))[1] == REFUSAL
    assert house.lines[-1]["code"] == "unknown_key"


def test_a_device_cannot_shake_hands_as_another(house: House):
    """The credential names the device (PROTOCOL section 2): the same key under another id does not pass."""
    one, other = house.identity(), house.identity()
    talk = Talk(one)
    talk.identity = Identity(house.public, other.device)
    talk.identity.private, talk.identity.public = one.private, one.public
    assert house.up(talk, talk.proof(house.hello(talk) or b""))[1] == REFUSAL


def test_a_refusal_is_a_hint_and_not_a_flood(house: House):
    talk = house.confirmed()
    stale = Talk(talk.identity)
    stale.session, stale.replica = session.Session(bytes(16), bytes(8), b"\x01", b"\x02", talk.identity.device, "device"), REPLICA
    assert [bool(house.speak(stale)) for _ in range(5)] == [True, False, False, False, False]
    house.now_s += HINT_EVERY_S
    assert house.speak(stale)[1] == REFUSAL
    assert isinstance(house.speak(talk), Opened)


def test_a_device_has_5_frames_a_second_and_a_burst_of_20(tmp_path: Path):
    house = House(tmp_path, frames_burst=20)
    loud, quiet = Talk(house.identity()), Talk(house.identity())
    answered = [house.hello(loud) is not None for _ in range(30)]
    assert answered == [True] * 20 + [False] * 10 and house.dropped("flood") == 10
    assert house.hello(quiet)
    house.now_s += 1
    assert [house.hello(loud) is not None for _ in range(7)] == [True] * 5 + [False] * 2


def test_strangers_share_one_allowance(tmp_path: Path):
    house = House(tmp_path, frames_burst=20)
    for _ in range(100):
        house.hello(Talk(Identity(house.public)))
    assert house.dropped("flood") == 80 and len(house.lines) == 20
    assert house.hello(Talk(house.identity()))


def test_handshakes_are_limited_over_all_devices_too(tmp_path: Path):
    house = House(tmp_path, handshakes_per_s=5)
    answered = [house.hello(Talk(house.identity())) for _ in range(12)]
    assert answered.count(None) == 2 and house.dropped("handshake_flood") == 2


def test_one_replica_keeps_a_session_and_another_knows_nothing_of_it(house: House):
    talk = house.confirmed()
    other = house.replica("replica-2")
    frame = talk.seal(message("DISCOVER", resource=0))[0]
    assert other.take(topics.topic(talk.identity.device, "up", REPLICA), frame, house.now_s) is None
    assert other.counts["dropped_foreign_topic"] == 1
    came = other.take(topics.topic(talk.identity.device, "up", "replica-2"), frame, house.now_s)
    assert came == (talk.identity.device, REFUSAL)


def test_a_frame_on_another_devices_topic_is_refused(house: House):
    one, other = house.confirmed(), house.confirmed()
    frame = one.seal(message("DISCOVER", resource=0))[0]
    assert house.take(topics.topic(other.identity.device, "up", REPLICA), frame)[1] == REFUSAL


def test_a_replayed_frame_is_dropped(house: House):
    talk = house.confirmed()
    frame = talk.seal(message("DISCOVER", resource=0))[0]
    assert isinstance(house.up(talk, frame), Opened)
    assert house.up(talk, frame) is None and house.dropped("forged") == 1


def test_a_reply_sent_back_is_no_request(house: House):
    talk = house.confirmed()
    opened = house.speak(talk)
    frame, _ = opened.live.keyed.seal(messages.pack(message("ERROR", bytes(8), now=1, error=10)), opened.answers)
    assert house.up(talk, frame) is None


def test_a_sealed_reply_message_or_nonsense_is_no_request(house: House):
    talk = house.confirmed()
    assert talk.session
    for plaintext in (messages.pack(message("ERROR", bytes(8), now=1, error=10)), b"", b"\xff", cbor.encode({0: 99})):
        assert house.up(talk, talk.session.seal(plaintext)[0]) is None
    assert house.dropped("malformed") == 4 and isinstance(house.speak(talk), Opened)


def test_a_session_ends_after_a_day(house: House):
    talk = house.confirmed()
    house.now_s += session._MAX_AGE_S
    assert house.speak(talk)[1] == REFUSAL and house.devices.live == 0
    kept = house.confirmed()
    house.now_s += session._MAX_AGE_S
    house.devices.sweep(house.now_s)
    assert house.devices.live == 0 and house.speak(kept)[1] == REFUSAL


def test_a_session_ends_after_64_frames_that_do_not_open(house: House):
    talk = house.confirmed()
    frame = bytearray(talk.seal(message("DISCOVER", resource=0))[0])
    frame[-1] ^= 1
    for _ in range(session._MAX_FAILED_TAGS):
        house.up(talk, bytes(frame))
    house.now_s += HINT_EVERY_S
    assert house.devices.live == 0 and house.speak(talk)[1] == REFUSAL


@pytest.mark.parametrize("change", ["revoked", "removed", "new key"])
def test_a_device_that_may_not_speak_any_more_has_no_session(house: House, change: str):
    talk, bystander = house.confirmed(), house.confirmed()
    pending = Talk(talk.identity)
    step_2 = house.hello(pending)
    elsewhere = Registry(house.registry.path)  # `latchpin device`, in a process of its own
    if change == "revoked":
        elsewhere.revoke(talk.identity.device)
    elif change == "removed":
        elsewhere.path.write_text("")
        bystander.identity.enrol(elsewhere)
    else:
        other = Identity(house.public, talk.identity.device)
        elsewhere.enrol(other.device, other.public, "$7$101$" + "A" * 16 + "$" + "A" * 86 + "==", replace=True)
    house.devices.follow_registry()
    assert house.speak(talk)[1] == REFUSAL and house.devices.live == 1
    assert isinstance(house.speak(bystander), Opened)
    if change != "new key":
        assert house.hello(Talk(talk.identity)) is None  # the hint was spent a moment ago
        assert house.lines[-1]["code"] == "unknown_device"
    else:
        assert house.up(pending, pending.proof(step_2 or b"")) is None and house.lines[-1]["code"] == "wrong_key"


def test_a_registry_that_cannot_be_read_changes_nothing(house: House):
    talk = house.confirmed()
    house.registry.path.write_text("[devices")
    house.devices.follow_registry()
    assert house.lines[-1] == {"event": "registry", "outcome": "unreadable", "code": "registry"}
    assert isinstance(house.speak(talk), Opened)


def test_a_hello_offers_method_3_and_suite_2_alone(house: House):
    talk = Talk(house.identity())
    good = _step(talk.hello())
    for changed in (
        b"\x00" + good[1:],
        b"\x03\x03" + good[2:],
        b"\x03\x82\x03\x02" + good[2:],
        good + b"\x00",
        good[:-1] + b"\x18",
    ):
        house.now_s += HINT_EVERY_S
        assert house.hello(talk, bridge_side.pack_step(1, changed)) == REFUSAL
    assert house.devices.pending == 0 and house.lines[-1]["code"] == "message_1"


def test_lakers_is_never_given_what_makes_it_panic(house: House, capfd: pytest.CaptureFixture[str]):
    """lakers-python 0.6.2 panics on many malformed messages, with a backtrace on stderr: none may reach it."""
    talk = Talk(house.identity())
    good_1 = _step(talk.hello())
    good_3 = _step(talk.proof(house.hello(talk, bridge_side.pack_step(1, good_1)) or b""))
    responder = Responder(KID, house.private, house.public)
    refused = 0
    for number in range(3000):
        for good, step in ((good_1, 1), (good_3, 3)):
            bad = _mutant(good, number)
            try:
                if step == 1:
                    responder.start(bad, number)
                else:
                    started = responder.start(good_1, number)
                    started.finish("lp-7f3k2m", started.claimed_kid(bad), house.public)
            except PeerError:
                refused += 1
    assert refused > 4000
    assert capfd.readouterr().err == ""


def _step(payload: bytes) -> bytes:
    decoded: Any = cbor.decode(payload)
    return decoded[1]


def _mutant(good: bytes, number: int) -> bytes:
    kind = number % 5
    if kind == 0:
        return os.urandom(number % 256)
    if kind == 1:
        return good[: number % len(good)]
    if kind == 2:
        return good + os.urandom(1 + number % 100)
    if kind == 3:
        return good[:4] + os.urandom(len(good) - 4)
    place = number // 5 % (8 * len(good))
    changed = bytearray(good)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)
