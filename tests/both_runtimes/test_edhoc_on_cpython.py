"""The handshake with lakers-python on the other side, alive: what the bridge really runs.

Not for MicroPython, for which lakers has no wheel: test_edhoc.py replays its transcripts there.
"""

import lakers
from test_edhoc import BRIDGE_PRIVATE, BRIDGE_PUBLIC, DEVICE, KID_R, Identity, Responder, hello, raises

from latchpin import runtime
from latchpin.crypto import p256
from latchpin.wire import cbor, edhoc, session
from latchpin.wire.errors import PeerError


def test_200_handshakes_with_lakers_end_in_the_same_keys_and_frames_open_both_ways():
    credential_r = lakers.Credential(edhoc.credential(edhoc.BRIDGE, KID_R, BRIDGE_PUBLIC))
    for count in range(200):
        identity = Identity("lp-%06d" % count, bytes((count,)), p256.new_private(runtime.random_bytes))
        credential_i = lakers.Credential(edhoc.credential(identity.device, identity.kid, identity.public))
        one = hello(identity, random=runtime.random_bytes)
        responder = lakers.EdhocResponder(BRIDGE_PRIVATE, credential_r)
        c_i, _ = responder.process_message_1(one.message_1)
        c_r = edhoc.connection_id(count, c_i)
        proof = one.answer(responder.prepare_message_2(lakers.CredentialTransfer.ByReference, c_r))
        id_cred_i, _ = responder.parse_message_3(proof.message_3)
        assert id_cred_i == cbor.encode({4: identity.kid})
        responder.verify_message_3(credential_i)
        device = proof.confirm(responder.prepare_message_4())
        secret, salt = responder.edhoc_exporter(0, [], 16), responder.edhoc_exporter(1, [], 8)
        bridge = session.Session(secret, salt, c_i, c_r, identity.device, "bridge")
        assert (device._sender_key, device._recipient_key) == (bridge._recipient_key, bridge._sender_key)
        assert (device._iv, device.sid) == (bridge._iv, bridge.sid)
        frame, asked = device.seal(b"up")
        plaintext, request = bridge.open(session.parse(frame))
        assert (plaintext, request) == (b"up", asked)
        assert device.open(session.parse(bridge.seal(b"down", request)[0]), (asked,)) == (b"down", asked)


def test_lakers_refuses_a_device_with_another_key():
    credential_r = lakers.Credential(edhoc.credential(edhoc.BRIDGE, KID_R, BRIDGE_PUBLIC))
    responder = lakers.EdhocResponder(BRIDGE_PRIVATE, credential_r)
    one = hello(Identity(private=runtime.sha256(b"thief")))
    c_i, _ = responder.process_message_1(one.message_1)
    message_2 = responder.prepare_message_2(lakers.CredentialTransfer.ByReference, edhoc.connection_id(0, c_i))
    responder.parse_message_3(one.answer(message_2).message_3)
    enrolled = lakers.Credential(edhoc.credential(DEVICE.device, DEVICE.kid, DEVICE.public))
    # Its exceptions are ValueError or RuntimeError, by the kind of failure.
    assert raises((ValueError, RuntimeError), responder.verify_message_3, enrolled)


def test_a_critical_item_from_lakers_is_refused_and_another_is_skipped():
    credential_r = lakers.Credential(edhoc.credential(edhoc.BRIDGE, KID_R, BRIDGE_PUBLIC))
    for critical, value in ((False, None), (False, b"\x43abc"), (True, None), (True, b"\x43abc")):
        responder = lakers.EdhocResponder(BRIDGE_PRIVATE, credential_r)
        one = hello()
        c_i, _ = responder.process_message_1(one.message_1)
        item = lakers.EADItem(5, critical, value)
        c_r = edhoc.connection_id(0, c_i)
        message_2 = responder.prepare_message_2(lakers.CredentialTransfer.ByReference, c_r, [item])
        if critical:
            assert raises(PeerError, one.answer, message_2)
        else:
            responder.parse_message_3(one.answer(message_2).message_3)


def test_the_responder_of_these_tests_is_the_one_that_lakers_is():
    # The liar above tells the truth where it does not lie: lakers as initiator completes with it.
    identity = DEVICE
    initiator = lakers.EdhocInitiator()
    message_1 = initiator.prepare_message_1(b"\x11")
    responder = Responder()
    message_2 = responder.message_2(message_1)
    initiator.parse_message_2(message_2)
    credential_i = lakers.Credential(edhoc.credential(identity.device, identity.kid, identity.public))
    credential_r = lakers.Credential(edhoc.credential(edhoc.BRIDGE, KID_R, BRIDGE_PUBLIC))
    initiator.verify_message_2(identity.private, credential_i, credential_r)
    message_3, _ = initiator.prepare_message_3(lakers.CredentialTransfer.ByReference)
    initiator.process_message_4(responder.message_4(message_3, identity))
