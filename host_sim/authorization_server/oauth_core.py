"""Authlib's framework-free core, joined to our requests, storage and keys; and the JWT access tokens (RFC 9068).

Not for routes, DPoP or challenges: what Authlib lacks stands in files of its own.
"""

# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false
# (Authlib's hooks are typed for any framework; here request, client and token are always ours.)

import secrets
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidClientError, OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from joserfc import jwt
from starlette.responses import Response

from host_sim.authorization_server.clients import Client
from host_sim.authorization_server.dpop import Proof
from host_sim.authorization_server.errors import InvalidTarget
from host_sim.authorization_server.forms import Posted
from host_sim.authorization_server.refresh_tokens import RefreshTokens
from host_sim.authorization_server.responses import answer, refusal
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.settings import PolicyRule
from host_sim.authorization_server.storage import Family, Transaction


@dataclass(frozen=True)
class Granted:
    """What a token is made of: Authlib's "user". `refresh_token` is handed out as it stands."""

    family: Family
    refresh_token: str = field(repr=False)
    renewed: bool = False  # the family is there already

    def get_user_id(self) -> str:
        return self.family.subject


class CoreRequest(OAuth2Request):
    """One POST in Authlib's words, with what ours needs beside: the open transaction, the accepted proof, the time."""

    user: Any
    client: Any
    authorization_code: Any
    refresh_token: Any

    def __init__(self, url: str, posted: Posted, proof: Proof | None, transaction: Transaction, now_s: int) -> None:
        super().__init__("POST", url)
        self.payload = BasicOAuth2Payload(posted.fields)
        self.posted = posted
        self.proof = proof
        self.transaction = transaction
        self.now_s = now_s
        self.error: str | None = None
        self.confirm: tuple[Family, PolicyRule] | None = None  # what must be proved again before it is renewed

    @property
    def args(self) -> dict[str, str]:
        return {}

    @property
    def form(self) -> dict[str, str]:
        return self.posted.fields

    def check_resource(self, granted: str) -> None:
        """RFC 8707, section 2.2. Raises InvalidTarget."""
        if self.form.get("resource", granted) != granted:
            raise InvalidTarget("The resource is not the granted one.")


class Core(AuthorizationServer):
    """The authorization server that Authlib's grants and endpoints talk to."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.services = services
        self.settings = services.settings
        self.keys = services.keys
        self.refresh_tokens = RefreshTokens(services.keys)
        tokens: Any = _Tokens(services)
        self.register_token_generator("default", tokens)

    def query_client(self, client_id: str) -> Client | None:
        return self.services.clients.get(client_id)

    def authenticate_client(self, request: CoreRequest, methods: list[str], endpoint: str = "token") -> Client:
        client = self.services.clients.authenticate(request.posted.fields, request.posted.authorization)
        if client is None:
            raise InvalidClientError("client_id is missing.")
        request.auth_method = "client_secret_basic" if client.confidential else "none"
        request.client = client
        return client

    def create_oauth2_request(self, request: CoreRequest) -> CoreRequest:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        return answer(status, body)

    def handle_error_response(self, request: CoreRequest, error: Any) -> Response:
        request.error = error.error
        return refusal(error)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        pass

    def save_token(self, token: dict[str, Any], request: CoreRequest) -> None:
        """The family of a token response, new or renewed."""
        transaction, now_s = request.transaction, request.now_s
        expires = now_s + self.settings.refresh_token_ttl_s
        lives = max(expires, now_s + self.settings.access_token_ttl_s)
        family: Family = request.user.family._replace(token_expires=expires, expires=lives)
        if request.user.renewed:
            transaction.renew_family(family)
        else:
            transaction.add_family(family)
        if family.device is not None:
            transaction.touch_device(family.device, now_s)

    def granted(self, family: Family) -> Granted:
        """A new family with its first refresh token."""
        first = self.refresh_tokens.first(family.id)
        return Granted(family._replace(token=first.digest), first.text)


class _Tokens:
    """Token responses. An access token is a JWT (RFC 9068) with `cnf` (RFC 9449, section 6.1); its jti begins with the family."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def __call__(
        self,
        grant_type: str,
        client: Client,
        user: Granted,
        scope: str,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
    ) -> dict[str, Any]:
        family, ttl_s, now_s = user.family, self._services.settings.access_token_ttl_s, self._services.now_s()
        claims = {
            "iss": self._services.settings.issuer,
            "aud": family.resource,
            "sub": family.subject,
            "client_id": family.client_id,
            "scope": scope,
            "iat": now_s,
            "exp": now_s + ttl_s,
            "jti": f"{family.id}.{secrets.token_hex(8)}",
        }
        if family.device is not None:
            claims["device_id"] = family.device
        if family.jkt is not None:
            claims["cnf"] = {"jkt": family.jkt}
        if family.acr is not None:
            claims["acr"] = family.acr
        if family.auth_time is not None:
            claims["auth_time"] = family.auth_time
        key = self._services.keys.signing_keys.signing(now_s)
        return {
            "token_type": "Bearer" if family.jkt is None else "DPoP",
            "access_token": jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": key.kid}, claims, key.key),
            "expires_in": ttl_s,
            "scope": scope,
            "refresh_token": user.refresh_token,
        }
