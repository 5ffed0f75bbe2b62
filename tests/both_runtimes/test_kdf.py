"""HMAC and HKDF against vectors of strangers: RFC 5869 appendix A and Wycheproof, in each engine that this Python has.

Not for EDHOC's and OSCORE's key schedules: those stand with the handshake and the session.
"""

import strangers

from latchpin import runtime
from latchpin.crypto import kdf

HMAC = [kdf.pure_hmac_sha256]
HKDF = [(kdf.pure_hmac_sha256, kdf.pure_hkdf_expand)]
if runtime.host_engine:
    HMAC.append(kdf.hmac_sha256)
    HKDF.append((kdf.hkdf_extract, kdf.hkdf_expand))


def test_on_cpython_the_names_without_prefix_are_the_host_engine():
    if runtime.host_engine:
        assert kdf.hmac_sha256 is not kdf.pure_hmac_sha256
        assert kdf.hkdf_extract is not kdf.pure_hmac_sha256
        assert kdf.hkdf_expand is not kdf.pure_hkdf_expand
    else:
        assert kdf.hmac_sha256 is kdf.pure_hmac_sha256
        assert kdf.hkdf_expand is kdf.pure_hkdf_expand


def test_hmac_agrees_with_wycheproof():
    cases = strangers.wycheproof("hmac_sha256_test.json")
    assert len(cases) == 174
    for hmac_sha256 in HMAC:
        for group, case in cases:
            mac = hmac_sha256(bytes.fromhex(case["key"]), bytes.fromhex(case["msg"]))
            same = mac[: group["tagSize"] // 8] == bytes.fromhex(case["tag"])
            assert same == (case["result"] == "valid"), case["tcId"]


def test_a_hmac_key_is_hashed_from_65_bytes_on():
    # RFC 2104, section 2: a key longer than the block (64 bytes) is replaced by its hash.
    for hmac_sha256 in HMAC:
        long = b"k" * 65
        assert hmac_sha256(long, b"data") == hmac_sha256(runtime.sha256(long), b"data")
        assert hmac_sha256(b"k" * 64, b"data") != hmac_sha256(runtime.sha256(b"k" * 64), b"data")


def test_hkdf_gives_what_rfc_5869_appendix_a_prints():
    cases = strangers.rfc5869()
    assert len(cases) == 3
    for extract, expand in HKDF:
        for case in cases:
            assert extract(case["salt"], case["IKM"]) == case["PRK"]
            assert expand(case["PRK"], case["info"], case["L"]) == case["OKM"]


def test_hkdf_agrees_with_wycheproof_and_refuses_what_is_too_long():
    cases = strangers.wycheproof("hkdf_sha256_test.json")
    assert len(cases) == 86
    refused = 0
    for extract, expand in HKDF:
        for _, case in cases:
            prk = extract(bytes.fromhex(case["salt"]), bytes.fromhex(case["ikm"]))
            try:
                assert expand(prk, bytes.fromhex(case["info"]), case["size"]).hex() == case["okm"], case["tcId"]
                assert case["result"] == "valid", case["tcId"]
            except ValueError:
                assert case["result"] == "invalid", case["tcId"]
                refused += 1
    assert refused == 3 * len(HKDF)


def test_hkdf_expands_to_8160_bytes_and_not_to_one_more():
    # RFC 5869, section 2.3: L <= 255 * HashLen.
    for _, expand in HKDF:
        assert len(expand(bytes(32), b"", 8160)) == 8160
        try:
            expand(bytes(32), b"", 8161)
        except ValueError:
            continue
        raise AssertionError
