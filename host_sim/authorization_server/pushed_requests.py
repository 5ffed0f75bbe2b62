"""POST /par (RFC 9126): an authorization request, kept until the browser comes with its request_uri.

Not the browser's part: console/consent_pages.py.
"""

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error
from starlette.responses import Response

from broker_bridge import logs
from host_sim.authorization_server import authorization_request as request
from host_sim.authorization_server import dpop
from host_sim.authorization_server.challenge_endpoint import first_party
from host_sim.authorization_server.forms import Posted
from host_sim.authorization_server.responses import answer, refusal
from host_sim.authorization_server.services import Services


class PushedRequests:
    def __init__(self, services: Services) -> None:
        self._services = services

    def answer(self, posted: Posted) -> Response:
        """The reply to one request, durable before it is returned."""
        now_s = self._services.now_s()
        try:
            client = first_party(self._services, posted)
            if client is None:
                raise InvalidRequestError("client_id is missing.")
            if "request_uri" in posted.fields:
                raise InvalidRequestError("A pushed request has no request_uri.")  # RFC 9126, section 2.1
            proof = posted.proof
        except OAuth2Error as error:
            return self._refuse(error, posted)
        with self._services.storage.transaction() as transaction:
            try:
                if proof:
                    dpop.accept(proof, self._services.nonces, self._services.keys, transaction, now_s)
                request.web_request(self._services.settings, client, posted.fields)
                kept = request.push(self._services, transaction, client, request.bind(posted.fields, proof), now_s)
            except OAuth2Error as error:
                return self._refuse(error, posted)
        logs.line("pushed", request=posted.request_id, client=client.id, outcome="kept")
        return answer(201, kept)

    def _refuse(self, error: OAuth2Error, posted: Posted) -> Response:
        logs.line("pushed", request=posted.request_id, outcome="refused", error=error.error)
        return refusal(error)
