"""The handshake on both Pythons: RFC 9529's trace, transcripts of lakers-python, and every lie a responder can tell.

Not for sealed frames (test_session.py), nor for lakers alive (test_edhoc_on_cpython.py).
"""

from in_place import decrypted, encrypted

from latchpin import runtime
from latchpin.crypto import ccm, kdf, p256
from latchpin.wire import cbor, edhoc, session
from latchpin.wire.bridge_side import pack_step
from latchpin.wire.errors import ContractError, PeerError

# RFC 9529, chapter 3: suites [6, 2] offered, credentials with subjects of their own.
TRACE_X = "368ec1f69aeb659ba37d5a8d45b21bdc0299dceaa8ef235f3ca42ce3530f9525"
TRACE_I = "fb13adeb6518cee5f88417660841142e830a81fe334380a953406a1305e8706b"
TRACE_R = "72cc4761dbd4c78f758931aa589d348d1ef874a7e303ede2f140dcf3e6aa4aac"
TRACE_CRED_I = (
    "a2027734322d35302d33312d46462d45462d33372d33322d333908a101a5010202412b2001215820ac75e9ece3e50bfc8ed60399889522405c47bf16df96"
    "660a41298cb4307f7eb62258206e5de611388a4b8a8211334ac7d37ecb52a387d257e6db3c2a93df21ff3affc8"
)
TRACE_CRED_R = (
    "a2026b6578616d706c652e65647508a101a501020241322001215820bbc34960526ea4d32e940cad2a234148ddc21791a12afbcbac93622046dd44f02258"
    "204519e257236b2a0ce2023f0931f1f386ca7afda64fcde0108c224c51eabf6072"
)
TRACE_MESSAGE_1 = "0382060258208af6f430ebe18d34184017a9a11bf511c8dff8f834730b96c1b7c8dbca2fc3b637"
TRACE_MESSAGE_2 = "582b419701d7f00a26c2dc587a36dd752549f33763c893422c8ea0f955a13a4ff5d59862a1eef9e0e7e1886fcd"
TRACE_MESSAGE_3 = "52e562097bc417dd5919485ac7891ffd90a9fc"
TRACE_MESSAGE_4 = "4828c966b7ca304f83"
TRACE_PRK_OUT = "2c71afc1a9338a940bb3529ca734b886f30d1aba0b4dc51beeaeabdfea9ecbf8"

# lake-wg/edhoc, test-vectors-15, vector 6: the same keys, suite 2 offered alone. Later messages changed before the RFC came out.
VECTOR_6_MESSAGE_1 = "030258208af6f430ebe18d34184017a9a11bf511c8dff8f834730b96c1b7c8dbca2fc3b637"
VECTOR_6_G_X_Y = "51e8af6c6edb781601ad1d9c5fa8bf7aa15716c7c06a5d038503c614ff80c9b3"

# Recorded with lakers-python 0.6.2 as the bridge: its kid, the device's, message_1 to 4, exporter 0 (16 bytes) and 1 (8 bytes).
TRANSCRIPTS = (
    ("07", "01", "03025820a84be6fb1621bbfa11bbfbefce386f956363fb4a404ebfaf60fab1cdffc7257820",
     "582b218114ef06851f4bc9f6cada91f77f76099b6649243e1f8a15b6a091fe7a51855bb83e8c255a3e2220fa69",
     "52538ffb1a293b259ca19654a969865ee377d2", "488fb4c3932b0ad451", "d91ded1602d19234ee303c4d3d997348", "dabc3901c974ae16"),
    ("07", "fe", "03025820a84be6fb1621bbfa11bbfbefce386f956363fb4a404ebfaf60fab1cdffc7257820",
     "582b928640c4b962b366ea211e4a53892f8f3a581fe6e20917cf87942691388129bfb51f12b69845f9d60da65e",
     "536742e5924e66bc1f428ed8638109f349976ba1", "48c10615280609dbf3", "9eac6f316def61d61dc772dca02d54a0", "faec18e494954229"),
    ("8142", "01", "03025820a84be6fb1621bbfa11bbfbefce386f956363fb4a404ebfaf60fab1cdffc7257820",
     "582dcc9c13c8e5cc5399d293d6e2f1876287cbdef1ea9b9e4ad66436432b827198fa9a4dbe2123914bc6016896f914",
     "5241694697c713759cd68fe8f66bad5b602b7f", "4838215cf146c60539", "a5393a239f1c40bc0a6400abeacbe3db", "ea13015b32c76da0"),
    ("8142", "fe", "03025820a84be6fb1621bbfa11bbfbefce386f956363fb4a404ebfaf60fab1cdffc7257820",
     "582d087629508bb5b39d5bcea11947becc51b56201186c4acb152803fc05fb8dba4c5745612af3358d905843ba0f87",
     "533b6c90b1a8e75b7e72d75f310cac29e95de897", "489d5990ce17d7b837", "fcaf63be46fe522513225f429a0e06cb", "e5a237052a1c0cae"),
)  # fmt: skip

BRIDGE_PRIVATE = runtime.sha256(b"bridge")
BRIDGE_PUBLIC = p256.public_key(BRIDGE_PRIVATE)
KID_R = b"\x07"
PINS = [(KID_R, BRIDGE_PUBLIC)]


class Identity:
    def __init__(self, device="lp-7f3k2m", kid=b"\x01", private=None):
        self.device = device
        self.kid = kid
        self.private = private or runtime.sha256(b"device")
        self.public = p256.public_key(self.private)


DEVICE = Identity()


def stuck(length):
    return b"\x07" * length


def raises(error, function, *arguments):
    try:
        function(*arguments)
    except error:
        return True
    return False


class Responder:
    """RFC 9528's other side, written to be able to lie. Not for production: that is lakers-python."""

    def __init__(self, private=BRIDGE_PRIVATE, kid=KID_R, subject=edhoc.BRIDGE, y=None):
        self.private = private
        self.kid = kid
        self.cred_r = edhoc.credential(subject, kid, p256.public_key(private))
        self.y = y or p256.new_private(runtime.random_bytes)

    def message_2(self, message_1, c_r=b"\x26", id_cred=None, mac_length=8, ead=b"", plaintext=None):
        g_x = message_1[4:36]
        g_y = p256.public_key(self.y)[:32]
        self.c_i = message_1[36:]
        self.c_r = c_r
        self.g_x = g_x
        th_2 = edhoc._hash(g_y, cbor.encode(runtime.sha256(message_1)))
        prk_2e = kdf.hkdf_extract(th_2, p256.ecdh(self.y, g_x))
        self.prk = kdf.hkdf_extract(edhoc._kdf(prk_2e, 1, th_2, 32), p256.ecdh(self.private, g_x))
        context = c_r + cbor.encode({4: self.kid}) + cbor.encode(th_2) + self.cred_r + ead
        mac = edhoc._kdf(self.prk, 2, context, mac_length)
        if plaintext is None:
            plaintext = c_r + (edhoc._identifier(self.kid) if id_cred is None else id_cred) + cbor.encode(mac) + ead
        self.th_3 = edhoc._hash(th_2, plaintext + self.cred_r)
        return cbor.encode(g_y + ccm.xor(plaintext, edhoc._kdf(prk_2e, 0, th_2, len(plaintext))))

    def message_4(self, message_3, identity, ead=b""):
        """Raises ValueError: message_3 does not prove that it is this device."""
        cred_i = edhoc.credential(identity.device, identity.kid, identity.public)
        opened = decrypted(
            ccm.decrypt,
            edhoc._kdf(self.prk, 3, self.th_3, 16),
            edhoc._kdf(self.prk, 4, self.th_3, 13),
            cbor.decode(message_3),
            session.enc_structure(self.th_3),
            8,
        )
        prk = kdf.hkdf_extract(edhoc._kdf(self.prk, 5, self.th_3, 32), p256.ecdh(self.y, identity.public))
        mac = edhoc._kdf(prk, 6, cbor.encode({4: identity.kid}) + cbor.encode(self.th_3) + cred_i, 8)
        if opened != edhoc._identifier(identity.kid) + cbor.encode(mac):
            raise ValueError("message_3")
        th_4 = edhoc._hash(self.th_3, opened + cred_i)
        exporter = edhoc._kdf(edhoc._kdf(prk, 7, th_4, 32), 10, b"", 32)
        secret, salt = edhoc._kdf(exporter, 0, b"", 16), edhoc._kdf(exporter, 1, b"", 8)
        self.session = session.Session(secret, salt, self.c_i, self.c_r, identity.device, "bridge")
        key, nonce = edhoc._kdf(prk, 8, th_4, 16), edhoc._kdf(prk, 9, th_4, 13)
        return cbor.encode(encrypted(ccm.encrypt, key, nonce, ead, session.enc_structure(th_4), 8))


def hello(identity=DEVICE, pins=PINS, random=stuck):
    return edhoc.Hello(identity, pins, random)


def refused(responder=None, **lie):
    """True when what the responder says is refused, and the hello is dead afterwards."""
    one = hello()
    message_2 = (responder or Responder()).message_2(one.message_1, **lie)
    return raises(PeerError, one.answer, message_2) and raises(ContractError, one.answer, message_2)


def prefix(device):
    return device._sender_key + device._recipient_key + device._iv + device.sid


def test_the_trace_of_rfc_9529_chapter_3_comes_out_byte_for_byte():
    identity = Identity("42-50-31-FF-EF-37-32-39", b"\x2b", bytes.fromhex(TRACE_I))
    public = p256.public_key(bytes.fromhex(TRACE_R))
    assert edhoc.credential(identity.device, identity.kid, identity.public) == bytes.fromhex(TRACE_CRED_I)
    assert edhoc.credential("example.edu", b"\x32", public) == bytes.fromhex(TRACE_CRED_R)
    ours = edhoc.BRIDGE
    try:
        edhoc.BRIDGE = "example.edu"
        one = hello(identity, [(b"\x32", public)])
        one._begin(bytes.fromhex(TRACE_X), b"\x82\x06\x02", b"\x37")
        assert one.message_1 == bytes.fromhex(TRACE_MESSAGE_1)
        proof = one.answer(bytes.fromhex(TRACE_MESSAGE_2))
    finally:
        edhoc.BRIDGE = ours
    assert proof.message_3 == bytes.fromhex(TRACE_MESSAGE_3)
    prk_out = edhoc._kdf(proof._prk, 7, proof._th_4, 32)
    assert prk_out == bytes.fromhex(TRACE_PRK_OUT)
    made = proof.confirm(bytes.fromhex(TRACE_MESSAGE_4))
    exporter = edhoc._kdf(prk_out, 10, b"", 32)
    secret, salt = edhoc._kdf(exporter, 0, b"", 16), edhoc._kdf(exporter, 1, b"", 8)
    expected = session.Session(secret, salt, b"\x37", b"\x27", identity.device, "device")
    assert prefix(made) == prefix(expected)


def test_message_1_is_that_of_vector_6_of_the_working_group():
    one = hello()
    one._begin(bytes.fromhex(TRACE_X), c_i=b"\x37")
    assert one.message_1 == bytes.fromhex(VECTOR_6_MESSAGE_1)
    assert p256.public_key(bytes.fromhex(TRACE_X))[32:] == bytes.fromhex(VECTOR_6_G_X_Y)


def test_recorded_transcripts_of_lakers_make_the_same_keys_here():
    for line in TRANSCRIPTS:
        kid_r, kid_i, message_1, message_2, message_3, message_4, secret, salt = [bytes.fromhex(item) for item in line]
        identity = Identity(kid=kid_i)
        one = hello(identity, [(b"\x05", DEVICE.public), (kid_r, BRIDGE_PUBLIC)])
        assert one.message_1 == message_1
        proof = one.answer(message_2)
        assert proof.message_3 == message_3
        made = proof.confirm(message_4)
        c_i = message_1[36:]
        expected = session.Session(secret, salt, c_i, edhoc.connection_id(9, c_i), identity.device, "device")
        assert prefix(made) == prefix(expected)


def test_the_messages_are_37_45_19_and_9_bytes_long():
    one, responder = hello(random=runtime.random_bytes), Responder()
    message_2 = responder.message_2(one.message_1, edhoc.connection_id(0, one.message_1[36:]))
    proof = one.answer(message_2)
    message_4 = responder.message_4(proof.message_3, DEVICE)
    assert (len(one.message_1), len(message_2), len(proof.message_3), len(message_4)) == (37, 45, 19, 9)


def test_both_sides_hold_the_same_session_after_message_4():
    for pins in (PINS, [(b"\x08", DEVICE.public), (KID_R, BRIDGE_PUBLIC)], [(KID_R, DEVICE.public), (KID_R, BRIDGE_PUBLIC)]):
        one, responder = hello(pins=pins), Responder()
        proof = one.answer(responder.message_2(one.message_1))
        device = proof.confirm(responder.message_4(proof.message_3, DEVICE))
        frame, asked = device.seal(b"up")
        plaintext, request = responder.session.open(session.parse(frame))
        assert plaintext == b"up"
        assert device.open(session.parse(responder.session.seal(b"down", request)[0]), (asked,))[0] == b"down"


def test_a_bridge_with_another_key_is_refused():
    assert refused(Responder(runtime.sha256(b"thief")))


def test_a_bridge_that_names_itself_otherwise_is_refused():
    assert refused(Responder(subject="latchpin-other"))


def test_a_kid_that_is_not_pinned_is_refused():
    for kid in (b"\x08", b"\x27", b"\x77", b"\x07\x07"):
        assert refused(Responder(kid=kid))


def test_a_bridge_that_pins_were_never_given_for_is_refused():
    one = hello(pins=[])
    assert raises(PeerError, one.answer, Responder().message_2(one.message_1))


def test_a_connection_identifier_equal_to_ours_is_refused():
    # RFC 9528, section 3.3.3.
    assert refused(c_r=hello().message_1[36:])


def test_a_connection_identifier_of_another_form_is_refused():
    for c_r in (b"\x41\x26", b"\x41\x80", b"\x42\x01\x02", b"\x40", b"\x18\x18", b"\x38\x18", b"\xf5", b"\xf6", b"\x61a"):
        assert refused(c_r=c_r)


def test_a_connection_identifier_is_one_of_48_and_never_the_taken_one():
    seen = set()
    for seed in range(256):
        one = edhoc.connection_id(seed)
        assert edhoc._identifier(one) == one and type(cbor.decode(one)) is int
        assert edhoc.connection_id(seed, one) != one
        seen.add(one)
    assert len(seen) == 48


def test_a_name_of_one_byte_stands_for_itself_where_that_byte_is_an_integer():
    # RFC 9528, section 3.3.2.
    for number in range(256):
        name = bytes((number,))
        itself = not raises(PeerError, cbor.decode, name) and type(cbor.decode(name)) is int
        assert edhoc._identifier(name) == (name if itself else b"\x41" + name)
        assert edhoc._identifier(name + b"\x01") == b"\x42" + name + b"\x01"
    assert edhoc._identifier(b"") == b"\x40"


def test_a_critical_item_of_authorization_data_is_refused_and_others_are_skipped():
    # RFC 9528, section 3.8. Labels: 0 is padding, below 0 is critical.
    for ead in (b"\x00", b"\x00\x43abc", b"\x01", b"\x05\x43abc\x00\x06\x40", b"\x19\x10\x00\x41x"):
        one, responder = hello(), Responder()
        proof = one.answer(responder.message_2(one.message_1, ead=ead))
        proof.confirm(responder.message_4(proof.message_3, DEVICE, ead))
    for ead in (b"\x20", b"\x24\x43abc", b"\x00\x25", b"\x43abc", b"\x01\x41a\x41b", b"\x61a", b"\xf5", b"\x01\x80", b"\x18\x01"):
        assert refused(ead=ead)
        one, responder = hello(), Responder()
        proof = one.answer(responder.message_2(one.message_1))
        assert raises(PeerError, proof.confirm, responder.message_4(proof.message_3, DEVICE, ead))


def test_a_credential_by_value_or_with_surplus_encoding_is_refused():
    # RFC 9529, chapter 4, has such responders; the last ones send more or less than the items there are.
    for id_cred in (b"\xa1\x04\x41\x07", b"\x41\x07", b"\x81\x07", b"\x18\x07", b"\xa1\x0e\xa0", b"", b"\x07\x07"):
        assert refused(id_cred=id_cred)


def test_a_mac_of_another_length_is_refused():
    for length in (0, 1, 7, 9, 16, 32):
        assert refused(mac_length=length)


def test_a_plaintext_2_that_is_no_three_items_is_refused():
    # 0x83 and what follows is the same three items once more inside an array.
    for plaintext in (
        b"\x26\x07" + bytes(9),
        bytes(11),
        b"\xff" * 11,
        b"\x26\x07\x07" + bytes(8),
        b"\x83\x26\x07\x48" + bytes(8),
    ):
        assert refused(plaintext=plaintext)


def test_a_message_2_of_another_length_is_refused():
    one = hello()
    received = cbor.decode(Responder().message_2(one.message_1))
    for other in (b"", received[:31], received[:32], received[:33], received[:42], received + b"\x00", received + bytes(300)):
        one = hello()
        assert raises(PeerError, one.answer, cbor.encode(other))


def test_a_message_2_that_is_no_single_byte_string_is_refused():
    encoded = Responder().message_2(hello().message_1)
    body = cbor.decode(encoded)
    for other in (
        b"",
        b"\x81" + encoded,
        encoded + b"\x26",
        b"\x59\x00\x2b" + body,
        b"\x78\x2b" + body,
        body,
        b"\xf6",
        b"\x02\x02",
    ):
        assert raises(PeerError, hello().answer, other)


def test_an_ephemeral_key_that_is_no_point_is_refused():
    # x = 0 has a point on P-256, so it is not among them; p and beyond are no field elements (SP 800-56A, section 5.6.2.3.4).
    p = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
    body = cbor.decode(Responder().message_2(hello().message_1))
    for x in (p, p + 5, (1 << 256) - 1, 1, 2, 4):
        if x < p:
            assert raises(ValueError, p256.ecdh, BRIDGE_PRIVATE, x.to_bytes(32, "big"))
        assert raises(PeerError, hello().answer, cbor.encode(x.to_bytes(32, "big") + body[32:]))


def test_a_bit_flipped_anywhere_in_message_2_is_noticed():
    one = hello()
    private = one._private
    message_2 = Responder().message_2(one.message_1)
    for at in range(len(message_2)):
        for bit in (0, 5) if runtime.MICROPYTHON else range(8):
            flipped = bytearray(message_2)
            flipped[at] ^= 1 << bit
            one._private = private
            assert raises(PeerError, one.answer, bytes(flipped))


def test_a_bit_flipped_anywhere_in_message_4_is_noticed():
    one, responder = hello(), Responder()
    proof = one.answer(responder.message_2(one.message_1))
    message_4 = responder.message_4(proof.message_3, DEVICE)
    prk = proof._prk
    for at in range(len(message_4)):
        for bit in range(8):
            flipped = bytearray(message_4)
            flipped[at] ^= 1 << bit
            proof._prk = prk
            assert raises(PeerError, proof.confirm, bytes(flipped))
            assert raises(ContractError, proof.confirm, message_4)
    for other in (
        b"",
        message_4[:-1],
        message_4 + b"\x00",
        b"\x40",
        b"\x47" + bytes(7),
        cbor.encode(bytes(256)),
        b"\xf6",
        b"\x81" + message_4,
    ):
        proof._prk = prk
        assert raises(PeerError, proof.confirm, other)
    proof._prk = prk
    assert proof.confirm(message_4).sid == responder.session.sid


def test_a_message_2_for_another_hello_is_refused():
    message_2 = Responder().message_2(hello(random=lambda length: b"\x08" * length).message_1)
    assert raises(PeerError, hello().answer, message_2)


def test_without_message_4_there_is_no_session():
    one, responder = hello(), Responder()
    proof = one.answer(responder.message_2(one.message_1))
    assert not hasattr(proof, "seal") and not hasattr(one, "seal")
    # The keys of message_4 need the transcript: message_3 given back as message_4 opens nothing.
    assert raises(PeerError, proof.confirm, proof.message_3)


def test_a_stuck_generator_still_gives_every_device_an_ephemeral_key_of_its_own():
    # RFC 9528, section 9.8: augment the generator with a long-term secret.
    keys = [hello(Identity(private=runtime.sha256(bytes((number,))))).message_1[4:36] for number in range(8)]
    assert len(set(keys)) == 8
    assert hello(random=lambda length: bytes(length)).message_1 != hello().message_1
    assert stuck(32) not in hello().message_1 and hello()._private != stuck(32)


def test_a_stuck_generator_repeats_no_key_and_no_nonce_because_the_bridges_half_is_fresh():
    seen = set()
    for _ in range(8):
        one, responder = hello(), Responder()
        proof = one.answer(responder.message_2(one.message_1))
        device = proof.confirm(responder.message_4(proof.message_3, DEVICE))
        for _ in range(4):
            piv = device.seal(b"")[1][1]
            seen.add((device._sender_key, session._nonce(device._iv, device._sender, piv)))
    assert len(seen) == 32


def test_handshake_payloads_have_five_forms_and_no_sixth():
    for number, parts in ((0, ()), (1, (b"a",)), (2, (b"b", "bridge-1")), (3, (b"c",)), (4, (bytes(255),))):
        packed = pack_step(number, *parts)
        assert edhoc.unpack_step(cbor.decode(packed)) == (number, list(parts))
    assert pack_step(1, b"x") == b"\x82\x01\x41x"
    for other in (
        None, 7, b"", {}, [], [5], [-1], [True], [False], ["0"], [None], [0, 0], [1], [1, "a"], [1, b""], [1, bytes(256)],
        [1, b"a", "b"], [2, b"a"], [2, b"a", b"bridge-1"], [2, b"a", "bridge/1"], [2, b"a", "+"], [2, b"a", ""],
        [2, "a", "bridge-1"], [3], [4], [4, None], [b"", {}, b""],
    ):  # fmt: skip
        assert raises(PeerError, edhoc.unpack_step, other)


def test_a_failed_handshake_has_one_name_on_both_sides():
    one = hello()
    assert edhoc.request_id(one.message_1) == runtime.sha256(one.message_1)[:4].hex()
    assert len(edhoc.request_id(b"")) == 8


def test_nothing_that_holds_a_key_prints_it():
    one, responder = hello(), Responder()
    private = one._private
    proof = one.answer(responder.message_2(one.message_1))
    prk = proof._prk
    device = proof.confirm(responder.message_4(proof.message_3, DEVICE))
    for holder in (one, proof, device):
        for secret in (private, prk, DEVICE.private, device._sender_key, device._recipient_key):
            for shown in (repr(holder), str(holder)):
                assert secret.hex() not in shown and repr(secret)[2:-1] not in shown and len(shown) < 80
