"""Signing in and out.

Not for what the cookie is: sign_in.py.
"""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from broker_bridge import logs
from host_sim.authorization_server.accounts import Busy, normal_name
from host_sim.authorization_server.audit import audit
from host_sim.authorization_server.console import sign_in
from host_sim.authorization_server.console.page import page, sent, shown
from host_sim.authorization_server.console.refused import Refused

SIGN_IN_TRIES = 10  # of one name, known or not,
SIGN_IN_WINDOW_S = 15 * 60  # in this time from the first on; a right password clears them


def routes(under: str) -> list[BaseRoute]:
    return [
        shown(under + "/sign-in", _ask),
        sent(under + "/sign-in", _sign_in),
        sent(under + "/sign-out", _sign_out),
    ]


def _ask(request: Request) -> Response:
    back = request.query_params.get("next")
    if sign_in.signed_in(request):
        return RedirectResponse(sign_in.local(request, back), 303)
    return _form(request, back or "")


def _form(request: Request, back: str, status: int = 200, name: str = "", error: str = "") -> Response:
    return page(request, "Sign in", "sign_in.html", status, next=back, name=name, error=error)


def _sign_in(request: Request, form: dict[str, str]) -> Response:
    services = sign_in.services_of(request)
    name, now_s = normal_name(form.get("name", "")), services.now_s()
    tried = services.keys.keyed_hash("sign-in name", name)
    services.storage.prune(now_s)
    # Counted before any hashing is paid for, and before anything is known about the name.
    with services.storage.transaction() as transaction:
        allowed = transaction.charge_sign_in(tried, SIGN_IN_TRIES, now_s, now_s + SIGN_IN_WINDOW_S)
    if not allowed:
        logs.line("sign_in", outcome="limited")
        raise Refused(429, "Too many attempts for this name. Wait 15 minutes, then try again.", SIGN_IN_WINDOW_S)
    try:
        account = services.accounts.verify(name, form.get("password", ""))
    except Busy:
        raise Refused(503, "Many people are signing in right now. Try again in a minute.", 60) from None
    if account is None:
        logs.line("sign_in", outcome="refused")
        error = "The name or the password is not right. Check both and try again."
        return _form(request, form.get("next", ""), 403, form.get("name", ""), error)
    response = RedirectResponse(sign_in.local(request, form.get("next")), 303)
    with services.storage.transaction() as transaction:
        transaction.forget_sign_in_attempts(tried)
        sign_in.start(request, response, transaction, account, now_s)
        audit(transaction, account.id, "signed_in", account.name, now_s)
    logs.line("sign_in", outcome="signed in")
    return response


def _sign_out(request: Request, form: dict[str, str]) -> Response:
    services, account = sign_in.services_of(request), sign_in.signed_in(request)
    response = RedirectResponse(sign_in.local(request, sign_in.at(request, "/sign-in")), 303)
    if account is not None:
        with services.storage.transaction() as transaction:
            sign_in.end(request, transaction)
            audit(transaction, account.id, "signed_out", account.name, services.now_s())
    sign_in.forget_cookie(response)
    return response
