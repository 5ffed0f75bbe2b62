"""What a hostile broker or a broken device can put on the bridge's topics: nothing of it is accepted, nothing ends the process.

Not for replies to the device, and not for the codec's own tests.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from broker_bridge.devices import Opened
from latchpin.wire import bridge_side, cbor, topics
from tests.bridge.driver import Device, Place, Talk, message, running
from tests.bridge.foreign import Foreign
from tests.bridge.test_devices import REPLICA, House
from tests.brokers.running import Running

SEED = 20_261_123
UNLIMITED = {"frames_per_s": 1e9, "frames_burst": 10**9, "handshakes_per_s": 1e9}


def mutants(good: bytes) -> Iterator[bytes]:
    """Every single-bit flip, every truncation, and one byte more."""
    for bit in range(len(good) * 8):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)
    for length in range(len(good)):
        yield good[:length]
    yield good + b"\0"


def noise(chance: random.Random) -> bytes:
    """Bytes with more structure than chance alone would give."""
    kind = chance.randrange(6)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    if kind == 1:
        return chance.randbytes(chance.choice((64, 256, 1024, 2048, 4096, 4097, 9000)))
    if kind == 2:
        return cbor.encode([chance.randrange(6), chance.randbytes(chance.randrange(256))])
    if kind == 3:
        return cbor.encode([1, b"\x03\x02\x58\x20" + chance.randbytes(32) + bytes((chance.randrange(256),))])
    if kind == 4:
        header = {4: chance.randbytes(1), 6: chance.randbytes(chance.randrange(4)), 10: chance.randbytes(8)}
        return cbor.encode([b"", header, chance.randbytes(chance.choice((42, 43, 232, 233, 1000)))])
    return bytes((0x80 | chance.randrange(8),)) * chance.randrange(1, 60)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, **UNLIMITED)


def test_20_000_random_payloads_on_random_topics_are_dropped(house: House, capfd: pytest.CaptureFixture[str]):
    chance = random.Random(SEED)
    identity = house.identity()
    places = [
        topics.topic(identity.device, "hello"),
        topics.topic(identity.device, "up", REPLICA),
        topics.topic(identity.device, "down"),
        topics.topic("lp-nobody", "hello"),
        "latchpin/1/" + "x" * 30 + "/hello",
        "latchpin/1/+/hello",
        "",
        "latchpin/2/lp-7f3k2m/hello",
        "latchpin/1/lp-7f3k2m/hello/\0",
    ]
    for _ in range(20_000):
        assert not isinstance(house.take(chance.choice(places), noise(chance)), Opened)
        house.now_s += 0.01
    house.devices.sweep(house.now_s)
    talk = house.confirmed()
    assert isinstance(house.speak(talk), Opened) and capfd.readouterr().err == ""
    counted = sum(count for name, count in house.devices.counts.items() if name.startswith("dropped_"))
    answered = sum(line.get("outcome") == "answered" for line in house.lines)
    assert counted + answered >= 20_000


def test_no_mutant_of_a_hello_or_a_proof_makes_a_session(house: House):
    identity = house.identity()
    hello = Talk(identity).hello()
    for bad in mutants(hello):
        house.take(topics.topic(identity.device, "hello"), bad)
    talk = Talk(identity)
    hello = talk.hello()
    proof = talk.proof(house.hello(talk, hello) or b"")
    for bad in mutants(proof):
        # A fresh responder does not know this G_X's answer any more: each mutant meets the handshake that it was made for.
        if house.devices.pending == 0:
            talk = Talk(identity)
            proof_now = talk.proof(house.hello(talk) or b"")
            assert len(proof_now) == len(proof)
            changed = bytes(a ^ b ^ c for a, b, c in zip(bad, proof, proof_now, strict=False)) + bad[len(proof) :]
            house.up(talk, changed)
        else:
            house.up(talk, bad)
        assert house.devices.counts["handshakes"] == 0


def test_no_mutant_of_a_sealed_frame_opens(house: House):
    talk = house.confirmed()
    requests: list[Callable[[], Any]] = [
        lambda: message("DISCOVER", resource=0),
        lambda: message("CHALLENGE", resource=0, scope=0, auth_session="s" * 43, answers={"pin": "123456789"}, dpop="d" * 420),
    ]
    tried = 0
    for request in requests:
        length = len(talk.seal(request())[0])
        for number in range(length * 9 + 1):
            if tried % 60 == 59:  # 64 failed tags end a session
                talk = house.shake(Talk(talk.identity))
                assert isinstance(house.speak(talk), Opened)
            frame = talk.seal(request())[0]
            bad = bytearray(frame)
            if number < length * 8:
                bad[number // 8] ^= 1 << number % 8
            else:
                bad = bad[: number - length * 8] if number < length * 9 else bad + b"\0"
            assert not isinstance(house.up(talk, bytes(bad)), Opened), (number, length)
            tried += 1
    assert tried > 8_000 and isinstance(house.speak(talk), Opened)


def test_the_process_lives_through_it_and_serves(place: Place, broker: Running, server: Foreign):
    identity, bystander = place.identity(), place.identity()
    config = place.configure(broker, server.issuer, server.resource, server.ca, limits=UNLIMITED)
    chance = random.Random(SEED)
    with running(config) as bridge:
        device = Device(identity, broker).shake()
        good = [device.hello(), bridge_side.pack_step(3, chance.randbytes(19)), device.seal(message("DISCOVER", resource=0))[0]]
        hostile = [noise(chance) for _ in range(2_000)] + [bad for frame in good for bad in mutants(frame)]
        for number, payload in enumerate(hostile):
            topic = (topics.topic(identity.device, "hello"), topics.topic(identity.device, "up", bridge.replica))[number % 2]
            if len(payload) <= 4096:
                device.client.publish(topic, payload, qos=0)
            if number % 200 == 0:
                device.client.publish(topic, payload[:4096], qos=1).wait_for_publish(10)
        device.publish(topics.topic(identity.device, "hello"), b"last")
        other = Device(bystander, broker).shake()
        assert other.ask("DISCOVER", resource=0).name == "OFFER"
        other.close()
        device.close()
        assert bridge.stop() == 0
    assert "Traceback" not in "".join(bridge.text) and "panicked" not in "".join(bridge.text)
    assert len(bridge.lines) == len(bridge.text)
