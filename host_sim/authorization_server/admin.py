"""What a person does at the AS: sees who waits, issues a PIN, unlocks. As functions, and as JSON for a bearer of the admin token.

Not for those who own devices: ownership.py.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from broker_bridge import logs
from host_sim.authorization_server import attempts, clients
from host_sim.authorization_server.accounts import normal_name
from host_sim.authorization_server.audit import audit
from host_sim.authorization_server.challenges import knowledge, otp, pairing_code, pin
from host_sim.authorization_server.responses import answer
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.settings import ClientEntry, Name
from host_sim.authorization_server.signing_keys import SigningKey
from host_sim.authorization_server.storage import Account, AddedClient, Device, Session, Transaction

# What a call must say, and may say.
_ASKED: dict[str, tuple[dict[str, type], dict[str, type]]] = {
    "pin": ({"device": str}, {"binding_word": str, "in_advance": bool}),
    "unlock": ({"device": str}, {}),
    "approve": ({"user_code": str}, {}),
    "refuse": ({"device": str}, {"binding_word": str}),
}
_DEVICE = TypeAdapter(Name)


class AdminError(Exception):
    """Cannot be done; `code` for programs, the text for people with the next step."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


def waiting(services: Services) -> list[dict[str, Any]]:
    """Who waits for a person, oldest first. `since` is epoch seconds."""
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        return [
            {
                "device": session.device,
                "binding_word": session.binding_word,
                "scope": session.scope,
                "resource": session.resource,
                "since": session.created,
                "client_id": session.client_id,
                "asking": session.asking,
                "locked": session.locked,
                "pin_issued": (pin.expires(transaction, session) or 0) > now_s,
            }
            for session in transaction.waiting(now_s)
        ]


def issue_pin(services: Services, device: str, binding_word: str | None = None) -> dict[str, Any]:
    """A PIN for the session in which `device` waits; it is unlocked by that, and an older PIN is void.

    Raises AdminError: not_waiting; ambiguous, when several sessions of that name wait and no binding word says which; limited.
    """
    with services.storage.transaction() as transaction:
        waits = [session for session in transaction.waiting(services.now_s()) if session.asking == pin.NAME]
        session = _the_one(waits, device, binding_word)
        issued = issue_pin_for(services, transaction, session, None)
    return {"device": device, "pin": issued, "expires_in": services.settings.pin_ttl_s, "binding_word": session.binding_word}


def issue_pin_for(services: Services, transaction: Transaction, session: Session, account: str | None) -> str:
    """A PIN for this session, good for `pin_ttl_s`. account: who issues it. Raises AdminError: limited."""
    now_s, ttl_s = services.now_s(), services.settings.pin_ttl_s
    _refuse_limited(services, transaction, session.device, now_s)
    if session.locked:
        transaction.unlock(session.device, now_s)
    issued = pin.issue(transaction, services.keys, session.id, session.device, now_s + ttl_s, account)
    # Whoever types it too late shall hear "expired", so the session outlives its PIN.
    transaction.prolong(session.id, now_s + ttl_s + services.settings.session_ttl_s)
    audit(transaction, account, "pin_issued", session.device, now_s)
    logs.line("pin_issued", client=session.client_id, device=session.device, session=session.id)
    return issued


def issue_pin_in_advance(services: Services, device: str, account: str | None = None) -> dict[str, Any]:
    """A PIN for whoever installs `device`, before it asks: only a client that vouches for this device can use it, and once.

    account: who issues it; only the owner may for a device that has one. Raises AdminError: unknown_device; owned; limited.
    """
    try:
        _DEVICE.validate_python(device)
    except ValidationError:
        raise AdminError(400, "invalid_request", "a device id is 1 to 64 letters, digits, dots, hyphens or underscores") from None
    if services.settings.devices is not None and device not in services.settings.devices:
        raise AdminError(404, "unknown_device", "no device of that id is on the list: add it to `devices` in as.toml")
    now_s, ttl_s = services.now_s(), services.settings.pin_in_advance_ttl_s
    with services.storage.transaction() as transaction:
        known = transaction.device(device)
        if account is not None and known is not None and known.owner not in (None, account):
            raise AdminError(409, "owned", "this device belongs to somebody else: its owner unpairs it first")
        _refuse_limited(services, transaction, device, now_s)
        transaction.unlock(device, now_s)
        issued = pin.issue(transaction, services.keys, pin.in_advance(device), device, now_s + ttl_s, account)
        audit(transaction, account, "pin_issued", device, now_s)
    logs.line("pin_issued", device=device, in_advance=True)
    return {"device": device, "pin": issued, "expires_in": ttl_s, "binding_word": None}


def approve(services: Services, user_code: str) -> dict[str, Any]:
    """The device that shows this code passes when it looks next. Raises AdminError: not_waiting."""
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        session = pairing_code.find(transaction, services.keys, user_code, now_s)
        if session is None or session.refused:
            raise AdminError(404, "not_waiting", "no device shows this code now: look at its display again")
        if session.locked:
            transaction.unlock(session.device, now_s)
        pairing_code.approve(transaction, session, None)
        audit(transaction, None, "approved", session.device, now_s)
    logs.line("approved", client=session.client_id, device=session.device, session=session.id)
    return {"device": session.device, "binding_word": session.binding_word}


def refuse(services: Services, device: str, binding_word: str | None = None) -> dict[str, Any]:
    """The device is told that a person said no. Raises AdminError: not_waiting; ambiguous."""
    with services.storage.transaction() as transaction:
        session = _the_one(transaction.waiting(services.now_s()), device, binding_word)
        transaction.refuse(session.id)
        audit(transaction, None, "refused", session.device, services.now_s())
    logs.line("refused", client=session.client_id, device=session.device, session=session.id)
    return {"device": device, "refused": True}


def enrol_otp(services: Services, name: str) -> str:
    """The otpauth URI that the person's authenticator takes, this once. Raises AdminError: unknown_account."""
    with services.storage.transaction() as transaction:
        account = _account(transaction, name)
        audit(transaction, account.id, "authenticator_set", account.name, services.now_s())
        return otp.enrol(transaction, services.keys, account, urlsplit(services.settings.issuer).netloc)


def enrol_knowledge(services: Services, name: str, answers: Mapping[str, str]) -> None:
    """What the person will be asked for, by the names in as.toml. Raises AdminError: unknown_account; invalid_request."""
    with services.storage.transaction() as transaction:
        account = _account(transaction, name)
        if not knowledge.enrol(transaction, services.keys, services.settings, account, answers):
            raise AdminError(400, "invalid_request", "an answer is empty or too long: nothing was kept, answer all of them again")
        audit(transaction, account.id, "knowledge_set", account.name, services.now_s())


def unlock_account(services: Services, name: str) -> None:
    """Its failures count from zero again. Raises AdminError: unknown_account; not_locked."""
    with services.storage.transaction() as transaction:
        account = _account(transaction, name)
        if not attempts.forget(transaction, services.keys, account=account.id):
            raise AdminError(404, "not_locked", "there were no wrong answers for this account")
        audit(transaction, None, "unlocked", account.name, services.now_s())
    logs.line("unlocked", account=account.id)


def unlock(services: Services, device: str, account: str | None = None) -> dict[str, Any]:
    """The device may answer again; what PIN it had is void all the same. Raises AdminError: not_locked."""
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        failures = attempts.forget(transaction, services.keys, device=device)
        if not transaction.unlock(device, now_s) and not failures:
            raise AdminError(404, "not_locked", "no device of that id is locked: look at the list of devices")
        audit(transaction, account, "unlocked", device, now_s)
    logs.line("unlocked", device=device)
    return {"device": device, "unlocked": True}


def devices(services: Services) -> list[Device]:
    """Every device that an authenticated client ever asked for."""
    with services.storage.transaction() as transaction:
        return transaction.devices()


def add_client(services: Services, entry: ClientEntry, with_secret: bool, resource: str | None) -> str | None:
    """Puts a client on the list; its secret, if it has one. A resource server has one always. Raises AdminError."""
    if resource is not None and resource not in {known.uri for known in services.settings.resources}:
        raise AdminError(404, "unknown_resource", "no such resource in as.toml: add it there first, then its server here")
    secret = secrets.token_urlsafe(32) if with_secret or resource is not None else None
    with services.storage.transaction() as transaction:
        added = AddedClient(
            id=entry.id,
            name=entry.name,
            secret=None if secret is None else clients.digest(secret),
            redirect_uris=" ".join(entry.redirect_uris),
            dpop_bound_access_tokens=entry.dpop_bound_access_tokens,
            resource=resource,
            created=services.now_s(),
        )
        if entry.id in {known.id for known in services.settings.clients} or not transaction.add_client(added):
            raise AdminError(409, "taken", "a client of this id is on the list already: choose another id")
        audit(transaction, None, "client_added", entry.id, services.now_s())
    logs.line("client_added", client=entry.id)
    return secret


def rotate_key(services: Services, after_s: int) -> SigningKey:
    """A new signing key, published at once, which signs in `after_s` seconds. Raises AdminError: one waits already."""
    with services.storage.transaction():  # no two processes at once
        new = services.keys.signing_keys.rotate(services.now_s(), after_s)
    if new is None:
        raise AdminError(409, "pending", "the next key is published already and has not begun to sign: wait for it")
    logs.line("key_rotated", kid=new.kid)
    return new


def _account(transaction: Transaction, name: str) -> Account:
    account = transaction.account_by_name(normal_name(name))
    if account is None:
        raise AdminError(404, "unknown_account", "no account of that name: `latchpin as user add` makes one")
    return account


def _the_one(sessions: list[Session], device: str, binding_word: str | None) -> Session:
    found = [session for session in sessions if session.device == device]
    if binding_word is not None:
        found = [session for session in found if session.binding_word == binding_word]
    if not found:
        raise AdminError(404, "not_waiting", "no device of that id and binding word waits: let it ask first, then issue the PIN")
    if len(found) > 1:
        raise AdminError(409, "ambiguous", "several sessions of that id wait: name the binding word that the device shows")
    return found[0]


def _refuse_limited(services: Services, transaction: Transaction, device: str, now_s: int) -> None:
    if attempts.is_limited(transaction, services.keys, device, now_s):
        raise AdminError(409, "limited", "too many wrong answers for this device: see who types there, then unlock it")


class AdminEndpoint:
    """GET /admin/waiting and devices; POST /admin/pin, unlock, approve and refuse."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def answer(self, name: str, authorization: str | None, body: bytes) -> Response:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not self._services.keys.is_admin_token(token.strip()):
            logs.line("admin", outcome="refused", status=401)
            response = answer(
                401, {"error": "invalid_token", "error_description": "Send the admin token of the state directory."}
            )
            response.headers["WWW-Authenticate"] = 'Bearer realm="latchpin admin"'
            return response
        try:
            return answer(200, self._do(name, body))
        except AdminError as error:
            return answer(error.status, {"error": error.code, "error_description": str(error)})

    def _do(self, name: str, body: bytes) -> Any:
        if name == "waiting":
            return waiting(self._services)
        if name == "devices":
            return [device._asdict() for device in devices(self._services)]
        asked = _fields(name, body)
        if name == "pin" and asked.get("in_advance"):
            return issue_pin_in_advance(self._services, asked["device"])
        if name == "pin":
            return issue_pin(self._services, asked["device"], asked.get("binding_word"))
        if name == "approve":
            return approve(self._services, asked["user_code"])
        if name == "refuse":
            return refuse(self._services, asked["device"], asked.get("binding_word"))
        return unlock(self._services, asked["device"])


def _fields(name: str, body: bytes) -> dict[str, Any]:
    must, may = _ASKED[name]
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict) or not must.keys() <= asked.keys() <= must.keys() | may.keys():
        raise AdminError(
            400,
            "invalid_request",
            f"send a JSON object with {' and '.join(must)}" + "".join(f", {one} if need be" for one in may),
        )
    if not all(isinstance(value, (must | may)[one]) for one, value in asked.items()):
        raise AdminError(400, "invalid_request", "in_advance is true or false; everything else is a text")
    return asked
