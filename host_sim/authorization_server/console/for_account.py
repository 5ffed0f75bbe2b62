"""Routes for whoever is signed in; anybody else is asked to sign in first.

Not for what is shown or done there.
"""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from host_sim.authorization_server.admin import AdminError
from host_sim.authorization_server.console.page import sent, shown
from host_sim.authorization_server.console.refused import Refused
from host_sim.authorization_server.console.sign_in import at, redirect, require_account
from host_sim.authorization_server.console.words import capitalised
from host_sim.authorization_server.storage import Account


def shown_to_account(path: str, handler: Callable[[Request, Account], Response]) -> Route:
    """A page that is asked for by GET."""
    return shown(path, lambda request: _as_account(request, handler))


def sent_by_account(path: str, handler: Callable[[Request, Account, dict[str, str]], Response | str]) -> Route:
    """What a form sends by POST. `handler` gives a page, or the path to go on to."""

    def do(request: Request, form: dict[str, str]) -> Response:
        came_of_it = _as_account(request, handler, form)
        return came_of_it if isinstance(came_of_it, Response) else redirect(request, at(request, came_of_it))

    return sent(path, do)


def _as_account(request: Request, handler: Callable[..., Any], *form: dict[str, str]) -> Any:
    account = require_account(request)
    if isinstance(account, Response):
        return account
    try:
        return handler(request, account, *form)
    except AdminError as error:
        raise Refused(error.status, capitalised(str(error))) from None
