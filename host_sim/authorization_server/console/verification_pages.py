"""/device: a person enters the code that a device shows, compares, and lets it in or does not (RFC 8628, section 3.3).

Not for the device's half of it: device_grant.py.
"""

from authlib.oauth2.rfc6749 import AccessDeniedError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from broker_bridge import logs
from host_sim.authorization_server import device_grant, ownership, user_codes
from host_sim.authorization_server.audit import audit
from host_sim.authorization_server.console import sign_in
from host_sim.authorization_server.console.page import page, sent, shown
from host_sim.authorization_server.console.refused import Refused
from host_sim.authorization_server.storage import Account, DeviceGrant, Transaction

_TOO_MANY = "Too many codes were entered that no device shows. Try again tomorrow, and ask where the codes come from."
_NO_DEVICE = "No device shows this code now. Compare letter by letter; if the device shows another one by now, take that."


def routes(under: str) -> list[BaseRoute]:
    return [shown(under + "/device", _ask), sent(under + "/device", _decide)]


def _ask(request: Request) -> Response:
    account = sign_in.require_account(request)
    if isinstance(account, Response):
        return account
    # RFC 8628, section 3.3.1: a code that came in a URL is compared all the same, for a stranger may have sent it.
    typed = request.query_params.get("user_code", "")[:32]
    return page(request, "Connect a device", "device_code.html", typed=user_codes.normal(typed) if typed else "", error="")


def _decide(request: Request, form: dict[str, str]) -> Response:
    account = sign_in.require_account(request)
    if isinstance(account, Response):
        return account
    services, typed = sign_in.services_of(request), form.get("user_code", "")[:32]
    now_s, entered = services.now_s(), services.keys.keyed_hash("failures", "user code", account.id)
    with services.storage.transaction() as transaction:
        # RFC 8628, section 5.1: counted before anything is looked up.
        allowed = transaction.charge_subject(entered, True, now_s)
        grant = device_grant.find(transaction, services.keys, typed, now_s) if allowed else None
        if grant is not None:
            transaction.give_back_subject(entered)
            transaction.end_failures_in_a_row(entered)
            if "decision" in form:
                return _decided(request, transaction, account, grant, form["decision"] == "allow")
    if not allowed:
        logs.line("user_code", outcome="limited")
        raise Refused(429, _TOO_MANY, 86400)
    if grant is None:
        logs.line("user_code", outcome="unknown")
        return page(request, "Connect a device", "device_code.html", 404, typed=typed, error=_NO_DEVICE)
    client = services.clients.get(grant.client_id)
    name = client.name if client else grant.client_id
    return page(request, "Is this your device?", "device_compare.html", code=user_codes.normal(typed), grant=grant, client=name)


def _decided(request: Request, transaction: Transaction, account: Account, grant: DeviceGrant, allow: bool) -> Response:
    now_s = sign_in.services_of(request).now_s()
    if allow and grant.asserted:
        try:
            ownership.take(transaction, grant.device, account.id, now_s)
        except AccessDeniedError as error:
            raise Refused(403, error.description) from None
    transaction.decide_device_grant(grant.digest, allow, account.id, sign_in.signed_in_since(request) or now_s)
    audit(transaction, account.id, "approved" if allow else "refused", grant.device, now_s)
    logs.line("user_code", client=grant.client_id, device=grant.device, outcome="approved" if allow else "refused")
    return page(request, "Done" if allow else "Refused", "device_done.html", allowed=allow)
