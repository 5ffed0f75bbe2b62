"""Times of the primitives on the Python that runs this: one line of JSON, milliseconds of each call in several runs.

argv: "pure" or "engine" (CPython's `cryptography`), and how many runs. Not a test: values are checked in tests/both_runtimes.
"""

import json
import sys
import time

from latchpin.agent import dpop
from latchpin.crypto import ccm, kdf, p256

pure = sys.argv[1] == "pure"
runs = int(sys.argv[2])

if hasattr(time, "ticks_us"):
    now_us, since = time.ticks_us, time.ticks_diff
else:

    def now_us():
        return time.perf_counter_ns() / 1000

    def since(later, earlier):
        return later - earlier


if pure:
    p256.public_key, p256.ecdh, p256.sign = p256.pure_public_key, p256.pure_ecdh, p256.pure_sign
    ccm.encrypt, ccm.decrypt = ccm.pure_encrypt, ccm.pure_decrypt
    kdf.hkdf_extract, kdf.hkdf_expand = kdf.pure_hmac_sha256, kdf.pure_hkdf_expand

private = bytes(range(1, 33))
public = p256.public_key(private)
other = p256.public_key(bytes(range(2, 34)))
key, nonce, aad = bytes(16), bytes(13), bytes(60)
uri = "https://localhost:8443/challenge"

# name, what is done once, how often in one measurement.
CASES = (
    ("P-256 k*G", lambda: p256.public_key(private), 4),
    ("P-256 ECDH", lambda: p256.ecdh(private, other), 4),
    ("ES256 sign", lambda: p256.sign(private, b"message"), 4),
    ("DPoP proof", lambda: dpop.proof(private, public, "POST", uri, "jti0jti0jti0jti0", 1760000000, "nonce"), 4),
    ("CCM 64 B", lambda: ccm.encrypt(key, nonce, bytearray(80), aad, 16), 50),
    ("CCM 1024 B", lambda: ccm.encrypt(key, nonce, bytearray(1040), aad, 16), 20),
    ("HKDF", lambda: kdf.hkdf_expand(kdf.hkdf_extract(b"salt", private), b"info", 32), 50),
)

found = {}
for name, _, _ in CASES:
    found[name] = []
for _ in range(runs):
    for name, work, times in CASES:
        began = now_us()
        for _ in range(times):
            work()
        found[name].append(since(now_us(), began) / times / 1000)
print(json.dumps(found))
