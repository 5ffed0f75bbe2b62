"""POST /token: authorization_code with PKCE, refresh_token with rotation, on Authlib's grants; device codes: device_grant.py.

Not for the challenge: a code arrives here with everything it was bound to.
"""

# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false
# (Authlib's hooks are typed for any framework; here request, client and token are always ours.)

import secrets
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from starlette.responses import Response

from broker_bridge import logs
from host_sim.authorization_server import dpop, policy
from host_sim.authorization_server.challenge_endpoint import ChallengeEndpoint
from host_sim.authorization_server.clients import GRANTS, METHODS, Client
from host_sim.authorization_server.device_grant import DeviceCodeGrant
from host_sim.authorization_server.errors import InsufficientAuthorization, InvalidDpopProof, UnsupportedGrantType
from host_sim.authorization_server.forms import Posted
from host_sim.authorization_server.oauth_core import Core, CoreRequest, Granted
from host_sim.authorization_server.responses import refusal
from host_sim.authorization_server.storage import Code, Family


class TokenEndpoint:
    def __init__(self, core: Core, challenges: ChallengeEndpoint) -> None:
        self._core = core
        self._challenges = challenges
        self._services = core.services
        self._url = core.settings.endpoint("token")
        core.register_grant(_CodeGrant, [_S256(required=True)])
        core.register_grant(_RefreshGrant)
        core.register_grant(DeviceCodeGrant)

    def answer(self, posted: Posted) -> Response:
        """The reply to one request, durable before it is returned."""
        now_s = self._services.now_s()
        try:
            proof = posted.proof
        except OAuth2Error as error:
            return self._refuse(error, posted)
        self._services.storage.prune(now_s)
        with self._services.storage.transaction() as transaction:
            request = CoreRequest(self._url, posted, proof, transaction, now_s)
            try:
                if proof:
                    dpop.accept(proof, self._services.nonces, self._services.keys, transaction, now_s)
                if posted.fields.get("grant_type") not in GRANTS:
                    raise (
                        UnsupportedGrantType() if "grant_type" in posted.fields else InvalidRequestError("grant_type is missing.")
                    )
            except OAuth2Error as error:
                return self._refuse(error, posted)
            response: Any = self._core.create_token_response(request)
            if request.confirm and request.confirm[1].challenges:
                try:
                    response = self._challenges.confirm(transaction, posted, request.client, *request.confirm, now_s)
                except OAuth2Error as error:
                    return self._refuse(error, posted)
        self._log(request)
        return response

    def _refuse(self, error: OAuth2Error, posted: Posted) -> Response:
        self._services.metrics.outcome("token", error.error)
        logs.line("token", request=posted.request_id, outcome="refused", error=error.error)
        return refusal(error)

    def _log(self, request: CoreRequest) -> None:
        granted: Granted | None = request.user
        self._services.metrics.outcome("token", request.error or "granted")
        logs.line(
            "token",
            request=request.posted.request_id,
            client=request.client.id if request.client else None,
            device=granted.family.device if granted else None,
            family=granted.family.id if granted else None,
            outcome="refused" if request.error else "granted",
            error=request.error,
        )


class _S256(CodeChallenge):
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012


class _CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    request: CoreRequest
    server: Core

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        transaction, now_s = self.request.transaction, self.request.now_s
        found = transaction.code(self.server.keys.keyed_hash("code", code))
        if found is None or found.client_id != client.id:
            return None
        if found.used is not None and found.family is not None:
            # RFC 6749, section 4.1.2: what came from a code that is used twice is revoked.
            transaction.revoke_family(found.family, now_s)
            logs.line("code_reused", request=self.request.posted.request_id, client=client.id, family=found.family)
            return None
        if found.revoked is not None or found.expires <= now_s:
            return None
        return found

    def validate_token_request(self) -> None:
        super().validate_token_request()  # RFC 6749, section 4.1.3: the same redirect_uri where there was one
        code: Code = self.request.authorization_code
        if code.redirect_uri is None and "redirect_uri" in self.request.form:
            raise InvalidRequestError("This code was not sent to a redirect_uri.")  # FiPA-04, section 6
        if code.jkt is not None:
            dpop.demand(self.request.proof, code.jkt)  # FiPA-04, section 9.5.1
        elif self.request.client.dpop_bound_access_tokens and self.request.proof is None:
            raise InvalidDpopProof("This client must send a DPoP proof.")
        self.request.check_resource(code.resource)

    def authenticate_user(self, authorization_code: Code) -> Granted:
        code, proof, now_s = authorization_code, self.request.proof, self.request.now_s
        family = Family(
            id=secrets.token_hex(8),
            session=code.session,
            client_id=code.client_id,
            subject=code.subject,
            device=code.device,
            scope=code.scope,
            resource=code.resource,
            jkt=proof.jkt if proof else None,
            created=now_s,
            expires=now_s,
            acr=code.acr,
            auth_time=code.auth_time,
        )
        return self.server.granted(family)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        self.request.transaction.use_code(authorization_code.digest, self.request.user.family.id, self.request.now_s)


@dataclass(frozen=True)
class _Presented:
    """The family of a refresh token that was presented, and what it leads to, in Authlib's words."""

    family: Family
    successor: Granted

    def check_client(self, client: Client) -> bool:
        return self.family.client_id == client.id

    def get_scope(self) -> str:
        return self.family.scope


class _RefreshGrant(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True
    request: CoreRequest
    server: Core

    def authenticate_refresh_token(self, refresh_token: str) -> _Presented | None:
        transaction, now_s, proof = self.request.transaction, self.request.now_s, self.request.proof
        token = self.server.refresh_tokens.read(refresh_token)
        family = transaction.family(token.family) if token else None
        if token is None or family is None or family.client_id != self.request.client.id:
            return None
        if family.revoked is not None or family.token_expires <= now_s:
            return None
        owner = family.jkt is None or (proof is not None and proof.jkt == family.jkt)
        if not owner or (token.digest != family.token and family.jkt is None):
            transaction.revoke_family(family.id, now_s)
            logs.line("refresh_token_reused", request=self.request.posted.request_id, client=family.client_id, family=family.id)
            return None
        if token.digest not in (family.token, family.token_before):
            return None  # older than what its owner holds: a restored backup, and no theft
        successor = self.server.refresh_tokens.after(token)
        renewed = family._replace(token=successor.digest, token_before=token.digest)
        return _Presented(family, Granted(renewed, successor.text, renewed=True))

    def validate_token_request(self) -> None:
        super().validate_token_request()
        family: Family = self.request.refresh_token.family
        self.request.check_resource(family.resource)
        rules, name = self.server.settings.policy, family.device or family.client_id
        rule = policy.choose(rules, family.scope, name, family.acr or "")
        age_s = self.request.now_s - (family.auth_time or family.created)
        if rule is not None and rule.max_age_s is not None and age_s > rule.max_age_s:
            self.request.confirm = (family, rule)
            raise InsufficientAuthorization()

    def authenticate_user(self, refresh_token: _Presented) -> Granted:
        self.request.user = refresh_token.successor
        return refresh_token.successor

    def revoke_old_credential(self, refresh_token: _Presented) -> None:
        pass  # save_token did: the family knows its newest token and the one before
