"""A page: one base template, one stylesheet, and headers that let nothing else in.

Not for what a page says: that is its template and whoever renders it.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from authlib.oauth2.rfc6749 import OAuth2Error
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from host_sim.authorization_server import forms
from host_sim.authorization_server.console import sign_in, words
from host_sim.authorization_server.console.refused import Refused

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_STATIC = {path.name: path.read_bytes() for path in sorted((Path(__file__).parent / "static").iterdir())}
_VERSION = hashlib.sha256(b"".join(_STATIC.values())).hexdigest()[:12]

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*:(//[A-Za-z0-9.:\[\]-]+)?")  # CSP Level 3, section 2.3.1: a scheme or a host

_templates = Environment(
    loader=PackageLoader("host_sim.authorization_server.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


_templates.filters |= {name: getattr(words, name) for name in ("moment", "ago", "span", "count", "threes")}


def page(
    request: Request, title: str, template: str, status: int = 200, form_targets: Sequence[str] = (), **context: Any
) -> HTMLResponse:
    """`template` of templates/ as a response.

    Every template knows `title`, `account` (or None), `csrf` (the hidden field of a form), `at("/path")`, `static("file")`,
    `path`, `now_s` and the filters of words.py.
    form_targets: origins beside our own to which a form of this page may lead, such as that of a client's redirect_uri.
    """
    text = _templates.get_template(template).render(
        title=title,
        account=sign_in.signed_in(request),
        csrf=sign_in.csrf_field(request),
        at=lambda path: sign_in.at(request, path),
        static=lambda name: sign_in.at(request, f"/static/{name}?v={_VERSION}"),
        path=request.url.path,
        now_s=sign_in.services_of(request).now_s(),
        **context,
    )
    response = HTMLResponse(text, status, _headers(request, form_targets))
    sign_in.keep_cookie(request, response)
    return response


def refused_page(request: Request, refused: Refused) -> HTMLResponse:
    """The page of a refusal."""
    response = page(request, "That did not work", "refused.html", refused.status, text=refused.text)
    if refused.retry_after_s is not None:
        response.headers["Retry-After"] = str(refused.retry_after_s)
    return response


def shown(path: str, handler: Callable[[Request], Response]) -> Route:
    """A page that is asked for by GET."""
    return Route(path, handler, methods=["GET"])


def sent(path: str, handler: Callable[[Request, dict[str, str]], Response]) -> Route:
    """What a form of ours sends by POST: its fields, once its CSRF field was found right."""

    async def handle(request: Request) -> Response:
        try:
            posted = await forms.read(request)
        except OAuth2Error as error:
            raise Refused(error.status_code, "This form cannot be read. Go back, load the page again, then send it.") from None
        sign_in.check_csrf(request, posted.fields)
        return await run_in_threadpool(handler, request, posted.fields)

    return Route(path, handle, methods=["POST"])


def static_files(under: str) -> Route:
    """The stylesheet, the script and the icon. Their URLs change with them, so a browser keeps them."""

    def handle(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            return Response(status_code=404)
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
        return Response(_STATIC[name], 200, headers, _TYPES[Path(name).suffix])

    return Route(under + "/static/{name}", handle, methods=["GET"])


async def on_refused(request: Request, refused: Exception) -> Response:
    """Starlette's handler for Refused."""
    assert isinstance(refused, Refused)
    return await run_in_threadpool(refused_page, request, refused)


def _headers(request: Request, form_targets: Sequence[str]) -> dict[str, str]:
    assert all(_ORIGIN.fullmatch(target) for target in form_targets)
    settings = sign_in.services_of(request).settings
    policy = (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        " ".join(("form-action 'self'", *form_targets)),
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
    headers = {
        "Content-Security-Policy": "; ".join(policy),
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cache-Control": "no-store",
    }
    if not settings.on_loopback:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers
