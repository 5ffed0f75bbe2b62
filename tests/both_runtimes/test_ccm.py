"""AES-CCM against vectors of strangers: Wycheproof and NIST CAVP, in each engine that this Python has.

Not for frames: nonces and additional data of the protocol stand with the session.
"""

import strangers
from in_place import decrypted, encrypted

from latchpin import runtime
from latchpin.crypto import ccm

ENGINES = [(ccm.pure_encrypt, ccm.pure_decrypt)]
if runtime.host_engine:
    ENGINES.append((ccm.encrypt, ccm.decrypt))

KEY = bytes(range(16))
NONCE = bytes(range(13))

# SHA-256 of ciphertext || tag as cryptography 50.0.2 makes them, by length of the plaintext.
LONG = {
    4079: "a0b6b2ff36fcf362f74452bb21600e76816e1d0c03e28dd6c78374f35d023c1d",
    4080: "8334c7673a86c7a2e36ece64c1d6b84e4a03048a74d3d78fc7002e7dc163796a",
    4081: "30a4365789511629ea6bf2ad85177cbd3e120204f0c138acf9e5cdb36d0623fd",
    4096: "f2f36aa7534be84be63afd500abfb3c569a91105ef7a94d36b2735d2d5751441",
    65535: "29d199e7ae6dc220eb0a35208eea70f8f324afa91d2b394db178ad7562a2794b",
}


def refuses(function, *arguments):
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)
    return ""


def test_on_cpython_the_names_without_prefix_are_the_host_engine():
    assert (ccm.encrypt is ccm.pure_encrypt) == (runtime.host_engine is None)
    assert (ccm.decrypt is ccm.pure_decrypt) == (runtime.host_engine is None)


def test_encrypt_and_decrypt_agree_with_wycheproof():
    # 192-bit keys are left out: MicroPython's cryptolib has none.
    cases = [both for both in strangers.wycheproof("aes_ccm_test.json") if both[0]["keySize"] != 192]
    assert len(cases) == 368
    for encrypt, decrypt in ENGINES:
        for group, case in cases:
            key, nonce, aad, plaintext, ciphertext = [
                bytes.fromhex(value) for value in (case["key"], case["iv"], case["aad"], case["msg"], case["ct"] + case["tag"])
            ]
            size = group["tagSize"] // 8
            if case["result"] == "valid":
                assert encrypted(encrypt, key, nonce, plaintext, aad, size) == ciphertext, case["tcId"]
                assert decrypted(decrypt, key, nonce, ciphertext, aad, size) == plaintext, case["tcId"]
            elif case["flags"] != ["InsecureTagSize"]:
                assert refuses(decrypted, decrypt, key, nonce, ciphertext, aad, size), case["tcId"]


def test_encrypt_gives_what_nist_prints_for_every_length_of_key_data_nonce_and_tag():
    total = 0
    for name in ("VADT128", "VNT128", "VPT128", "VTT128"):
        for case in strangers.cavp("nist_ccm/" + name + ".rsp"):
            aad = bytes.fromhex(case["Adata"])[: int(case["Alen"])]
            plaintext = bytes.fromhex(case["Payload"])[: int(case["Plen"])]
            key, nonce, ciphertext = [bytes.fromhex(case[part]) for part in ("Key", "Nonce", "CT")]
            for encrypt, decrypt in ENGINES:
                assert encrypted(encrypt, key, nonce, plaintext, aad, int(case["Tlen"])) == ciphertext, (name, case["Count"])
                assert decrypted(decrypt, key, nonce, ciphertext, aad, int(case["Tlen"])) == plaintext, (name, case["Count"])
            total += 1
    assert total == 720


def test_decrypt_passes_and_fails_where_nist_says_so():
    verdicts = {"Pass": 0, "Fail": 0}
    for case in strangers.cavp("nist_ccm/DVPT128.rsp"):
        aad = bytes.fromhex(case["Adata"])[: int(case["Alen"])]
        key, nonce, ciphertext = [bytes.fromhex(case[part]) for part in ("Key", "Nonce", "CT")]
        for _, decrypt in ENGINES:
            if case["Result"] == "Pass":
                plaintext = bytes.fromhex(case["Payload"])[: int(case["Plen"])]
                assert decrypted(decrypt, key, nonce, ciphertext, aad, int(case["Tlen"])) == plaintext, case["Count"]
            else:
                assert refuses(decrypted, decrypt, key, nonce, ciphertext, aad, int(case["Tlen"])) == "tag", case["Count"]
        verdicts[case["Result"]] += 1
    assert verdicts["Pass"] + verdicts["Fail"] == 240
    assert min(verdicts.values()) > 50


def test_every_single_bit_matters():
    # Key, nonce, additional data, ciphertext and tag: whichever bit flips, the tag is wrong.
    plaintext, aad = b"492817300", b"latchpin/1"
    for encrypt, decrypt in ENGINES:
        good = [KEY, NONCE, encrypted(encrypt, KEY, NONCE, plaintext, aad, 16), aad, 16]
        assert decrypted(decrypt, *good) == plaintext
        for part in range(4):
            for bit in range(8 * len(good[part])):
                bad = list(good)
                flipped = bytearray(good[part])
                flipped[bit >> 3] ^= 1 << (bit & 7)
                bad[part] = bytes(flipped)
                assert refuses(decrypted, decrypt, *bad) == "tag", (part, bit)


def test_a_ciphertext_shorter_than_its_tag_is_refused():
    for _, decrypt in ENGINES:
        for size in range(16):
            assert refuses(decrypted, decrypt, KEY, NONCE, bytes(size), b"", 16) == "tag"


def test_lengths_that_ccm_cannot_say_are_refused():
    # RFC 3610, section 2.1: nonce of 15 - L bytes with L from 2 to 8, tag of 4 to 16 bytes and even.
    for encrypt, decrypt in ENGINES:
        for size in (0, 1, 6, 14, 16):
            assert refuses(encrypted, encrypt, KEY, bytes(size), b"text", b"", 16), size
            assert refuses(decrypted, decrypt, KEY, bytes(size), bytes(20), b"", 16), size
        for size in (0, 1, 2, 3, 5, 7, 9, 15, 17, 18, 32):
            assert refuses(encrypted, encrypt, KEY, NONCE, b"text", b"", size), size
            assert refuses(decrypted, decrypt, KEY, NONCE, bytes(40), b"", size), size
        assert refuses(encrypted, encrypt, KEY, NONCE, bytes(65536), b"", 16)
        assert refuses(encrypted, encrypt, KEY, NONCE, b"", bytes(0xFF00), 16)
        assert refuses(encrypted, encrypt, KEY[:15], NONCE, b"text", b"", 16)


def test_counters_beyond_255_and_lengths_to_the_end_agree_with_cryptography():
    for size, digest in LONG.items():
        plaintext = bytes([(i * 7 + i // 256) & 255 for i in range(size)])
        for encrypt, decrypt in ENGINES:
            ciphertext = encrypted(encrypt, KEY, NONCE, plaintext, b"aad", 16)
            assert runtime.sha256(ciphertext).hex() == digest, size
            assert decrypted(decrypt, KEY, NONCE, ciphertext, b"aad", 16) == plaintext


def test_a_longest_frame_and_long_additional_data_come_back():
    for encrypt, decrypt in ENGINES:
        for size in (4095, 4096, 65535):
            plaintext = b"\xa5" * size
            ciphertext = encrypted(encrypt, KEY, NONCE, plaintext, b"\x5a" * 0xFEFF, 8)
            assert len(ciphertext) == size + 8
            assert decrypted(decrypt, KEY, NONCE, ciphertext, b"\x5a" * 0xFEFF, 8) == plaintext


def test_no_refusal_quotes_key_nonce_or_text():
    for encrypt, decrypt in ENGINES:
        for text in (
            refuses(decrypted, decrypt, b"K" * 16, b"N" * 13, b"C" * 20, b"A" * 4, 16),
            refuses(encrypted, encrypt, b"K" * 16, b"N" * 14, b"C" * 20, b"A" * 4, 16),
        ):
            assert text and "KKK" not in text and "NNN" not in text and "CCC" not in text and "AAA" not in text
