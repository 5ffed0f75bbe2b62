"""POST /revoke (RFC 7009): a refresh token or an access token ends its whole family.

Not instant for access tokens at a resource server that does not ask back: they are JWTs and live out their minutes.
"""

# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false
# (Authlib's hooks are typed for any framework; here request, client and token are always ours.)

from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from starlette.responses import Response

from broker_bridge import logs
from host_sim.authorization_server.audit import audit
from host_sim.authorization_server.clients import METHODS, Client
from host_sim.authorization_server.forms import Posted
from host_sim.authorization_server.introspection import family_of
from host_sim.authorization_server.oauth_core import Core, CoreRequest
from host_sim.authorization_server.storage import Family


class Revocation:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._url = core.settings.endpoint("revoke")
        core.register_endpoint(_Endpoint)

    def answer(self, posted: Posted) -> Response:
        """The reply to one request, durable before it is returned."""
        with self._core.services.storage.transaction() as transaction:
            request = CoreRequest(self._url, posted, None, transaction, self._core.services.now_s())
            response: Any = self._core.create_endpoint_response("revocation", request)
            return response


class _Owned:
    def __init__(self, family: Family) -> None:
        self.family = family

    def check_client(self, client: Client) -> bool:
        return self.family.client_id == client.id


class _Endpoint(RevocationEndpoint):
    CLIENT_AUTH_METHODS = METHODS
    server: Core

    def authenticate_token(self, request: CoreRequest, client: Client) -> _Owned | None:
        if "token" not in request.form:
            raise InvalidRequestError("token is missing.")
        found = self._family(request, request.form["token"])  # a hint is only a hint: RFC 7009, section 2.1
        # A token of another client is none of this one's business, not even that it exists.
        return _Owned(found) if found and found.client_id == client.id else None

    def revoke_token(self, token: _Owned, request: CoreRequest) -> None:
        request.transaction.revoke_family(token.family.id, request.now_s)
        if token.family.device is not None:
            # Its owner reads that it was unpaired by its keys, and not here; whose it is does not change by that.
            audit(request.transaction, None, "given_up", token.family.device, request.now_s)
        logs.line("revoked", request=request.posted.request_id, client=token.family.client_id, family=token.family.id)

    def _family(self, request: CoreRequest, text: str) -> Family | None:
        token = self.server.refresh_tokens.read(text)
        if token is not None:
            return request.transaction.family(token.family)
        found = family_of(self.server.services, request.transaction, text)
        return found[0] if found else None
