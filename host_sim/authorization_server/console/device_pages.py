"""Devices: those that wait for a person, and those that one owns.

Not for deeds: ownership.py.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from host_sim.authorization_server.console.page import page, shown
from host_sim.authorization_server.console.sign_in import require_account


def routes(under: str) -> list[BaseRoute]:
    return [shown(under + "/", _overview)]


def _overview(request: Request) -> Response:
    account = require_account(request)
    if isinstance(account, Response):
        return account
    return page(request, "Devices", "devices.html")
