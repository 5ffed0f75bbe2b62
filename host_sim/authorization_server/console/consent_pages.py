"""GET and POST /authorize: somebody signs in and lets a client in, or does not (RFC 6749, section 4.1; RFC 9126; RFC 9207).

Not for what a request may ask (authorization_request.py) nor for signing in (account_pages.py).
"""

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from authlib.oauth2.rfc6749 import AccessDeniedError, OAuth2Error
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from broker_bridge import logs
from host_sim.authorization_server import authorization_request as asking
from host_sim.authorization_server.audit import audit
from host_sim.authorization_server.clients import Client
from host_sim.authorization_server.console import sign_in
from host_sim.authorization_server.console.page import page, sent, shown
from host_sim.authorization_server.console.refused import Refused
from host_sim.authorization_server.errors import InteractionNeeded
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.storage import Account, Code

MAX_QUERY = 2048  # it comes back from signing in as part of another URL; whoever has more to say pushes it
_SINCE = "latchpin_since"  # ours, in the URL that a person comes back by: when the request came first


@dataclass(frozen=True)
class _Came:
    """A request whose client and redirect_uri are known: from here on errors go there. `since`: when it came first."""

    client: Client
    redirect_uri: str
    fields: Mapping[str, str]
    request_uri: str | None
    query: str
    since: int

    @property
    def state(self) -> dict[str, str]:
        return {"state": self.fields["state"]} if "state" in self.fields else {}


def routes(under: str) -> list[BaseRoute]:
    return [shown(under + "/authorize", _ask), sent(under + "/authorize", _decide)]


def _ask(request: Request) -> Response:
    came = _came(request, request.url.query)
    try:
        return _page(request, came)
    except OAuth2Error as error:
        return _back(request, came, {"error": error.error or "server_error"})


def _page(request: Request, came: _Came) -> Response:
    services = sign_in.services_of(request)
    asked = asking.web_request(services.settings, came.client, came.fields)
    account = sign_in.signed_in(request)
    if account is None or _too_old(request, came, asked):
        if "none" in asked.prompt:
            raise InteractionNeeded("login_required")
        back = quote(f"{request.url.path}?{_marked(services, came)}", safe="/")
        return sign_in.redirect(request, sign_in.at(request, "/sign-in") + f"?next={back}&again=1")
    with services.storage.transaction() as transaction:
        known = transaction.consented(account.id, came.client.id, asked.resource)
    # RFC 8252, section 8.6: what is remembered speaks for the client alone that can be told from others.
    certain = came.client.confidential or asked.redirect_uri.startswith("https:")
    if certain and set(asked.scope.split()) <= known and "consent" not in asked.prompt:
        return _grant(request, came, asked, account)
    if "none" in asked.prompt:
        raise InteractionNeeded("consent_required")
    return page(
        request,
        f"Let {came.client.name} in?",
        "consent.html",
        form_targets=(_origin(asked.redirect_uri),),
        client=came.client,
        asked=asked,
        known=known,
        query=_marked(services, came),
    )


def _decide(request: Request, form: dict[str, str]) -> Response:
    came = _came(request, form.get("query", ""))
    services = sign_in.services_of(request)
    try:
        asked = asking.web_request(services.settings, came.client, came.fields)
        account = sign_in.signed_in(request)
        if account is None or _too_old(request, came, asked):
            return sign_in.redirect(request, f"{request.url.path}?{_marked(services, came)}")
        if form.get("decision") != "allow":
            raise AccessDeniedError()
        return _grant(request, came, asked, account)
    except OAuth2Error as error:
        return _back(request, came, {"error": error.error or "server_error"})


def _came(request: Request, query: str) -> _Came:
    """Raises Refused: RFC 6749, section 4.1.2.1: then a person is told, and nobody is redirected."""
    services = sign_in.services_of(request)
    query, since = _unmarked(services, query)
    fields = _fields(query)
    client = services.clients.get(fields.get("client_id", ""))
    if client is None or not client.first_party:
        raise Refused(
            400, "The app that sent you here is not one that this server knows. Go back to it and tell whoever runs it."
        )
    uri = fields.get("request_uri")
    if uri is not None:
        with services.storage.transaction() as transaction:
            pushed = asking.pushed(services, transaction, client.id, uri, services.now_s())
        if pushed is None:
            raise Refused(400, "This request is over: it was decided, or it took too long. Go back to the app and begin again.")
        fields = pushed
    try:
        where = asking.redirect_uri(client, fields)
    except OAuth2Error:
        raise Refused(400, "The app wants to send you to a place that is not registered for it. Tell whoever runs it.") from None
    return _Came(client, where, fields, uri, query, since)


def _fields(query: str) -> dict[str, str]:
    try:
        if len(query) > MAX_QUERY or re.search(r"%(?![0-9A-Fa-f]{2})", query):
            raise ValueError("query")
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=32)
    except ValueError:
        pairs = [("", ""), ("", "")]
    fields = {name: value for name, value in pairs if value}
    if len({name for name, _ in pairs}) != len(pairs):
        raise Refused(400, "The address that the app sent you to is not right. Go back to it and tell whoever runs it.")
    return fields


def _too_old(request: Request, came: _Came, asked: asking.WebRequest) -> bool:
    """Whether the password must be asked for again (RFC 9470, section 5)."""
    since, now_s = sign_in.signed_in_since(request) or 0, sign_in.services_of(request).now_s()
    if "login" in asked.prompt and since < came.since:
        return True
    return asked.max_age_s is not None and since < came.since and now_s - since > asked.max_age_s


def _grant(request: Request, came: _Came, asked: asking.WebRequest, account: Account) -> Response:
    services = sign_in.services_of(request)
    code, now_s = secrets.token_urlsafe(32), services.now_s()
    with services.storage.transaction() as transaction:
        if came.request_uri is not None:
            if asking.pushed(services, transaction, came.client.id, came.request_uri, now_s) is None:
                raise AccessDeniedError()  # decided meanwhile
            asking.end_pushed(services, transaction, came.request_uri)
        scopes = asked.scope.split()
        if not set(scopes) <= transaction.consented(account.id, came.client.id, asked.resource):
            transaction.remember_consent(account.id, came.client.id, asked.resource, scopes, now_s)
            audit(transaction, account.id, "consented", came.client.id, now_s)
        transaction.add_code(
            Code(
                digest=services.keys.keyed_hash("code", code),
                session=secrets.token_hex(8),
                client_id=came.client.id,
                subject=account.id,
                device=None,
                scope=asked.scope,
                resource=asked.resource,
                jkt=asked.jkt,
                code_challenge=asked.code_challenge,
                expires=now_s + services.settings.code_ttl_s,
                redirect_uri=asked.redirect_uri,
                acr=asked.rule.acr,
                auth_time=sign_in.signed_in_since(request),
            )
        )
    return _back(request, came, {"code": code})


def _back(request: Request, came: _Came, said: dict[str, str]) -> Response:
    """To the client, with `iss` always (RFC 9207, section 2)."""
    services = sign_in.services_of(request)
    if "error" in said and came.request_uri is not None and said["error"] == "access_denied":
        with services.storage.transaction() as transaction:
            asking.end_pushed(services, transaction, came.request_uri)
    logs.line("authorize", client=came.client.id, outcome="code" if "code" in said else "refused", error=said.get("error"))
    answer = urlencode(said | came.state | {"iss": services.settings.issuer})
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return RedirectResponse(came.redirect_uri + ("&" if "?" in came.redirect_uri else "?") + answer, 303, headers)


def _origin(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def _marked(services: Services, came: _Came) -> str:
    """The query with the time at which it came first: a person who signs in for it comes back by it."""
    return f"{came.query}&{_SINCE}={came.since}.{_mark(services, came.query, str(came.since))}"


def _unmarked(services: Services, query: str) -> tuple[str, int]:
    bare, found, mark = query.rpartition(f"&{_SINCE}=")
    since, _, tag = mark.partition(".")
    if found and since.isdecimal() and hmac.compare_digest(tag.encode(), _mark(services, bare, since).encode()):
        return bare, int(since)
    return query, services.now_s()


def _mark(services: Services, query: str, since: str) -> str:
    return services.keys.keyed_hash("authorization request", query, since).hex()[:32]
