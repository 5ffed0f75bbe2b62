"""A tap on the broker records every payload of a journey; no secret of the journey is in it, however it is written.

The journeys: the right PIN; a wrong PIN, then the right one; a lost reply at each kind of reply.
"""

import base64

import pytest

from host_sim.world import World
from latchpin.wire import cbor, session
from tests.journeys.conftest import wrong
from tests.journeys.spied_device import SpiedDevice, spied_device
from tests.journeys.tap import Tap, tapped

SECRETS = ("answers", "code", "code_verifier", "auth_session", "access_token", "refresh_token", "dpop")


def spellings(secret: str) -> list[bytes]:
    """A secret as somebody might have written it: raw, reversed, hex, base64 and base64url at each of the three offsets."""
    raw = secret.encode()
    found = [raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode()]
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.append(encode(b"\0" * offset + raw)[4 if offset else 0 :].rstrip(b"=")[:-1])
    return found


def check(tap: Tap, device: SpiedDevice, pins: list[str]) -> None:
    recorded = tap.recorded()
    assert len(recorded) > 12, "the tap saw the journey"
    assert set(SECRETS) <= set(device.secrets), "the spy heard every kind of secret"
    assert set(pins) <= device.secrets["answers"]
    everything = b"\n".join(topic.encode() + b" " + payload for topic, payload in recorded)
    for name, secrets in device.secrets.items():
        for secret in secrets:
            assert not [spelling for spelling in spellings(secret) if spelling in everything], name
    # Whatever is not a step of the handshake is a frame of one of five sizes, and the state topic says 0 or 1.
    for topic, payload in recorded:
        if topic.endswith("/state"):
            assert payload in (b"0", b"1")
            continue
        decoded = cbor.decode(payload)
        if isinstance(decoded[0], int):
            assert decoded[0] in (0, 1, 2, 3, 4)
        else:
            assert len(payload) in session.BUCKETS


def test_with_the_right_pin(travel, monkeypatch) -> None:
    async def journey(world: World) -> None:
        async with tapped(world) as tap, spied_device(world, monkeypatch) as device:
            await device.wait_for("waiting")
            pin = (await world.issue_pin())["pin"]
            device.type(pin + "#")
            await device.wait_for("answer")
            check(tap, device, [pin])

    travel(journey, tap=True)


def test_with_a_wrong_pin_and_then_the_right_one(travel, monkeypatch) -> None:
    async def journey(world: World) -> None:
        async with tapped(world) as tap, spied_device(world, monkeypatch) as device:
            await device.wait_for("waiting")
            pin = (await world.issue_pin())["pin"]
            device.type(wrong(pin) + "#")
            await device.wait_for("wrong_answer")
            device.type(pin + "#")
            await device.wait_for("answer")
            check(tap, device, [wrong(pin), pin])

    travel(journey, tap=True)


@pytest.mark.parametrize("reply", ["PROMPT", "CODE", "TOKENS", "RESULT"])
def test_with_a_lost_reply(travel, monkeypatch, reply: str) -> None:
    async def journey(world: World) -> None:
        async with tapped(world) as tap, spied_device(world, monkeypatch, lambda name: name == reply) as device:
            await device.wait_for("waiting")
            pin = (await world.issue_pin())["pin"]
            device.type(pin + "#")
            await device.wait_for("answer")
            assert device.lost == [reply]
            asked = [rid for rid, _ in device.packed]
            assert len(asked) > len(set(asked)) == len(set(device.packed)), "a repetition keeps its rid and every byte"
            check(tap, device, [pin])

    travel(journey, tap=True)
