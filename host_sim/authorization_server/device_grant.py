"""The device grant (RFC 8628): a device shows a code, a person enters it at the verification page, and the device polls.

Not the page (console/verification_pages.py). For devices that can ask for nothing; what a PIN is to the others.
"""

# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false
# (Authlib's hooks are typed for any framework; here request, client and token are always ours.)

import secrets
from typing import Any

from authlib.oauth2.rfc6749 import (
    AccessDeniedError,
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Error,
)
from authlib.oauth2.rfc6749.grants import BaseGrant, TokenEndpointMixin
from authlib.oauth2.rfc8628 import AuthorizationPendingError, ExpiredTokenError, SlowDownError
from starlette.responses import Response

from broker_bridge import logs
from host_sim.authorization_server import authorization_request as request
from host_sim.authorization_server import dpop, policy, user_codes
from host_sim.authorization_server.challenge_endpoint import first_party, of_device
from host_sim.authorization_server.clients import DEVICE_CODE, METHODS, Client
from host_sim.authorization_server.errors import InvalidDpopProof, TryLater
from host_sim.authorization_server.forms import Posted
from host_sim.authorization_server.keys import Keys
from host_sim.authorization_server.oauth_core import Core, CoreRequest
from host_sim.authorization_server.responses import answer, refusal
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.storage import DeviceGrant, Family, Transaction

INTERVAL_S = 5  # RFC 8628, section 3.5: also what a poll that came too soon adds
MAX_WAITING = 1000  # of one public client


def find(transaction: Transaction, keys: Keys, typed: str, now_s: int) -> DeviceGrant | None:
    """The device that shows this code and waits. Whoever offers this to people limits them first."""
    return transaction.device_grant_showing(_user_code(keys, user_codes.normal(typed)), now_s)


class DeviceAuthorization:
    """POST /device_authorization (RFC 8628, section 3.1)."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def answer(self, posted: Posted) -> Response:
        """The reply to one request, durable before it is returned."""
        now_s, keys = self._services.now_s(), self._services.keys
        try:
            client = first_party(self._services, posted)
            if client is None:
                raise InvalidRequestError("client_id is missing.")
            proof = posted.proof
        except OAuth2Error as error:
            return self._refuse(error, posted)
        with self._services.storage.transaction() as transaction:
            try:
                if proof:
                    dpop.accept(proof, self._services.nonces, keys, transaction, now_s)
                return answer(200, self._begin(transaction, posted, client, proof.jkt if proof else None, now_s))
            except OAuth2Error as error:
                return self._refuse(error, posted)

    def _refuse(self, error: OAuth2Error, posted: Posted) -> Response:
        logs.line("device_authorization", request=posted.request_id, outcome="refused", error=error.error)
        return refusal(error)

    def _begin(self, transaction: Transaction, posted: Posted, client: Client, jkt: str | None, now_s: int) -> dict[str, Any]:
        settings, keys = self._services.settings, self._services.keys
        resource, scope = request.target(settings, posted.fields)
        device = of_device(posted.fields, client)
        rule = policy.choose(settings.policy, scope, device, posted.fields.get("acr_values", ""))
        unknown = client.confidential and settings.devices is not None and device not in settings.devices
        if rule is None or rule.by_web == "refused" or unknown:
            raise AccessDeniedError("No policy lets this request in by way of a browser.")
        if client.confidential:
            transaction.see_device(device, client.id, now_s)
            transaction.end_waiting_device_grants(device, now_s)
        elif transaction.count_device_grants(client.id, now_s) >= MAX_WAITING:
            raise TryLater()
        device_code, user_code = secrets.token_urlsafe(32), user_codes.of(secrets.token_bytes(32))
        grant = DeviceGrant(
            digest=_device_code(keys, device_code),
            user_code=_user_code(keys, user_code),
            client_id=client.id,
            device=device,
            asserted=client.confidential,
            jkt=jkt,
            scope=scope,
            resource=resource,
            acr=rule.acr,
            created=now_s,
            expires=now_s + settings.device_code_ttl_s,
            interval_s=INTERVAL_S,
        )
        transaction.add_device_grant(grant)
        logs.line("device_authorization", request=posted.request_id, client=client.id, device=device, outcome="shown")
        where = settings.endpoint("device")
        return {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": where,
            "verification_uri_complete": f"{where}?user_code={user_code}",
            "expires_in": settings.device_code_ttl_s,
            "interval": INTERVAL_S,
        }


class DeviceCodeGrant(BaseGrant, TokenEndpointMixin):
    """grant_type urn:ietf:params:oauth:grant-type:device_code (RFC 8628, sections 3.4 and 3.5)."""

    GRANT_TYPE = DEVICE_CODE
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    request: CoreRequest
    server: Core

    def validate_token_request(self) -> None:
        client, transaction, now_s = self.authenticate_token_endpoint_client(), self.request.transaction, self.request.now_s
        if "device_code" not in self.request.form:
            raise InvalidRequestError("device_code is missing.")
        grant = transaction.device_grant(_device_code(self.server.keys, self.request.form["device_code"]))
        if grant is None or grant.client_id != client.get_client_id():
            raise InvalidGrantError("The device code is none of this client's.")
        if grant.jkt is not None:
            dpop.demand(self.request.proof, grant.jkt)
        elif self.request.client.dpop_bound_access_tokens and self.request.proof is None:
            raise InvalidDpopProof("This client must send a DPoP proof.")
        self.request.check_resource(grant.resource)
        if grant.family is not None:
            # A lost reply: the same key gets tokens once more, and those of before end. Without a key it may be anybody.
            family, proof = transaction.family(grant.family), self.request.proof
            transaction.revoke_family(grant.family, now_s)
            if family is None or family.revoked is not None or proof is None or family.jkt != proof.jkt:
                raise InvalidGrantError("The device code was used before.")
        if grant.approved is not None and not grant.approved:
            raise AccessDeniedError("A person refused it.")
        if grant.expires <= now_s:
            raise ExpiredTokenError()
        if grant.approved is None:
            self._wait(grant)
        self._grant = grant

    def _wait(self, grant: DeviceGrant) -> None:
        too_soon = self.request.now_s < grant.not_before
        interval_s = grant.interval_s + INTERVAL_S if too_soon else grant.interval_s
        # A second less than was promised: clocks of whole seconds differ by one.
        self.request.transaction.poll_device_grant(grant.digest, self.request.now_s + interval_s - 1, interval_s)
        raise SlowDownError() if too_soon else AuthorizationPendingError()

    def create_token_response(self) -> tuple[int, Any, Any]:
        grant, proof, now_s = self._grant, self.request.proof, self.request.now_s
        family = Family(
            id=secrets.token_hex(8),
            session=secrets.token_hex(8),
            client_id=grant.client_id,
            subject=grant.account or grant.device,
            device=grant.device if grant.asserted else None,
            scope=grant.scope,
            resource=grant.resource,
            jkt=proof.jkt if proof else None,
            created=now_s,
            expires=now_s,
            acr=grant.acr,
            auth_time=grant.auth_time,
        )
        self.request.user = self.server.granted(family)
        token = self.generate_token(user=self.request.user, scope=grant.scope, include_refresh_token=True)
        self.save_token(token)
        self.request.transaction.use_device_grant(grant.digest, family.id)
        return 200, token, self.TOKEN_RESPONSE_HEADER


def _device_code(keys: Keys, device_code: str) -> bytes:
    return keys.keyed_hash("device code", device_code)


def _user_code(keys: Keys, user_code: str) -> bytes:
    return keys.keyed_hash("user code", user_code)
