"""One's account: signing in and out, the password, applications with access, and what was done.

Not for what the cookie is: sign_in.py. Not for devices: device_pages.py.
"""

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from broker_bridge import logs
from host_sim.authorization_server import ownership
from host_sim.authorization_server.accounts import AccountError, Busy, normal_name
from host_sim.authorization_server.audit import ACTIONS, audit
from host_sim.authorization_server.console import sign_in
from host_sim.authorization_server.console.for_account import sent_by_account, shown_to_account
from host_sim.authorization_server.console.page import page, sent, shown
from host_sim.authorization_server.console.refused import Refused
from host_sim.authorization_server.console.words import capitalised
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.storage import Account, Entry

SIGN_IN_TRIES = 10  # of one name, known or not,
SIGN_IN_WINDOW_S = 15 * 60  # in this time from the first on; a right password clears them
LINES = 50  # of the audit log, on one page

_NUMBER = re.compile(r"[0-9]{1,18}")
_DONE = {
    "password": "The password is changed. Other browsers that were signed in are not any more.",
    "revoked": "Access revoked.",
}


def routes(under: str) -> list[BaseRoute]:
    return [
        shown(under + "/sign-in", _ask),
        sent(under + "/sign-in", _sign_in),
        sent(under + "/sign-out", _sign_out),
        shown_to_account(under + "/activity", _activity),
        shown_to_account(under + "/account", _account),
        sent_by_account(under + "/account/password", _change_password),
        sent_by_account(under + "/account/applications/{id}/revoke", _revoke_application),
    ]


def _ask(request: Request) -> Response:
    back = request.query_params.get("next")
    if sign_in.signed_in(request) and "again" not in request.query_params:
        return sign_in.redirect(request, back)
    return _form(request, back or "")


def _form(request: Request, back: str, status: int = 200, name: str = "", error: str = "") -> Response:
    return page(request, "Sign in", "sign_in.html", status, next=back, name=name, error=error)


def _sign_in(request: Request, form: dict[str, str]) -> Response:
    services = sign_in.services_of(request)
    name, now_s = normal_name(form.get("name", "")), services.now_s()
    tried = _tried(services, name)
    services.storage.prune(now_s)
    account = _verify(services, tried, name, form.get("password", ""))
    if account is None:
        error = "The name or the password is not right. Check both and try again."
        return _form(request, form.get("next", ""), 403, form.get("name", ""), error)
    response = sign_in.redirect(request, form.get("next"))
    with services.storage.transaction() as transaction:
        transaction.forget_tries(tried)
        sign_in.start(request, response, transaction, account, now_s)
        audit(transaction, account.id, "signed_in", account.name, now_s)
    _told(services, "signed_in")
    return response


def _verify(services: Services, tried: bytes, name: str, password: str) -> Account | None:
    """Counted before any hashing is paid for, and before anything is known about the name. Raises Refused: too many, too busy."""
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        allowed = transaction.charge(tried, SIGN_IN_TRIES, now_s, now_s + SIGN_IN_WINDOW_S)
    if not allowed:
        _told(services, "limited")
        raise Refused(429, "Too many attempts for this name. Wait 15 minutes, then try again.", SIGN_IN_WINDOW_S)
    try:
        account = services.accounts.verify(name, password)
    except Busy:
        raise Refused(503, "Many people are signing in right now. Try again in a minute.", 60) from None
    if account is None:
        _told(services, "refused")
    return account


def _told(services: Services, outcome: str) -> None:
    logs.line("sign_in", outcome=outcome)
    services.metrics.outcome("sign_in", outcome)


def _sign_out(request: Request, form: dict[str, str]) -> Response:
    services, account = sign_in.services_of(request), sign_in.signed_in(request)
    response = sign_in.redirect(request, sign_in.at(request, "/sign-in"))
    if account is not None:
        with services.storage.transaction() as transaction:
            sign_in.end(request, transaction)
            audit(transaction, account.id, "signed_out", account.name, services.now_s())
    sign_in.forget_cookie(response)
    return response


def _tried(services: Services, name: str) -> bytes:
    return services.keys.keyed_hash("sign-in name", name)


def _activity(request: Request, account: Account) -> Response:
    services, before = sign_in.services_of(request), request.query_params.get("before", "")
    with services.storage.transaction() as transaction:
        newest_first = transaction.audited(account.id, int(before) if _NUMBER.fullmatch(before) else 2**62, LINES + 1)
        names = {entry.account: transaction.account(entry.account) for entry in newest_first if entry.account is not None}
    lines = [(entry, ACTIONS[entry.action], _who(account, entry, names)) for entry in newest_first[:LINES]]
    older = newest_first[LINES - 1].id if len(newest_first) > LINES else None
    return page(request, "Activity", "activity.html", lines=lines, older=older)


def _who(account: Account, entry: Entry, names: dict[str, Account | None]) -> str:
    if entry.account is None:
        return "Somebody at the device" if entry.action == "locked" else "The operator"
    named = names[entry.account]
    return "You" if entry.account == account.id else named.name if named else "A former account"


def _account(request: Request, account: Account) -> Response:
    return _account_page(request, account, done=_DONE.get(request.query_params.get("done", "")))


def _account_page(request: Request, account: Account, status: int = 200, done: str | None = None, error: str = "") -> Response:
    applications = ownership.applications(sign_in.services_of(request), account)
    return page(request, "Account", "account.html", status, applications=applications, done=done, error=error)


def _change_password(request: Request, account: Account, form: dict[str, str]) -> Response | str:
    services = sign_in.services_of(request)
    tried = _tried(services, account.name)
    if _verify(services, tried, account.name, form.get("password", "")) is None:
        return _account_page(request, account, 403, error="The present password is not right.")
    if form.get("new") != form.get("again"):
        return _account_page(request, account, 400, error="The new password is not the same twice.")
    try:
        services.accounts.change_password(account, form.get("new", ""), account.id, sign_in.this_sign_in(request))
    except AccountError as error:
        return _account_page(request, account, 400, error=capitalised(str(error)))
    with services.storage.transaction() as transaction:
        transaction.forget_tries(tried)
    return "/account?done=password"


def _revoke_application(request: Request, account: Account, form: dict[str, str]) -> str:
    ownership.revoke_application(sign_in.services_of(request), account, request.path_params["id"])
    return "/account?done=revoked"
