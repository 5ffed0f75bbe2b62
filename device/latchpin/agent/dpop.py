"""One DPoP proof per request (RFC 9449, section 4.2), signed with ES256.

Not for nonces' or keys' lives: they are arguments.
"""

import binascii
import json

from latchpin import runtime
from latchpin.crypto import p256


def base64url(data: bytes) -> str:
    """RFC 4648, section 5, without padding."""
    text = binascii.b2a_base64(data).decode().rstrip("=\n")
    return text.replace("+", "-").replace("/", "_")


def s256(verifier: str) -> str:
    """PKCE's code_challenge of a verifier (RFC 7636, section 4.2)."""
    return base64url(runtime.sha256(verifier.encode()))


def proof(
    private: bytes, public: bytes, method: str, uri: str, jti: str, iat: int, nonce: str | None = None, token: str | None = None
) -> str:
    """The value of a `DPoP` header.

    private: 32 bytes; public: x || y; uri: without query and fragment; iat: seconds since 1970; token: the access token at a
    resource server, whose hash becomes `ath`.
    """
    header = '{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"%s","y":"%s"}}' % (
        base64url(public[:32]),
        base64url(public[32:]),
    )
    claims = '{"jti":"%s","htm":"%s","htu":%s,"iat":%d' % (jti, method, json.dumps(uri), iat)
    if nonce is not None:
        claims += ',"nonce":' + json.dumps(nonce)
    if token is not None:
        claims += ',"ath":"' + base64url(runtime.sha256(token.encode())) + '"'
    signed = base64url(header.encode()) + "." + base64url((claims + "}").encode())
    return signed + "." + base64url(p256.sign(private, signed.encode()))
