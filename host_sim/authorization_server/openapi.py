"""The OpenAPI 3.1 document of the AS, made of the table of endpoints.

Not written by hand anywhere: endpoints.py is what there is to change.
"""

import re
from typing import Any

from host_sim.authorization_server.endpoints import SCHEMAS, TABLE, Endpoint
from host_sim.authorization_server.settings import Settings
from latchpin import __version__

_WORDS = {200: "Done", 201: "Kept", 303: "To the client, or to sign in", 403: "Not yet", 503: "Not now"}
_KINDS = {"Page": "text/html", "Numbers": "text/plain"}
_SECURITY = {
    "client": [{"basic": []}, {}],
    "resource server": [{"basic": []}],
    "admin": [{"admin": []}],
    "metrics": [{"metrics": []}],
    "nobody": [],
}


def document(settings: Settings) -> dict[str, Any]:
    """The whole of it, for this issuer."""
    paths: dict[str, dict[str, Any]] = {}
    known = _known(settings)
    for endpoint in TABLE:
        paths.setdefault(path(settings, endpoint), {})[endpoint.method.lower()] = _operation(endpoint, known)
    basic = {"type": "http", "scheme": "basic", "description": "client_secret_basic (RFC 6749, section 2.3.1)"}
    admin = {"type": "http", "scheme": "bearer", "description": "the text of admin_token in the state directory"}
    metrics = {"type": "http", "scheme": "bearer", "description": "the text of metrics_token there"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Latchpin's reference authorization server", "version": __version__},
        "servers": [{"url": settings.origin}],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": {"basic": basic, "admin": admin, "metrics": metrics}},
    }


def path(settings: Settings, endpoint: Endpoint) -> str:
    """Below the issuer's own path; behind the well-known name RFC 8414, section 3.1 puts that path last."""
    if endpoint.path.startswith("/.well-known/"):
        return endpoint.path + settings.base_path
    return settings.base_path + endpoint.path


def _known(settings: Settings) -> dict[str, dict[str, Any]]:
    """Of fields whose values as.toml lists, what they may be."""
    scope = "|".join(sorted({re.escape(scope) for resource in settings.resources for scope in resource.scopes}))
    return {
        "resource": {"enum": [resource.uri for resource in settings.resources]},
        "scope": {"pattern": f"^({scope})( ({scope}))*$"},
    }


def _operation(endpoint: Endpoint, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    fields = {name: {**schema, **known.get(name, {})} for name, schema in endpoint.fields.items()}
    query = {name: {**schema, **known.get(name, {})} for name, schema in endpoint.query.items()}
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "security": _SECURITY[endpoint.said_by],
        "responses": {str(status): _response(status, schema) for status, schema in endpoint.answers.items()},
    }
    parameters: list[dict[str, Any]] = [{"name": name, "in": "query", "schema": schema} for name, schema in query.items()]
    if endpoint.dpop:
        about = "A proof (RFC 9449) with the nonce of the DPoP-Nonce header that every response carries."
        parameters.append({"name": "DPoP", "in": "header", "schema": {"type": "string"}, "description": about})
    if parameters:
        operation["parameters"] = parameters
    if fields:
        schema = {"type": "object", "properties": fields, "required": list(endpoint.required)}
        kind = "application/json" if endpoint.said_by == "admin" else "application/x-www-form-urlencoded"
        operation["requestBody"] = {"required": True, "content": {kind: {"schema": schema}}}
    return operation


def _response(status: int, schema: str) -> dict[str, Any]:
    response: dict[str, Any] = {"description": _WORDS.get(status, "Refused")}
    if schema:
        kind = _KINDS.get(schema, "application/json")
        response["content"] = {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return response
