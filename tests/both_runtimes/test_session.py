"""Sealed frames, on both Pythons: RFC 8613's vectors, frames made by strangers' code, and the rules of wire/README.md.

Not for floods and flips by the thousand: those stand in tests/hostile/test_frames.py.
"""

from in_place import encrypted

from latchpin.crypto import ccm, kdf
from latchpin.wire import cbor, session
from latchpin.wire.errors import ContractError, PeerError
from latchpin.wire.session import Session, SessionOver

DEVICE = "lp-7f3k2m"
SECRET = bytes(range(16))
SALT = bytes(range(0xA0, 0xA8))
C_I = b"\x05"
C_R = b"\x2a"

# Made with cbor2 6.3, cryptography 50 and the standard library's hmac, not with this project's code: master secret, salt and
# identifiers as above. Each: PIV, plaintext, request, frame.
SID = bytes.fromhex("60baf9ae7621d082")
FROM_DEVICE = (b"PIN please", (C_R, b"\x00"), bytes.fromhex(
    "8340a304412a0641000a4860baf9ae7621d082582bc44263365d36dfbd9494775a6a8133c45aa7ef0f1c6a7383bb6cb83b77d10bc78941496f96a305"
    "d0e0a981"
))  # fmt: skip
FROM_DEVICE_256TH = (b"again", (C_R, b"\x01\x00"), bytes.fromhex(
    "8340a304412a064201000a4860baf9ae7621d082582af4b10122b9b4bcec47ea085d598f4efa3b49433b2bb56fdba934cc91c7a40fb1ad8b237482a8"
    "a0982cad"
))  # fmt: skip
FROM_BRIDGE = (b"x" * 30, (C_R, b"\x00"), bytes.fromhex(
    "8340a30441050641000a4860baf9ae7621d08258ebd30e299184bb03a93d1f97d95a61fdefa1f8a3f57b4be195a433eea451ca57f1a027cc292e1ac1"
    "5a909ecd362391777fe6ca86f529d7ea51c63dfa7c0d3663cc29fd8cec23c386980ff326883fd472942d563fc96a93c969e3f5152ea0de8941e22c4b"
    "48602849e9b65c7f3c710db6fc191ab2a164c2f69a2c71cc60c6ed50f4c7ed4e3b78cf8a6f78a0b680b87fc39497a4e666af19124339f4b5b23c767e"
    "2b167b13a8ae8389c168f9f4f8e795984b9aeacf3d11c991a84f64c5c3b9fa6fc181de8ce45cafde56b16a19da997be4afe12e7d4f511eedd474e005"
    "dde1e292ba27a49320e47248eeafc8b7"
))  # fmt: skip

# RFC 8613, appendices C.1 to C.3: salt, ID Context, one side's id, the other's, their keys, Common IV, their nonces for PIV 0.
RFC8613_SECRET = bytes.fromhex("0102030405060708090a0b0c0d0e0f10")
RFC8613_KEYS = (
    ("9e7ca92223786340", None, "", "01", "f0910ed7295e6ad4b54fc793154302ff", "ffb14e093c94c9cac9471648b4f98710",
     "4622d4dd6d944168eefb54987c", "4622d4dd6d944168eefb54987c", "4722d4dd6d944169eefb54987c"),
    ("", None, "00", "01", "321b26943253c7ffb6003b0b64d74041", "e57b5635815177cd679ab4bcec9d7dda",
     "be35ae297d2dace910c52e99f9", "bf35ae297d2dace910c52e99f9", "bf35ae297d2dace810c52e99f9"),
    ("9e7ca92223786340", "37cbf3210017a2d3", "", "01", "af2a1300a5e95788b356336eeecd2b92", "e39a0c7c77b43f03b4b39ab9a268699f",
     "2ca58fb85ff1b81c0b7181b85e", "2ca58fb85ff1b81c0b7181b85e", "2da58fb85ff1b81d0b7181b85e"),
)  # fmt: skip
# RFC 8613, appendices C.4 to C.8: which keys, is it the second side's, PIV of the nonce and whose, kid and PIV of the request,
# aad_array, AAD, plaintext, nonce, ciphertext.
RFC8613_MESSAGES = (
    (0, False, "14", "", "", "14", "8501810a40411440", "8368456e63727970743040488501810a40411440", "01b3747631",
     "4622d4dd6d944168eefb549868", "612f1092f1776f1c1668b3825e"),
    (1, False, "14", "00", "00", "14", "8501810a4100411440", "8368456e63727970743040498501810a4100411440", "01b3747631",
     "bf35ae297d2dace910c52e99ed", "4ed339a5a379b0b8bc731fffb0"),
    (2, False, "14", "", "", "14", "8501810a40411440", "8368456e63727970743040488501810a40411440", "01b3747631",
     "2ca58fb85ff1b81c0b7181b84a", "72cd7273fd331ac45cffbe55c3"),
    (0, True, "14", "", "", "14", "8501810a40411440", "8368456e63727970743040488501810a40411440",
     "45ff48656c6c6f20576f726c6421", "4622d4dd6d944168eefb549868", "dbaad1e9a7e7b2a813d3c31524378303cdafae119106"),
    (0, True, "00", "01", "", "14", "8501810a40411440", "8368456e63727970743040488501810a40411440",
     "45ff48656c6c6f20576f726c6421", "4722d4dd6d944169eefb54987c", "4d4c13669384b67354b2b6175ff4b8658c666a6cf88e"),
)  # fmt: skip

LONGEST = {64: 26, 256: 218, 1024: 985, 2048: 2009, 4096: 4057}


def pair(device=DEVICE, secret=SECRET, c_i=C_I, c_r=C_R):
    return Session(secret, SALT, c_i, c_r, device, "device"), Session(secret, SALT, c_i, c_r, device, "bridge")


def raises(error, function, *arguments):
    try:
        function(*arguments)
    except error:
        return True
    return False


def test_keys_iv_and_nonces_are_those_of_rfc_8613_appendices_c_1_to_c_3():
    for salt, context, one, other, one_key, other_key, iv, one_nonce, other_nonce in RFC8613_KEYS:
        prk = kdf.hkdf_extract(bytes.fromhex(salt), RFC8613_SECRET)
        context = bytes.fromhex(context) if context else None
        for name, key, nonce in ((one, one_key, one_nonce), (other, other_key, other_nonce)):
            name = bytes.fromhex(name)
            assert session._derive(prk, name, context, "Key", 16, 10) == bytes.fromhex(key)
            assert session._nonce(bytes.fromhex(iv), name, b"\x00") == bytes.fromhex(nonce)
        assert session._derive(prk, b"", context, "IV", 13, 10) == bytes.fromhex(iv)


def test_additional_data_and_ciphertexts_are_those_of_rfc_8613_appendices_c_4_to_c_8():
    for keys, second, piv, named, kid, request_piv, array, aad, plaintext, nonce, ciphertext in RFC8613_MESSAGES:
        keys = RFC8613_KEYS[keys]
        key, iv = bytes.fromhex(keys[5 if second else 4]), bytes.fromhex(keys[6])
        made = cbor.encode([1, [10], bytes.fromhex(kid), bytes.fromhex(request_piv), b""])
        assert made == bytes.fromhex(array)
        assert session.enc_structure(made) == bytes.fromhex(aad)
        assert session._nonce(iv, bytes.fromhex(named), bytes.fromhex(piv)) == bytes.fromhex(nonce)
        sealed = encrypted(ccm.encrypt, key, bytes.fromhex(nonce), bytes.fromhex(plaintext), bytes.fromhex(aad), 8)
        assert sealed == bytes.fromhex(ciphertext)


def test_a_frame_is_byte_for_byte_what_strangers_code_makes_of_the_specification():
    device, bridge = pair()
    assert device.sid == bridge.sid == SID
    plaintext, request, frame = FROM_DEVICE
    assert device.seal(plaintext) == (frame, request)
    plaintext, request, frame = FROM_BRIDGE
    assert bridge.seal(plaintext, request) == (frame, (C_I, b"\x00"))
    for _ in range(255):
        device.seal(b"")
    plaintext, request, frame = FROM_DEVICE_256TH
    assert device.seal(plaintext) == (frame, request)


def test_a_request_and_its_reply_open_on_the_other_side():
    device, bridge = pair()
    for count in range(300):
        frame, asked = device.seal(b"ask" + bytes((count & 255,)))
        plaintext, request = bridge.open(session.parse(frame))
        assert (plaintext, request) == (b"ask" + bytes((count & 255,)), asked)
        frame, _ = bridge.seal(b"tell", request)
        assert device.open(session.parse(cbor.decode(frame)), (asked,)) == (b"tell", asked)


def test_every_frame_is_exactly_64_256_1024_2048_or_4096_bytes_long():
    for piv_bytes, sent in ((1, 0), (1, 255), (2, 256), (2, 65535)):
        for bucket in session.BUCKETS:
            longest = LONGEST[bucket] - (piv_bytes - 1)
            for length in (0, longest - 1, longest, longest + 1):
                device, bridge = pair()
                device._sent = sent
                if length > LONGEST[4096] - (piv_bytes - 1):
                    assert raises(ContractError, device.seal, bytes(length))
                    continue
                frame, _ = device.seal(bytes(length))
                assert len(frame) in session.BUCKETS
                if length == longest:
                    assert len(frame) == bucket
                elif length > longest:
                    assert len(frame) == 2 * bucket or len(frame) == 4 * bucket
                assert bridge.open(session.parse(frame))[0] == bytes(length)


def test_a_plaintext_that_ends_like_padding_comes_back_whole():
    device, bridge = pair()
    for plaintext in (b"", b"\x80", b"\x80\x00\x00", b"\x00", bytes(26), b"a\x80"):
        assert bridge.open(session.parse(device.seal(plaintext)[0]))[0] == plaintext


def test_a_frame_whose_padding_was_never_written_is_refused():
    device, bridge = pair()
    aad = device._aad((C_R, b"\x00"), True)
    for padded in (bytes(27), b"\x81" + bytes(26)):
        sealed = encrypted(ccm.encrypt, device._sender_key, session._nonce(device._iv, C_R, b"\x00"), padded, aad, 16)
        bridge._highest = -1
        assert raises(PeerError, bridge.open, session.Frame(C_R, b"\x00", device.sid, sealed))


def test_what_has_not_the_form_of_a_frame_is_no_frame():
    frame = cbor.decode(FROM_DEVICE[2])
    _, named, sealed = frame
    kid, piv, sid = named[4], named[6], named[10]
    assert session.parse(frame).ciphertext == sealed
    for other in (
        [], [b""], frame[:2], frame * 2, [b"", named, sealed, b""], {0: b""}, 7, None, True, "frame", [0], [1, sealed],
        [b"\x00", named, sealed], ["", named, sealed], [b"", [kid, piv, sid], sealed], [b"", named, sealed[:-1]],
        [b"", named, sealed + b"\x00"], [b"", named, b""], [b"", named, "x"], [b"", named, None], [b"", {4: kid, 6: piv}, sealed],
        [b"", {4: kid, 6: piv, 10: sid, 11: b""}, sealed], [b"", {4: kid, 6: piv, 9: sid}, sealed],
        [b"", {4: 42, 6: piv, 10: sid}, sealed], [b"", {4: kid, 6: 0, 10: sid}, sealed],
        [b"", {4: kid, 6: piv, 10: "8bytes!!"}, sealed],
        [b"", {4: b"", 6: piv, 10: sid}, sealed], [b"", {4: b"\x2a\x2a", 6: piv, 10: sid}, sealed],
        [b"", {4: kid, 6: b"", 10: sid}, sealed + b"\x00"], [b"", {4: kid, 6: b"\x00\x01", 10: sid}, sealed[1:]],
        [b"", {4: kid, 6: b"\x01\x00\x00", 10: sid}, sealed[2:]], [b"", {4: kid, 6: piv, 10: sid[:7]}, sealed],
        [b"", {4: kid, 6: piv, 10: sid + b"\x00"}, sealed],
    ):  # fmt: skip
        assert raises(PeerError, session.parse, other)


def test_rule_1_no_counter_is_persisted_and_a_reboot_repeats_no_key_and_no_nonce():
    # After a reboot there is a new handshake, hence another secret: the counter starts again under other keys and another IV.
    seen = set()
    for boot in range(32):
        for one in pair(secret=bytes(15) + bytes((boot,))):
            request = None if one._role == "device" else (C_R, b"\x00")
            for _ in range(4):
                piv = one.seal(b"", request)[1][1]
                used = (one._sender_key, session._nonce(one._iv, one._sender, piv))
                assert used not in seen
                seen.add(used)
    assert len(seen) == 32 * 2 * 4


def test_rule_1_the_two_directions_never_share_key_and_nonce():
    device, bridge = pair()
    assert device._sender_key != bridge._sender_key
    assert session._nonce(device._iv, C_R, b"\x07") != session._nonce(bridge._iv, C_I, b"\x07")


def test_rule_2_only_a_piv_above_the_highest_accepted_is_accepted():
    device, bridge = pair()
    frames = [session.parse(device.seal(b"")[0]) for _ in range(5)]
    bridge.open(frames[2])
    for old in frames[:3]:
        assert raises(PeerError, bridge.open, old)
    bridge.open(frames[4])
    assert raises(PeerError, bridge.open, frames[3])
    assert bridge._failed == 0


def test_rule_2_a_forged_piv_moves_nothing_before_its_tag_is_verified():
    device, bridge = pair()
    genuine = session.parse(device.seal(b"")[0])
    forged = session.Frame(genuine.kid, b"\xff", genuine.sid, genuine.ciphertext)
    assert raises(PeerError, bridge.open, forged)
    assert bridge.open(genuine)[0] == b""


def test_rule_3_a_retransmission_takes_a_new_piv_and_a_reply_to_either_transmission_is_heard():
    for answered in (0, 1):
        device, bridge = pair()
        first, asked = device.seal(b"same plaintext")
        second, asked_again = device.seal(b"same plaintext")
        assert asked != asked_again and first != second
        requests = [bridge.open(session.parse(frame))[1] for frame in (first, second)]
        reply = session.parse(bridge.seal(b"yes", requests[answered])[0])
        assert device.open(reply, (asked, asked_again)) == (b"yes", requests[answered])
        assert device._failed == 0


def test_rule_4_what_was_sealed_in_one_session_opens_in_no_other():
    device, bridge = pair()
    _, later = pair(secret=bytes(16))
    frame = session.parse(device.seal(b"PIN")[0])
    assert raises(PeerError, later.open, frame)
    frame.sid = later.sid
    assert raises(PeerError, later.open, frame)
    assert bridge.open(session.parse(FROM_DEVICE[2]))[0] == b"PIN please"


def test_rule_6_a_session_ends_after_two_to_the_sixteenth_messages_sent():
    device, bridge = pair()
    device._sent = 65535
    frame, (_, piv) = device.seal(b"last")
    assert piv == b"\xff\xff"
    assert device.over()
    assert raises(SessionOver, device.seal, b"one more")
    assert bridge.open(session.parse(frame))[0] == b"last"
    assert bridge.over()
    assert raises(SessionOver, bridge.seal, b"", (C_R, piv))
    assert raises(SessionOver, bridge.open, session.parse(frame))


def test_rule_6_a_session_ends_after_24_hours():
    device, _ = pair()
    assert not device.over(0)
    assert not device.over(24 * 3600 - 1)
    assert device.over(24 * 3600)


def test_rule_6_a_session_ends_with_the_64th_failed_tag_and_forgets_its_keys():
    device, bridge = pair()
    genuine = session.parse(device.seal(b"")[0])
    forged = session.Frame(genuine.kid, genuine.piv, genuine.sid, bytes(len(genuine.ciphertext)))
    for _ in range(63):
        assert raises(PeerError, bridge.open, forged) and not bridge.over()
    assert raises(SessionOver, bridge.open, forged)
    assert bridge.over()
    assert raises(SessionOver, bridge.open, genuine)
    assert not bridge._recipient_key and not bridge._sender_key


def test_a_reply_cannot_answer_another_request():
    device, bridge = pair()
    first = device.seal(b"one")[1]
    second = device.seal(b"two")[1]
    reply = session.parse(bridge.seal(b"to one", first)[0])
    assert raises(PeerError, device.open, reply, (second,))
    assert device.open(reply, (first,))[0] == b"to one"


def test_a_reply_to_nothing_is_dropped_and_is_no_failed_tag():
    device, bridge = pair()
    asked = device.seal(b"one")[1]
    reply = session.parse(bridge.seal(b"late", asked)[0])
    assert raises(PeerError, device.open, reply)
    assert device._failed == 0


def test_a_frame_does_not_come_back_in_the_other_direction():
    device, _ = pair()
    frame, asked = device.seal(b"echo")
    echo = session.parse(frame)
    assert raises(PeerError, device.open, echo, (asked,))
    echo.kid = C_I
    assert raises(PeerError, device.open, echo, (asked,))
    # With the keys of the two directions exchanged, "up" and "down" in the additional data still tell them apart.
    crossed = Session(SECRET, SALT, C_R, C_I, DEVICE, "device")
    assert raises(PeerError, crossed.open, session.Frame(C_R, b"\x00", crossed.sid, echo.ciphertext), ((C_R, b"\x00"),))


def test_a_frame_under_another_name_is_dropped_and_is_no_failed_tag():
    device, bridge = pair()
    genuine = session.parse(device.seal(b"")[0])
    for kid, sid in ((C_I, genuine.sid), (b"\x00", genuine.sid), (genuine.kid, bytes(8))):
        assert raises(PeerError, bridge.open, session.Frame(kid, genuine.piv, sid, genuine.ciphertext))
    assert bridge._failed == 0
    assert bridge.open(genuine)[0] == b""


def test_another_devices_frame_does_not_open_even_with_the_same_secret():
    device, _ = pair()
    _, other = pair(device="lp-other0")
    frame = session.parse(device.seal(b"")[0])
    assert raises(PeerError, other.open, frame)
    frame.sid = other.sid
    assert raises(PeerError, other.open, frame)


def test_a_device_sends_only_requests_and_a_bridge_only_replies():
    device, bridge = pair()
    assert raises(ContractError, device.seal, b"", (C_R, b"\x00"))
    assert raises(ContractError, bridge.seal, b"")
    assert raises(ContractError, Session, SECRET, SALT, C_I, C_R, DEVICE, "broker")
    assert raises(ContractError, Session, SECRET, SALT, C_I, C_I, DEVICE, "device")


def test_a_session_prints_no_key():
    for one in pair():
        shown = repr(one) + str(one)
        for secret in (SECRET, SALT, one._sender_key, one._recipient_key, one._iv):
            assert secret.hex() not in shown and repr(secret)[2:-1] not in shown


def test_a_paused_session_goes_on_where_it_was():
    device, bridge = pair()
    first, _ = device.seal(b"one")
    bridge.open(session.parse(first))
    device, bridge = session.resume(device.pause()), session.resume(bridge.pause())
    second, (_, piv) = device.seal(b"two")
    assert piv == b"\x01" and raises(PeerError, bridge.open, session.parse(first))
    assert bridge.open(session.parse(second))[0] == b"two"
