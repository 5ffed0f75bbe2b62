"""The routes of the AS: which URL belongs to which room, and what every response carries.

Not for what the rooms decide.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from authlib.oauth2.rfc6749 import OAuth2Error
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker_bridge import logs
from host_sim.authorization_server import forms, metadata, metrics, openapi
from host_sim.authorization_server.admin import AdminEndpoint
from host_sim.authorization_server.challenge_endpoint import ChallengeEndpoint
from host_sim.authorization_server.console import account_pages, consent_pages, device_pages, verification_pages
from host_sim.authorization_server.console.page import on_refused, refused_page, static_files
from host_sim.authorization_server.console.refused import Refused
from host_sim.authorization_server.device_grant import DeviceAuthorization
from host_sim.authorization_server.endpoints import TABLE, Endpoint
from host_sim.authorization_server.forms import Posted
from host_sim.authorization_server.introspection import Introspection
from host_sim.authorization_server.oauth_core import Core
from host_sim.authorization_server.pushed_requests import PushedRequests
from host_sim.authorization_server.responses import answer, refusal
from host_sim.authorization_server.revocation import Revocation
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.token_endpoint import TokenEndpoint


class FormEndpoint(Protocol):
    def answer(self, posted: Posted) -> Response: ...


def build(services: Services) -> ASGIApp:
    """The whole AS as one ASGI application."""
    settings = services.settings
    under = settings.base_path
    handlers = [(openapi.path(settings, endpoint), endpoint.method, handler) for endpoint, handler in _handlers(services)]
    routes: list[BaseRoute] = [
        *(Route(path, handler, methods=[method]) for path, method, handler in handlers),
        *account_pages.routes(under),
        *device_pages.routes(under),
        *consent_pages.routes(under),
        *verification_pages.routes(under),
        static_files(under),
    ]
    on_errors = {OAuth2Error: _refused, Refused: on_refused, HTTPException: _http_error, Exception: _failed}
    app = Starlette(routes=routes, exception_handlers=on_errors)  # type: ignore[arg-type]
    app.state.services = services
    posts = {path: handler for path, _, handler in handlers if isinstance(handler, _Form)}
    return _EveryResponse(app, posts, services, {_first_step(under, route.path) for route in routes if isinstance(route, Route)})


class _Form:
    """What answers a form: an ASGI application by itself, for Starlette's way to it costs more than reading it."""

    def __init__(self, services: Services, endpoint: FormEndpoint, proofs_for: str | None) -> None:
        self._storage = services.storage
        self._endpoint = endpoint
        self._proofs_for = proofs_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            posted = await forms.read(request, self._proofs_for)
            response = await self._storage.together(lambda: self._endpoint.answer(posted))
        except OAuth2Error as error:
            response = await _refused(request, error)
        except Exception as failure:
            await (await _failed(request, failure))(scope, receive, send)
            raise
        await response(scope, receive, send)


Handler = Callable[[Request], Response] | Callable[[Request], Awaitable[Response]] | _Form


def _handlers(services: Services) -> Iterator[tuple[Endpoint, Handler]]:
    """Each endpoint of the table that is no page, with what answers it."""
    core, admin = Core(services), AdminEndpoint(services)
    challenge = ChallengeEndpoint(services)
    posts: dict[str, FormEndpoint] = {
        "challenge": challenge,
        "token": TokenEndpoint(core, challenge),
        "par": PushedRequests(services),
        "device_authorization": DeviceAuthorization(services),
        "introspect": Introspection(services),
        "revoke": Revocation(core),
    }
    others: dict[str, Handler] = {
        "metadata": _document(metadata.document(services.settings)),
        "jwks": lambda request: answer(200, services.keys.signing_keys.published(services.now_s())),
        "openapi": _document(openapi.document(services.settings)),
        "livez": lambda request: answer(200, {"status": "alive"}),
        "readyz": _readyz(services),
        "metrics": metrics.endpoint,
    }
    for endpoint in TABLE:
        if endpoint.name in posts:
            url = services.settings.endpoint(endpoint.name) if endpoint.dpop else None
            yield endpoint, _Form(services, posts[endpoint.name], url)
        elif endpoint.said_by == "admin":
            yield endpoint, _admin(endpoint.name, admin)
        elif endpoint.metadata != "authorization_endpoint":
            yield endpoint, others[endpoint.name]


def _admin(name: str, endpoint: AdminEndpoint) -> Handler:
    async def handle(request: Request) -> Response:
        body = await forms.read_body(request)
        return await run_in_threadpool(endpoint.answer, name, request.headers.get("authorization"), body)

    return handle


def _document(content: dict) -> Handler:
    return lambda request: answer(200, content)


def _readyz(services: Services) -> Callable[[Request], Response]:
    def handle(request: Request) -> Response:
        with services.storage.transaction():
            return answer(200, {"status": "ready"})

    return handle


async def _refused(request: Request, error: OAuth2Error) -> Response:
    logs.line("request", outcome="refused", error=error.error)
    return refusal(error)


async def _http_error(request: Request, error: HTTPException) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return await run_in_threadpool(refused_page, request, Refused(error.status_code, "There is no such page here."))
    response = answer(
        error.status_code, {"error": "invalid_request", "error_description": "No such endpoint, or no such method."}
    )
    response.headers.update(error.headers or {})
    return response


async def _failed(request: Request, failure: Exception) -> Response:
    return answer(500, {"error": "server_error", "error_description": "The server failed; its log says where."})


def _first_step(under: str, path: str) -> str:
    return path.removeprefix(under).strip("/").partition("/")[0] or "index"


class _EveryResponse:
    """A fresh DPoP-Nonce on every response (RFC 9449, section 8.2), what it took, and a line in the log for a failure."""

    def __init__(self, app: ASGIApp, posts: dict[str, _Form], services: Services, endpoints: set[str]) -> None:
        self._app = app
        self._posts = posts
        self._services = services
        self._under = services.settings.base_path
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        began_s = time.perf_counter()
        services = self._services
        asked = _first_step(self._under, scope["path"])
        app = self._posts.get(scope["path"], self._app) if scope["method"] == "POST" else self._app

        async def send_with_nonce(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"dpop-nonce", services.nonces.issue(services.now_s()).encode()))
                known = asked if asked in self._endpoints else "unknown"
                services.metrics.answered(known, message["status"], time.perf_counter() - began_s)
            await send(message)

        try:
            await app(scope, receive, send_with_nonce)
        except Exception as failure:  # answered by _failed already; raised again, by Starlette or by _Form
            logs.line("failure", logging.ERROR, failure, status=500)
