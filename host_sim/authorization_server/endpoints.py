"""The endpoints that programs use, in one table: the routes, the metadata and the OpenAPI document are all made of it.

Not for what they do, and not for pages (console/).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from host_sim.authorization_server.clients import GRANTS

Said = Literal["client", "resource server", "admin", "metrics", "nobody"]


@dataclass(frozen=True)
class Endpoint:
    """`name` is that of its handler; `fields` are those of the form or of the JSON object, `query` those of the URL.

    said_by: who proves to be what. dpop: it takes proofs. answers: status to the name of a schema. metadata: RFC 8414's word.
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    summary: str
    said_by: Said = "nobody"
    dpop: bool = False
    fields: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    query: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    answers: Mapping[int, str] = field(default_factory=dict)
    metadata: str = ""


_TEXT = {"type": "string"}
_OPAQUE = {"type": "string", "pattern": "^[!-~]+$"}
_SCOPE = {"type": "string", "description": "Space-separated, of one resource."}
_URI = {"type": "string", "format": "uri"}
_SECONDS = {"type": "integer", "minimum": 0}
_CLIENT = {"client_id": {"type": "string", "description": "Of a public client; one with a secret uses HTTP Basic."}}
_WHAT = {"scope": _SCOPE, "resource": {**_URI, "description": "RFC 8707."}}
_STEP_UP = {
    "acr_values": {"type": "string", "description": "RFC 9470."},
    "max_age": {"type": "string", "pattern": "^[0-9]{1,9}$"},
}
_PKCE = {
    "code_challenge": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
    "code_challenge_method": {"type": "string", "enum": ["S256"]},
}
_CODE = {"response_type": {"type": "string", "enum": ["code"]}}
_DEVICE = {
    "device_id": {"type": "string", "description": "For which device an authenticated client asks, or what an app claims to be."}
}
_WEB = {
    "redirect_uri": _URI,
    "state": _TEXT,
    "prompt": {"type": "string", "enum": ["none", "login", "consent"]},
    "dpop_jkt": _TEXT,
}
_ADMIN_DEVICE = {"device": _TEXT, "binding_word": _TEXT}
_REFUSALS = {400: "Error", 401: "Error", 413: "Error", 503: "Error"}

TABLE = (
    Endpoint("metadata", "GET", "/.well-known/oauth-authorization-server", "RFC 8414", answers={200: "Object"}),
    Endpoint("jwks", "GET", "/jwks.json", "Keys that sign access tokens (RFC 7517)", answers={200: "Keys"}, metadata="jwks_uri"),
    Endpoint("openapi", "GET", "/openapi.json", "This document", answers={200: "Object"}),
    Endpoint(
        "challenge",
        "POST",
        "/challenge",
        "Authorization challenge endpoint (FiPA-04); each answer is a field by its input's name",
        "client",
        dpop=True,
        fields=_CLIENT
        | _CODE
        | _WHAT
        | _PKCE
        | _DEVICE
        | _STEP_UP
        | {"auth_session": _OPAQUE, "pin": _TEXT, "redirect_uri": _URI},
        answers={200: "Code", 403: "Prompt", **_REFUSALS},
        metadata="authorization_challenge_endpoint",
    ),
    Endpoint(
        "token",
        "POST",
        "/token",
        "Token endpoint (RFC 6749, 8628; FiPA-04, section 6)",
        "client",
        dpop=True,
        fields=_CLIENT
        | {"grant_type": {"type": "string", "enum": GRANTS}, "code": _OPAQUE, "code_verifier": _OPAQUE, "refresh_token": _OPAQUE}
        | {"device_code": _OPAQUE, "redirect_uri": _URI}
        | _WHAT,
        required=("grant_type",),
        answers={200: "Tokens", 403: "Prompt", **_REFUSALS},
        metadata="token_endpoint",
    ),
    Endpoint(
        "par",
        "POST",
        "/par",
        "Pushed authorization requests (RFC 9126)",
        "client",
        dpop=True,
        fields=_CLIENT | _CODE | _WHAT | _PKCE | _STEP_UP | _WEB,
        required=("response_type", *_PKCE),
        answers={201: "Pushed", **_REFUSALS},
        metadata="pushed_authorization_request_endpoint",
    ),
    Endpoint(
        "device_authorization",
        "POST",
        "/device_authorization",
        "Device authorization (RFC 8628)",
        "client",
        dpop=True,
        fields=_CLIENT | _WHAT | _DEVICE | {"acr_values": _TEXT},
        answers={200: "Shown", **_REFUSALS},
        metadata="device_authorization_endpoint",
    ),
    Endpoint(
        "introspect",
        "POST",
        "/introspect",
        "Introspection of access tokens (RFC 7662)",
        "resource server",
        fields={"token": _OPAQUE, "token_type_hint": _TEXT},
        required=("token",),
        answers={200: "Introspected", **_REFUSALS},
        metadata="introspection_endpoint",
    ),
    Endpoint(
        "revoke",
        "POST",
        "/revoke",
        "Revocation (RFC 7009)",
        "client",
        fields=_CLIENT | {"token": _OPAQUE, "token_type_hint": _TEXT},
        required=("token",),
        answers={200: "Object", **_REFUSALS},
        metadata="revocation_endpoint",
    ),
    Endpoint(
        "authorize",
        "GET",
        "/authorize",
        "Where a person signs in and lets a client in (RFC 6749, section 4.1): pages, and redirects with code or error",
        query=_CLIENT | _CODE | _WHAT | _PKCE | _STEP_UP | _WEB | {"request_uri": {"type": "string"}},
        answers={200: "Page", 303: "", 400: "Page"},
        metadata="authorization_endpoint",
    ),
    Endpoint("waiting", "GET", "/admin/waiting", "Who waits for a person", "admin", answers={200: "List", 401: "Error"}),
    Endpoint("devices", "GET", "/admin/devices", "Every device that ever asked", "admin", answers={200: "List", 401: "Error"}),
    Endpoint(
        "pin",
        "POST",
        "/admin/pin",
        "Issue a PIN",
        "admin",
        fields=_ADMIN_DEVICE | {"in_advance": {"type": "boolean"}},
        required=("device",),
        answers={200: "Object", 400: "Error", 401: "Error", 404: "Error", 409: "Error", 413: "Error"},
    ),
    Endpoint(
        "approve",
        "POST",
        "/admin/approve",
        "Let in the device that shows this code",
        "admin",
        fields={"user_code": _TEXT},
        required=("user_code",),
        answers={200: "Object", 400: "Error", 401: "Error", 404: "Error", 409: "Error", 413: "Error"},
    ),
    Endpoint(
        "refuse",
        "POST",
        "/admin/refuse",
        "Tell a waiting device no",
        "admin",
        fields=_ADMIN_DEVICE,
        required=("device",),
        answers={200: "Object", 400: "Error", 401: "Error", 404: "Error", 409: "Error", 413: "Error"},
    ),
    Endpoint(
        "unlock",
        "POST",
        "/admin/unlock",
        "Let a locked device answer again",
        "admin",
        fields={"device": _TEXT},
        required=("device",),
        answers={200: "Object", 400: "Error", 401: "Error", 404: "Error", 409: "Error", 413: "Error"},
    ),
    Endpoint("livez", "GET", "/livez", "The process answers", answers={200: "Status"}),
    Endpoint("readyz", "GET", "/readyz", "The database answers too", answers={200: "Status", 503: "Status"}),
    Endpoint("metrics", "GET", "/metrics", "Numbers, for Prometheus", "metrics", answers={200: "Numbers", 401: "Error"}),
)

_AUTH_SESSION = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
_ERROR = {
    "error": {"type": "string", "pattern": "^[ !#-\\[\\]-~]+$"},
    "error_description": {"type": "string", "pattern": "^[ !#-\\[\\]-~]*$"},
}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required or properties)}


SCHEMAS: dict[str, dict[str, Any]] = {
    "Error": _object(_ERROR, "error"),
    "Object": {"type": "object"},
    "List": {"type": "array", "items": {"type": "object"}},
    "Status": _object({"status": _TEXT}),
    "Page": {"type": "string"},
    "Numbers": {"type": "string"},
    "Keys": _object(
        {"keys": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["kty", "kid", "x", "y"]}}}
    ),
    "Code": _object({"authorization_code": _OPAQUE, "auth_session": _AUTH_SESSION}),
    # insufficient_authorization has all of it; redirect_to_web has a request_uri at most.
    "Prompt": _object(
        _ERROR
        | {"auth_session": _AUTH_SESSION, "inputs": {"type": "array", "items": {"type": "object"}}, "message": _TEXT}
        | {"reason": _TEXT, "tries_left": _SECONDS, "retry_after": _SECONDS, "inputs_expire_in": _SECONDS, "binding_word": _TEXT}
        | {"request_uri": _TEXT, "expires_in": _SECONDS},
        "error",
    ),
    "Tokens": _object(
        {"access_token": _OPAQUE, "refresh_token": _OPAQUE, "expires_in": _SECONDS, "scope": _TEXT}
        | {"token_type": {"type": "string", "enum": ["DPoP", "Bearer"]}}
    ),
    "Pushed": _object({"request_uri": _TEXT, "expires_in": _SECONDS}),
    "Shown": _object(
        {
            "device_code": _OPAQUE,
            "user_code": {"type": "string", "pattern": "^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$"},
        }
        | {"verification_uri": _URI, "verification_uri_complete": _URI, "expires_in": _SECONDS, "interval": _SECONDS}
    ),
    "Introspected": _object({"active": {"type": "boolean"}}),
}
