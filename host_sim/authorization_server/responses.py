"""JSON answers: never stored by anybody, and refusals within RFC 6749's characters.

Not for texts: descriptions stand where a refusal is decided.
"""

from typing import Any

from authlib.oauth2.rfc6749 import OAuth2Error
from starlette.responses import JSONResponse

REALM = 'Basic realm="latchpin"'  # RFC 7617, section 2: a challenge has a realm


def answer(status: int, body: Any) -> JSONResponse:
    return JSONResponse(body, status, {"Cache-Control": "no-store", "Pragma": "no-cache"})


def refusal(error: OAuth2Error) -> JSONResponse:
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
