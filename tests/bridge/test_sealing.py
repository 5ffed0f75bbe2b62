"""What the bridge does quicker than the contract's own code gives the same bytes, and takes the same bytes.

Not for the contract itself: tests/both_runtimes has that.
"""

import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from broker_bridge import sealing
from broker_bridge.sealing import QuickSession
from latchpin.wire import session
from latchpin.wire.errors import ContractError, PeerError
from latchpin.wire.session import BUCKETS, Session, SessionOver

KEYS: tuple[Any, ...] = (bytes(range(16)), bytes(8), b"\x05", b"\x2a")


def sessions(device: str = "lp-7f3k2m") -> tuple[QuickSession, Session]:
    return QuickSession(*KEYS, device, "bridge"), Session(*KEYS, device, "bridge")


@pytest.mark.parametrize("device", ["abcd", "lp-7f3k2m", "x" * 23])
@pytest.mark.parametrize("sent", [0, 1, 23, 24, 255, 256, 65_535])
def test_a_sealed_reply_is_the_same_to_the_byte(device: str, sent: int):
    for size in sorted({0, 1, 500, *(room + more for room in (26, 218, 985, 2009, 4057) for more in (-2, -1, 0, 1))}):
        for request in ((b"\x05", b"\x00"), (b"\x05", b"\x01\x02")):
            quick, plain = sessions(device)
            quick._sent = plain._sent = sent
            found = []
            for each in (quick, plain):
                try:
                    found.append((each.seal(bytes(size), request), each._sent))
                except ContractError:
                    found.append(ContractError)
            assert found[0] == found[1]


def test_a_session_that_is_over_or_asked_for_a_request_says_so_as_the_contract_does():
    quick, _ = sessions()
    with pytest.raises(ContractError):
        quick.seal(b"", None)
    quick._sent = 1 << 16
    with pytest.raises(SessionOver):
        quick.seal(b"", (b"\x05", b"\x00"))


def opened(each: Session, frame: session.Frame) -> Any:
    try:
        return each.open(frame)
    except PeerError as failure:
        return type(failure)


def test_a_frame_is_opened_refused_and_counted_as_the_contract_does():
    chance = random.Random(2)
    quick, plain = sessions()
    device = Session(*KEYS, "lp-7f3k2m", "device")
    frames = []
    for size in (0, 1, 26, 27, 600, 4000):
        for plaintext in (bytes(size), b"\x80" * size, chance.randbytes(size)):
            frames.append(session.parse(device.seal(plaintext)[0]))
    spoilt = [session.Frame(each.kid, each.piv, each.sid, chance.randbytes(len(each.ciphertext))) for each in frames[:5]]
    foreign = [session.Frame(b"\x2a", b"\x40", frames[0].sid, frames[0].ciphertext)]
    foreign.append(session.Frame(b"\x05", b"\x40", bytes(8), frames[0].ciphertext))
    late = [session.Frame(each.kid, b"\xff", each.sid, each.ciphertext) for each in spoilt]
    for frame in (*spoilt, *foreign, frames[3], *frames, frames[-1], *late * 20):
        assert opened(quick, frame) == opened(plain, frame)
        assert (quick._highest, quick._failed, quick.over()) == (plain._highest, plain._failed, plain.over())
    assert opened(quick, frames[0]) is SessionOver


def test_a_frame_without_the_mark_of_its_padding_is_refused():
    quick, plain = sessions()
    device = Session(*KEYS, "lp-7f3k2m", "device")
    sealed = session.parse(device.seal(b"")[0])
    nonce, aad = session._nonce(device._iv, sealed.kid, sealed.piv), device._aad((sealed.kid, sealed.piv), True)
    for padding in (bytes(27), b"\x81" + bytes(26)):
        frame = session.Frame(sealed.kid, sealed.piv, sealed.sid, AESCCM(device._sender_key, 16).encrypt(nonce, padding, aad))
        assert opened(quick, frame) == opened(plain, frame) == PeerError


def parsed(payload: bytes) -> Any:
    try:
        frame = session.parse(payload)
    except PeerError:
        return None
    return frame.kid, frame.piv, frame.sid, frame.ciphertext


def test_every_frame_is_read_as_the_contract_reads_it_and_nothing_else_is():
    chance = random.Random(1)
    device = Session(*KEYS, "lp-7f3k2m", "device")
    for sent in (0, 23, 24, 255, 256, 65_535):
        for size in (0, 100, 900, 2000, 4000):
            device._sent = sent
            good = bytes(device.seal(bytes(size))[0])
            assert len(good) in BUCKETS and parsed(good) is not None
            spoilt = [good, good[:-1], good + b"\0", good[1:], b""]
            for at in range(30):
                spoilt += [good[:at] + bytes((chance.randrange(256),)) + good[at + 1 :] for _ in range(20)]
            for payload in spoilt:
                frame = sealing.parse(payload)
                quick = frame and (frame.kid, frame.piv, frame.sid, frame.ciphertext)
                assert quick == parsed(payload), payload[:32].hex()
