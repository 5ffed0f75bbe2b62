"""What an authorization request asks for (RFC 6749, 7636, 8707, 9126, 9470), whichever way it comes.

Not for who asks (clients.py) nor for what it takes to be let in (policy.py).
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import AccessDeniedError, InvalidRequestError, InvalidScopeError

from host_sim.authorization_server import policy
from host_sim.authorization_server.clients import Client
from host_sim.authorization_server.dpop import Proof
from host_sim.authorization_server.errors import (
    InvalidDpopProof,
    InvalidTarget,
    RequestNotSupported,
    TryLater,
    UnsupportedResponseType,
)
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.settings import PolicyRule, Settings
from host_sim.authorization_server.storage import PushedRequest, Transaction

URN = "urn:ietf:params:oauth:request_uri:"
PUSHED_TTL_S = 600  # a person may have to sign in first
MAX_PUSHED = 1000  # of one client
_CODE_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_MAX_AGE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class WebRequest:
    """One that a person at a browser is to decide. `jkt`: the key that the code is bound to (RFC 9449, section 10)."""

    client: Client
    redirect_uri: str
    resource: str
    scope: str
    code_challenge: str
    rule: PolicyRule
    max_age_s: int | None
    prompt: frozenset[str]
    jkt: str | None


def check_response_type(fields: Mapping[str, str]) -> None:
    if fields["response_type"] != "code":
        raise UnsupportedResponseType()


def target(settings: Settings, fields: Mapping[str, str]) -> tuple[str, str]:
    """(resource, scope), both known and fitting each other (RFC 8707, section 2; RFC 6749, section 3.3)."""
    resources = {entry.uri: entry.scopes for entry in settings.resources}
    resource = fields.get("resource", next(iter(resources)) if len(resources) == 1 else "")
    if resource not in resources:
        raise InvalidTarget("The resource is missing or unknown.")
    asked = sorted(set(fields.get("scope", "").split(" ")) - {""})
    if not asked or not set(asked) <= set(resources[resource]):
        raise InvalidScopeError("The scope is missing or not one of this resource.")
    return resource, " ".join(asked)


def code_challenge(fields: Mapping[str, str]) -> str:
    # RFC 7636, section 4.3: without a method it would be "plain", and that is not offered.
    if fields.get("code_challenge_method") != "S256":
        raise InvalidRequestError("code_challenge_method must be S256.")
    if not _CODE_CHALLENGE.fullmatch(fields.get("code_challenge", "")):
        raise InvalidRequestError("code_challenge must be the S256 of a verifier: 43 characters.")
    return fields["code_challenge"]


def is_code_challenge(text: str) -> bool:
    return bool(_CODE_CHALLENGE.fullmatch(text))


def max_age(fields: Mapping[str, str]) -> int | None:
    """Seconds. Raises InvalidRequestError."""
    if "max_age" not in fields:
        return None
    if not _MAX_AGE.fullmatch(fields["max_age"]):
        raise InvalidRequestError("max_age must be a number of seconds.")
    return int(fields["max_age"])


def redirect_uri(client: Client, fields: Mapping[str, str]) -> str:
    """Where the answer goes: one of the client's, character by character (RFC 9700, section 2.1). Raises InvalidRequestError."""
    only = client.redirect_uris[0] if len(client.redirect_uris) == 1 else ""
    asked = fields.get("redirect_uri", only)
    if not any(_same(known, asked) for known in client.redirect_uris):
        raise InvalidRequestError("redirect_uri is missing, or it is not one that is registered for this client.")
    return asked


def web_request(settings: Settings, client: Client, fields: Mapping[str, str]) -> WebRequest:
    """The whole of it, checked. Raises OAuth2Error; redirect_uri first, for until it is known nobody may be sent there."""
    where = redirect_uri(client, fields)
    if "request" in fields:
        raise RequestNotSupported()
    if "response_type" not in fields:
        raise InvalidRequestError("response_type is missing.")
    check_response_type(fields)
    if fields.get("response_mode", "query") != "query":
        raise InvalidRequestError("response_mode must be query.")
    challenge = code_challenge(fields)
    resource, scope = target(settings, fields)
    rule = policy.choose(settings.policy, scope, client.id, fields.get("acr_values", ""))
    if rule is None or rule.by_web == "refused":
        raise AccessDeniedError("No policy lets this request in by way of a browser.")
    prompt = frozenset(fields.get("prompt", "").split())
    if prompt - {"none", "login", "consent"} or ("none" in prompt and len(prompt) > 1):
        raise InvalidRequestError("prompt is none, or some of login and consent.")
    return WebRequest(client, where, resource, scope, challenge, rule, max_age(fields), prompt, fields.get("dpop_jkt"))


def bind(fields: Mapping[str, str], proof: Proof | None) -> dict[str, str]:
    """The fields with the key of the proof that came with them (RFC 9449, section 10.1). Raises InvalidDpopProof."""
    if proof is None:
        return dict(fields)
    if fields.get("dpop_jkt", proof.jkt) != proof.jkt:
        raise InvalidDpopProof("dpop_jkt is not the key of the proof.")
    return {**fields, "dpop_jkt": proof.jkt}


def push(
    services: Services, transaction: Transaction, client: Client, fields: Mapping[str, str], now_s: int
) -> dict[str, object]:
    """Keeps a request for its browser leg: `request_uri` and `expires_in` (RFC 9126, section 2.2)."""
    if transaction.count_pushed(client.id, now_s) >= MAX_PUSHED:
        raise TryLater()
    uri = URN + secrets.token_urlsafe(32)
    kept = json.dumps({name: value for name, value in fields.items() if name != "client_id"})
    transaction.push(PushedRequest(_digest(services, uri), client.id, kept, now_s + PUSHED_TTL_S))
    return {"request_uri": uri, "expires_in": PUSHED_TTL_S}


def pushed(services: Services, transaction: Transaction, client_id: str, uri: str, now_s: int) -> dict[str, str] | None:
    """What this client pushed under this request_uri, while it lives."""
    found = transaction.pushed(_digest(services, uri), client_id, now_s)
    return {**json.loads(found.fields), "client_id": client_id} if found else None


def end_pushed(services: Services, transaction: Transaction, uri: str) -> None:
    """It was decided: it is good for one decision alone."""
    transaction.end_pushed(_digest(services, uri))


def _digest(services: Services, uri: str) -> bytes:
    return services.keys.keyed_hash("request_uri", uri)


def _same(known: str, asked: str) -> bool:
    if known == asked:
        return True
    # RFC 8252, section 7.3: an app on this computer listens on whatever port it gets.
    mine, theirs = urlsplit(known), urlsplit(asked)
    loopback = mine.scheme == "http" and mine.hostname in ("127.0.0.1", "::1") and mine.port is None
    return (
        loopback
        and theirs.netloc.rpartition(":")[2].isdigit()
        and asked == known.replace(mine.netloc, theirs.netloc, 1)
        and (theirs.hostname == mine.hostname and "@" not in theirs.netloc)
    )
