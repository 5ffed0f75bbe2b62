"""Devices: those that wait for a person, and those that one owns.

Not for deeds: ownership.py.
"""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from host_sim.authorization_server import admin, ownership
from host_sim.authorization_server.console.for_account import sent_by_account, shown_to_account
from host_sim.authorization_server.console.page import page
from host_sim.authorization_server.console.sign_in import services_of
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.storage import Account

# What the page after a deed says: /?done=NAME
_DONE = {
    "described": "Saved.",
    "refused": "Refused. Whoever asked is told that a person said no.",
    "revoked": "Access revoked. The device holds nothing any more and must ask you again.",
    "unpaired": "Unpaired. The device is nobody's: the next PIN that it takes makes it its issuer's.",
    "unlocked": "Unlocked. The device may be answered at again.",
    "offered": "Offered. If there is an account of that name, it sees the offer now and has seven days to take it.",
    "withdrawn": "The offer is withdrawn.",
    "taken": "The device is yours. Let it ask, then issue a PIN for it.",
    "declined": "Declined. The device stays where it was.",
}

Deed = Callable[[Services, Account, str], None]


def routes(under: str) -> list[Route]:
    return [
        shown_to_account(under + "/", _overview),
        shown_to_account(under + "/waiting/{id}", _waiting),
        shown_to_account(under + "/devices/{id}", _device),
        sent_by_account(under + "/waiting/{id}/pin", _issue_pin),
        sent_by_account(under + "/waiting/{id}/approve", _approve),
        sent_by_account(under + "/waiting/{id}/refuse", _to_list(ownership.refuse, "refused")),
        sent_by_account(under + "/installer", _issue_pin_in_advance),
        sent_by_account(under + "/devices/{id}/describe", _describe),
        sent_by_account(under + "/devices/{id}/revoke", _to_device(ownership.revoke, "revoked")),
        sent_by_account(under + "/devices/{id}/unlock", _to_device(ownership.unlock, "unlocked")),
        sent_by_account(under + "/devices/{id}/unpair", _to_list(ownership.unpair, "unpaired")),
        sent_by_account(under + "/devices/{id}/offer", _offer),
        sent_by_account(under + "/devices/{id}/withdraw", _to_device(ownership.withdraw, "withdrawn")),
        sent_by_account(under + "/offers/{id}/take", _to_list(ownership.take_over, "taken")),
        sent_by_account(under + "/offers/{id}/decline", _to_list(ownership.decline, "declined")),
    ]


# Pages


def _overview(request: Request, account: Account) -> Response:
    services = services_of(request)
    return page(
        request,
        "Devices",
        "devices.html",
        waiting=ownership.waiting(services, account),
        offers=ownership.offers(services, account),
        owned=ownership.owned(services, account),
        done=_DONE.get(request.query_params.get("done", "")),
    )


def _waiting(request: Request, account: Account) -> Response:
    state, waiting = ownership.outcome(services_of(request), account, request.path_params["id"])
    return page(request, "Waiting device", "waiting.html", state=state, waiting=waiting)


def _device(request: Request, account: Account) -> Response:
    services = services_of(request)
    owned = ownership.one(services, account, request.path_params["id"])
    return page(
        request,
        owned.device.name or owned.device.device,
        "device.html",
        owned=owned,
        token_ttl_s=services.settings.access_token_ttl_s,
        done=_DONE.get(request.query_params.get("done", "")),
    )


# Deeds


def _issue_pin(request: Request, account: Account, form: dict[str, str]) -> Response:
    services = services_of(request)
    issued, session = ownership.issue_pin(services, account, request.path_params["id"])
    return page(
        request,
        "PIN",
        "pin.html",
        pin=issued,
        ttl_s=services.settings.pin_ttl_s,
        device=session.device,
        binding_word=session.binding_word,
        waiting=session.id,
    )


def _approve(request: Request, account: Account, form: dict[str, str]) -> str:
    session = request.path_params["id"]
    ownership.approve(services_of(request), account, session, form.get("code", ""))
    return f"/waiting/{session}"


def _issue_pin_in_advance(request: Request, account: Account, form: dict[str, str]) -> Response:
    issued = admin.issue_pin_in_advance(services_of(request), form.get("device", "").strip(), account.id)
    return page(
        request,
        "PIN",
        "pin.html",
        pin=issued["pin"],
        ttl_s=issued["expires_in"],
        device=issued["device"],
        binding_word=None,
        waiting=None,
    )


def _describe(request: Request, account: Account, form: dict[str, str]) -> str:
    device = request.path_params["id"]
    ownership.describe(services_of(request), account, device, form.get("name", ""), form.get("place", ""))
    return f"/devices/{device}?done=described"


def _offer(request: Request, account: Account, form: dict[str, str]) -> str:
    device = request.path_params["id"]
    ownership.offer(services_of(request), account, device, form.get("account", ""))
    return f"/devices/{device}?done=offered"


def _to_list(deed: Deed, said: str) -> Callable[..., str]:
    def do(request: Request, account: Account, form: dict[str, str]) -> str:
        deed(services_of(request), account, request.path_params["id"])
        return f"/?done={said}"

    return do


def _to_device(deed: Deed, said: str) -> Callable[..., str]:
    def do(request: Request, account: Account, form: dict[str, str]) -> str:
        deed(services_of(request), account, request.path_params["id"])
        return f"/devices/{request.path_params['id']}?done={said}"

    return do
