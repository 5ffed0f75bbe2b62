"""POST /introspect (RFC 7662): a resource server asks whether a token for it is good now, revocation included.

Not for clients: a token says nothing to them, and refresh tokens are nobody's business but ours.
"""

from typing import Any

from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError, OAuth2Error
from joserfc import jwt
from joserfc.errors import JoseError
from starlette.responses import Response

from broker_bridge import logs
from host_sim.authorization_server.clients import Client
from host_sim.authorization_server.forms import Posted
from host_sim.authorization_server.responses import answer, refusal
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.storage import Family, Transaction

_SHOWN = ("iss", "aud", "sub", "client_id", "scope", "iat", "exp", "jti", "device_id", "cnf", "acr", "auth_time")


def family_of(services: Services, transaction: Transaction, text: str) -> tuple[Family, dict[str, Any]] | None:
    """What an access token of ours came from, and its claims; None for anything else. Expired ones too."""
    try:
        claims = jwt.decode(text, services.keys.signing_keys.verifying(services.now_s()), algorithms=["ES256"]).claims
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        return None
    family = transaction.family(str(claims.get("jti", "")).partition(".")[0])
    return (family, claims) if family else None


class Introspection:
    def __init__(self, services: Services) -> None:
        self._services = services

    def answer(self, posted: Posted) -> Response:
        """The reply to one request."""
        try:
            server = self._resource_server(posted)
            if "token" not in posted.fields:
                raise InvalidRequestError("token is missing.")
        except OAuth2Error as error:
            logs.line("introspection", request=posted.request_id, outcome="refused", error=error.error)
            return refusal(error)
        with self._services.storage.transaction() as transaction:
            found = family_of(self._services, transaction, posted.fields["token"])
        known = self._active(server, *found) if found else {"active": False}
        logs.line(
            "introspection", request=posted.request_id, client=server.id, outcome="active" if known["active"] else "inactive"
        )
        return answer(200, known)

    def _resource_server(self, posted: Posted) -> Client:
        client = self._services.clients.authenticate(posted.fields, posted.authorization)
        if client is None or client.resource is None:
            raise InvalidClientError("Only a resource server may ask, by HTTP Basic.", status_code=401)
        return client

    def _active(self, server: Client, family: Family, claims: dict[str, Any]) -> dict[str, Any]:
        alive = family.revoked is None and claims["exp"] > self._services.now_s()
        if (
            not alive or claims["aud"] != server.resource
        ):  # RFC 7662, section 2.2: no more than that, of a token for somebody else
            return {"active": False}
        shown = {name: claims[name] for name in _SHOWN if name in claims}
        return {"active": True, "token_type": "DPoP" if "cnf" in claims else "Bearer", **shown}
