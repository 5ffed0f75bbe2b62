"""JSON answers: never stored by anybody, and refusals within RFC 6749's characters.

Not for texts: descriptions stand where a refusal is decided.
"""

import json
from typing import Any

from authlib.oauth2.rfc6749 import OAuth2Error
from starlette.responses import Response

REALM = 'Basic realm="latchpin"'  # RFC 7617, section 2: a challenge has a realm

_HEADERS = [(b"cache-control", b"no-store"), (b"pragma", b"no-cache"), (b"content-type", b"application/json")]
_FILLED = b',"padding":"%s"}'

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Answer(Response):
    """`body` as it is. Made without what Starlette finds out about headers anew for each response."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]


def to_json(body: Any) -> bytes:
    return _encode(body).encode()


def answer(status: int, body: Any) -> Answer:
    return Answer(status, to_json(body))


def filled(status: int, body: dict[str, Any], size: int) -> Answer:
    """An answer of `size` bytes: a last member that means nothing fills it up."""
    text = to_json(body)[:-1]
    return Answer(status, text + _FILLED % (b"." * (size - len(text) - len(_FILLED % b""))))


def refusal(error: OAuth2Error) -> Answer:
    """RFC 6749, section 5.2. Authlib checks the characters of a description when the error is made."""
    body: dict[str, Any] = {"error": error.error}
    if error.description:
        body["error_description"] = error.description
    body |= getattr(error, "members", {})
    response = answer(error.status_code, body)
    if error.status_code == 401:
        response.headers["WWW-Authenticate"] = REALM
    if error.status_code == 503:
        response.headers["Retry-After"] = "60"
    return response
