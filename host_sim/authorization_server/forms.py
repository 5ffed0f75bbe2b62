"""A POST as the endpoints see it: form fields once each, read strictly and within bounds.

Not for meaning: which fields an endpoint wants is its own business.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import InvalidRequestError
from starlette.requests import ClientDisconnect, Request

from host_sim.authorization_server import dpop
from host_sim.authorization_server.dpop import Proof
from host_sim.authorization_server.errors import InvalidDpopProof, InvalidTarget, TooLarge

MAX_BODY = 16_384
MAX_FIELDS = 32
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_REQUEST_ID = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class Posted:
    """`fields` by name, without empty ones (RFC 6749, section 3.2). Prints none of their values."""

    fields: dict[str, str] = field(repr=False)
    authorization: str | None = field(default=None, repr=False)
    judged: Proof | InvalidDpopProof | None = field(default=None, repr=False)
    request_id: str | None = None  # of the caller (X-Request-Id), for the log alone

    @property
    def proof(self) -> Proof | None:
        """The DPoP proof; nobody has accepted it yet. Raises InvalidDpopProof: what came is none."""
        if isinstance(self.judged, InvalidDpopProof):
            raise self.judged
        return self.judged


async def read_body(request: Request) -> bytes:
    """The body. Raises TooLarge before more than MAX_BODY bytes of it are held; ClientDisconnect."""
    body, more = b"", True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise TooLarge()
    return body


async def read(request: Request, url: str | None = None) -> Posted:
    """The form that was posted. url: of the endpoint, where it takes DPoP proofs.

    A proof is judged here, before its request has its turn in the storage: P-256 is the dearest part of an answer, cheapest where
    nothing else comes between one proof and the next, and needs no disk.
    Raises InvalidRequestError: not a form, not UTF-8, a parameter twice (RFC 6749, section 3.2), or parameters in the URL.
    """
    body = await read_body(request)
    headers: dict[bytes, list[str]] = {}
    for name, value in request.scope["headers"]:
        headers.setdefault(name, []).append(value.decode("latin-1"))
    if headers.get(b"content-type", [""])[0].partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise InvalidRequestError("The body must be application/x-www-form-urlencoded.")
    if request.scope["query_string"]:
        raise InvalidRequestError("Parameters belong in the body, not in the URL.")
    authorization = headers.get(b"authorization", [])
    if len(authorization) > 1:
        raise InvalidRequestError("More than one Authorization header.")
    request_id = headers.get(b"x-request-id", [""])[0]
    return Posted(
        _fields(body),
        authorization[0] if authorization else None,
        dpop.judged(headers.get(b"dpop", []), url) if url else None,
        request_id if _REQUEST_ID.fullmatch(request_id) else None,
    )


def _fields(body: bytes) -> dict[str, str]:
    try:
        if _BAD_ESCAPE.search(body):
            raise ValueError("escape")
        text = body.decode("ascii")
        if text.count("&") >= MAX_FIELDS:
            raise ValueError("fields")
        pairs = [(_decoded(name), _decoded(value)) for name, value in (each.split("=", 1) for each in text.split("&") if text)]
    except ValueError:
        raise InvalidRequestError("The body is not a form in UTF-8.") from None
    names = [name for name, _ in pairs]
    if names.count("resource") > 1:
        raise InvalidTarget("One resource at a time.")  # RFC 8707, section 2 allows several, and allows to refuse them
    if len(set(names)) != len(names):
        raise InvalidRequestError("A parameter stands there twice.")
    return {name: value for name, value in pairs if value}


def _decoded(text: str) -> str:
    return unquote_plus(text, errors="strict") if "%" in text or "+" in text else text
