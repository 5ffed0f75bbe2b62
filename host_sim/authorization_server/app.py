"""The routes of the AS: which URL belongs to which room, and what every response carries.

Not for what the rooms decide.
"""

import logging
from collections.abc import Callable
from html import escape
from typing import Protocol

from authlib.oauth2.rfc6749 import OAuth2Error
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker_bridge import logs
from host_sim.authorization_server import forms, metadata
from host_sim.authorization_server.admin import AdminEndpoint
from host_sim.authorization_server.challenge_endpoint import ChallengeEndpoint
from host_sim.authorization_server.console import account_pages, device_pages
from host_sim.authorization_server.console.page import on_refused, static_files
from host_sim.authorization_server.console.refused import Refused
from host_sim.authorization_server.forms import Posted
from host_sim.authorization_server.oauth_core import Core
from host_sim.authorization_server.responses import answer, refusal
from host_sim.authorization_server.revocation import Revocation
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.token_endpoint import TokenEndpoint


class FormEndpoint(Protocol):
    def answer(self, posted: Posted) -> JSONResponse: ...


def build(services: Services) -> ASGIApp:
    """The whole AS as one ASGI application."""
    settings = services.settings
    core = Core(services)
    admin = AdminEndpoint(services)
    under = settings.base_path
    routes = [
        _document(metadata.path(settings), metadata.document(settings)),
        Route(under + "/jwks.json", _jwks(services), methods=["GET"]),
        Route(under + "/authorize", _no_web_login, methods=["GET", "POST"]),
        _form(services, under + "/challenge", ChallengeEndpoint(services)),
        _form(services, under + "/token", TokenEndpoint(core)),
        _form(services, under + "/revoke", Revocation(core)),
        _admin(under, "waiting", admin, "GET"),
        _admin(under, "devices", admin, "GET"),
        _admin(under, "pin", admin, "POST"),
        _admin(under, "unlock", admin, "POST"),
        _admin(under, "approve", admin, "POST"),
        _admin(under, "refuse", admin, "POST"),
        *account_pages.routes(under),
        *device_pages.routes(under),
        static_files(under),
        Route(under + "/livez", lambda request: answer(200, {"status": "alive"})),
        Route(under + "/readyz", _readyz(services)),
    ]
    handlers = {OAuth2Error: _refused, Refused: on_refused, HTTPException: _http_error, Exception: _failed}
    app = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]
    app.state.services = services
    return _EveryResponse(app, services)


def _form(services: Services, path: str, endpoint: FormEndpoint) -> Route:
    async def handle(request: Request) -> Response:
        posted = await forms.read(request)
        return await services.storage.together(lambda: endpoint.answer(posted))

    return Route(path, handle, methods=["POST"])


def _admin(under: str, name: str, endpoint: AdminEndpoint, method: str) -> Route:
    async def handle(request: Request) -> Response:
        body = await forms.read_body(request)
        return await run_in_threadpool(endpoint.answer, name, request.headers.get("authorization"), body)

    return Route(f"{under}/admin/{name}", handle, methods=[method])


def _document(path: str, content: dict) -> Route:
    return Route(path, lambda request: answer(200, content), methods=["GET"])


def _jwks(services: Services) -> Callable[[Request], Response]:
    return lambda request: answer(200, services.keys.signing_keys.published(services.now_s()))


def _readyz(services: Services) -> Callable[[Request], Response]:
    def handle(request: Request) -> Response:
        with services.storage.transaction():
            return answer(200, {"status": "ready"})

    return handle


def _no_web_login(request: Request) -> Response:
    # RFC 6749, section 4.1.2.1: without a registered redirect_uri the person is told, and nobody is redirected.
    text = (
        "This authorization server has no login page in this version. It serves devices through its authorization challenge "
        "endpoint; ask the device to connect, and it will ask you for a PIN."
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>No login page here</title><h1>No login page here</h1><p>{escape(text)}</p><p>Error code: "
        "<code>unsupported_response_type</code></p></html>"
    )
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff"}
    return HTMLResponse(page, 400, headers)


async def _refused(request: Request, error: OAuth2Error) -> Response:
    logs.line("request", outcome="refused", error=error.error)
    return refusal(error)


async def _http_error(request: Request, error: HTTPException) -> Response:
    response = answer(
        error.status_code, {"error": "invalid_request", "error_description": "No such endpoint, or no such method."}
    )
    response.headers.update(error.headers or {})
    return response


async def _failed(request: Request, failure: Exception) -> Response:
    return answer(500, {"error": "server_error", "error_description": "The server failed; its log says where."})


class _EveryResponse:
    """A fresh DPoP-Nonce on every response (RFC 9449, section 8.2), and a line in the log for a failure."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_nonce(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["DPoP-Nonce"] = self._services.nonces.issue(self._services.now_s())
            await send(message)

        try:
            await self._app(scope, receive, send_with_nonce)
        except Exception as failure:  # answered by _failed already; Starlette raises it again
            logs.line("failure", logging.ERROR, failure, status=500)
