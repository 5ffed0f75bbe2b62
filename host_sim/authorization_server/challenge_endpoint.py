"""POST /challenge: FiPA-04, completed as PROTOCOL section 5 says (dialect "reference").

Not for the proofs themselves (challenges/) nor for tokens (token_endpoint.py).
"""

import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping

from authlib.oauth2.rfc6749 import (
    AccessDeniedError,
    InvalidClientError,
    InvalidRequestError,
    OAuth2Error,
    UnauthorizedClientError,
)
from starlette.responses import Response

from broker_bridge import logs
from host_sim.authorization_server import attempts, binding_words, dpop, ownership, policy, steps
from host_sim.authorization_server import authorization_request as request
from host_sim.authorization_server.clients import Client, UnknownClient
from host_sim.authorization_server.dpop import Proof
from host_sim.authorization_server.errors import (
    InvalidDpopProof,
    InvalidSession,
    RedirectToWeb,
    TryLater,
)
from host_sim.authorization_server.forms import Posted
from host_sim.authorization_server.responses import answer, filled, refusal, to_json
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.settings import PolicyRule
from host_sim.authorization_server.storage import MAX_TRIES, Code, Family, Session, Transaction
from host_sim.authorization_server.storage.pairing import UNKNOWN

BODY_BYTES = 1024  # every 403 is a multiple of this, and which one depends on its inputs alone: a prompt looks like a refusal
REST_BYTES = 700  # of a 403 beside its inputs, at most
MAX_CLAIMED_SESSIONS = 1000  # of one public client
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ChallengeEndpoint:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._keys = services.keys

    def answer(self, posted: Posted) -> Response:
        """The reply to one request, durable before it is returned."""
        now_s = self._services.now_s()
        try:
            client = self._client(posted)
            proof = posted.proof
        except OAuth2Error as error:
            return self._refuse(error, posted, None)
        self._services.storage.prune(now_s)
        with self._services.storage.transaction() as transaction:
            try:
                if proof:
                    dpop.accept(proof, self._services.nonces, self._keys, transaction, now_s)
                if "auth_session" in posted.fields:
                    return self._follow(transaction, posted, client, proof, now_s)
                if client is None:
                    raise InvalidRequestError("client_id is missing.")
                return self._start(transaction, posted, client, proof, now_s)
            except OAuth2Error as error:
                return self._refuse(error, posted, client)

    def _client(self, posted: Posted) -> Client | None:
        return first_party(self._services, posted)

    # A first request

    def _start(self, transaction: Transaction, posted: Posted, client: Client, proof: Proof | None, now_s: int) -> Response:
        fields = posted.fields
        if "response_type" not in fields:
            raise InvalidRequestError("response_type is missing.")
        request.check_response_type(fields)
        if client.dpop_bound_access_tokens and proof is None:
            raise InvalidDpopProof("This client must send a DPoP proof.")
        if "dpop_jkt" in fields and (proof is None or fields["dpop_jkt"] != proof.jkt):
            raise InvalidDpopProof("dpop_jkt is not the key of the proof.")  # RFC 9449, section 10.1
        target = resource, scope = request.target(self._settings, fields)
        device = of_device(fields, client)
        rule = policy.choose(self._settings.policy, scope, device, fields.get("acr_values", ""))
        if rule is None:
            raise AccessDeniedError("No policy lets this request in.")
        if rule.by_web == "required":
            raise self._to_web(transaction, client, fields, proof, now_s)
        code_challenge = request.code_challenge(fields)
        request.max_age(fields)  # a session begins with proving: nothing here can be too old

        jkt, asserted = proof.jkt if proof else None, client.confidential
        begun = transaction.session_begun_with(code_challenge, jkt, client.id, device, asserted, now_s) if jkt else None
        if begun and (begun.scope, begun.resource, begun.challenges) == (scope, resource, " ".join(rule.challenges)):
            return self._begin_again(transaction, posted, begun, now_s)

        session, auth_session = self._open(transaction, client, jkt, device, asserted, target, code_challenge, rule, now_s)
        return self._prompt(transaction, posted, session, auth_session, _standing(session), now_s)

    def _open(
        self,
        transaction: Transaction,
        client: Client,
        jkt: str | None,
        device: str,
        asserted: bool,
        target: tuple[str, str],
        code_challenge: str,
        rule: PolicyRule,
        now_s: int,
    ) -> tuple[Session, str]:
        """A new session and its auth_session. Raises TryLater."""
        decoy = asserted and self._settings.devices is not None and device not in self._settings.devices
        tries = 0
        if asserted:
            transaction.end_waiting_sessions(device, now_s)
            limited = attempts.is_limited(transaction, self._keys, device, now_s)
            if transaction.see_device(UNKNOWN if decoy else device, client.id, now_s).locked or limited:
                tries = MAX_TRIES
        elif transaction.count_claimed_sessions(client.id, now_s) >= MAX_CLAIMED_SESSIONS:
            raise TryLater()
        session_id = secrets.token_hex(8)
        auth_session = self._first_handle(session_id, code_challenge)
        session = Session(
            id=session_id,
            client_id=client.id,
            device=device,
            asserted=asserted,
            decoy=decoy,
            jkt=jkt,
            scope=target[1],
            resource=target[0],
            code_challenge=code_challenge,
            binding_word=binding_words.choose(),
            challenges=" ".join(rule.challenges),
            step=0,
            tries=tries,
            requests=1,
            created=now_s,
            expires=now_s + self._settings.session_ttl_s,
            handle=self._handle(auth_session),
            handle_before=None,
            acr=rule.acr,
        )
        transaction.add_session(session)
        steps.begin(self._services, transaction, session, now_s)
        return session, auth_session

    def confirm(
        self, transaction: Transaction, posted: Posted, client: Client, family: Family, rule: PolicyRule, now_s: int
    ) -> Response:
        """FiPA-04, section 6.2: what the token endpoint answers where a family must be confirmed. Raises TryLater."""
        origin = f"family:{family.id}"  # no code_challenge: the client brings one with its first request here
        device, target = family.device or client.id, (family.resource, family.scope)
        jkt, asserted = family.jkt, family.device is not None
        begun = transaction.session_begun_with(origin, jkt, client.id, device, asserted, now_s) if jkt else None
        if begun and begun.handle == self._handle(self._first_handle(begun.id, origin)):
            return self._begin_again(transaction, posted, begun, now_s)
        session, auth_session = self._open(transaction, client, jkt, device, asserted, target, origin, rule, now_s)
        return self._prompt(transaction, posted, session, auth_session, _standing(session), now_s)

    def _to_web(
        self, transaction: Transaction, client: Client, fields: Mapping[str, str], proof: Proof | None, now_s: int
    ) -> RedirectToWeb:
        """FiPA-04, section 5.2.2.1.1: with a request_uri where there is a code_challenge, and a redirect_uri to come back by."""
        try:
            request.web_request(self._settings, client, fields)
        except InvalidRequestError:
            return RedirectToWeb()
        return RedirectToWeb(**request.push(self._services, transaction, client, request.bind(fields, proof), now_s))

    def _begin_again(self, transaction: Transaction, posted: Posted, session: Session, now_s: int) -> Response:
        """The first request once more, or overtaken by its own repetition: nothing ends by it, and nothing begins."""
        _refuse_refused(session)
        auth_session = self._first_handle(session.id, session.code_challenge)
        expires = max(session.expires, now_s + self._settings.session_ttl_s)
        handle = self._handle(auth_session)
        if session.handle != handle or not transaction.turn_session(session.id, handle, None, expires):
            raise InvalidSession()  # it has gone on since
        return self._prompt(transaction, posted, session, auth_session, _standing(session), now_s)

    def _first_handle(self, session: str, code_challenge: str) -> str:
        # A function of its session, so that a first request that is said again hears the same one.
        return urlsafe_b64encode(self._keys.keyed_hash("first auth_session", session, code_challenge)).rstrip(b"=").decode()

    # A follow-up

    def _follow(
        self, transaction: Transaction, posted: Posted, client: Client | None, proof: Proof | None, now_s: int
    ) -> Response:
        fields = posted.fields
        presented = self._handle(fields["auth_session"])
        session = transaction.session_by_handle(presented)
        superseded = session is None
        if session is None:
            session = transaction.session_by_handle_before(presented)
        if session is None or session.expires <= now_s:
            raise InvalidSession()
        if client is None and session.asserted:
            raise InvalidClientError("This client must authenticate by HTTP Basic.", status_code=401)
        if client is not None and client.id != session.client_id:
            raise InvalidSession()  # FiPA-04, sections 5.1 and 5.3.1
        if session.jkt is not None:
            dpop.demand(proof, session.jkt)  # FiPA-04, sections 9.5.1 and 9.6.1
        _check_repetitions(fields, session)

        answers = steps.answers(self._services, session, fields)
        if superseded and answers:
            raise InvalidSession()
        _refuse_refused(session)
        self._take_code_challenge(transaction, session, fields)
        auth_session = self._turn(transaction, session, superseded, now_s)
        session = self._step_up(transaction, steps.again(transaction, session), fields, now_s)
        reason = "none"
        if session.asking is not None:
            if answers:
                reason = steps.answer(self._services, transaction, session, answers, now_s)
            else:
                reason = steps.look(self._services, transaction, session, now_s)
            session = steps.again(transaction, session)
        if session.asking is None:
            return self._code(transaction, posted, session, auth_session, now_s)
        to_all = "wrong_answer" if answers and reason != "none" else "none"
        return self._prompt(transaction, posted, session, auth_session, reason, now_s, to_all)

    def _take_code_challenge(self, transaction: Transaction, session: Session, fields: Mapping[str, str]) -> None:
        """A session that is satisfied, or began at the token endpoint, gives codes for the verifier that its client has now."""
        changed = fields.get("code_challenge", session.code_challenge) != session.code_challenge
        if changed or not request.is_code_challenge(session.code_challenge):
            transaction.set_code_challenge(session.id, request.code_challenge(fields))

    def _step_up(self, transaction: Transaction, session: Session, fields: Mapping[str, str], now_s: int) -> Session:
        """RFC 9470, section 5: more is asked of a satisfied session where acr_values or max_age want more than it gave; and where
        scope has more than a person has seen (RFC 6750, section 3.1: insufficient_scope)."""
        max_age_s, scope = request.max_age(fields), session.scope
        if "scope" in fields and session.asking is None:
            scope = request.target(self._settings, {"resource": session.resource, "scope": fields["scope"]})[1]
        wider = scope != session.scope
        if session.asking is not None or not (wider or "acr_values" in fields or max_age_s is not None):
            return session
        wanted, names, acr = fields.get("acr_values", ""), session.challenges, session.acr
        if wider or (wanted and acr not in wanted.split()):
            rule = policy.choose(self._settings.policy, scope, session.device, wanted)
            if wider and (rule is None or not rule.challenges):
                raise AccessDeniedError("No policy lets this scope in here.")
            if rule is not None and (wider or rule.acr in wanted.split()) and rule.challenges:
                names, acr = " ".join(rule.challenges), rule.acr
        stale = max_age_s is not None and now_s - (session.auth_time or 0) > max_age_s
        if not (wider or stale) and acr == session.acr:
            return session
        transaction.step_up(session.id, scope, names, acr)
        session = steps.again(transaction, session)
        steps.begin(self._services, transaction, session, now_s)
        return session

    def _turn(self, transaction: Transaction, session: Session, superseded: bool, now_s: int) -> str:
        """The next auth_session. The one before it stays good for one question where a DPoP key guards it, and once only."""
        auth_session = secrets.token_urlsafe(32)
        keep_before = session.jkt is not None and not superseded
        expires = max(session.expires, now_s + self._settings.session_ttl_s) if session.asking else session.expires
        if not transaction.turn_session(session.id, self._handle(auth_session), session.handle if keep_before else None, expires):
            raise InvalidSession()
        return auth_session

    # Replies

    def _prompt(
        self,
        transaction: Transaction,
        posted: Posted,
        session: Session,
        auth_session: str,
        reason: str,
        now_s: int,
        to_all: str = "none",
    ) -> Response:
        """FiPA-04, section 5.2.2.1: 403. Same members and same size whatever the reason.

        `reason` is for an authenticated client; anybody else is told `to_all`.
        """
        asked = steps.ask(self._services, transaction, session, now_s)
        until = session.expires if asked.expires is None or asked.expires <= now_s else min(session.expires, asked.expires)
        body = {
            "error": "insufficient_authorization",
            "auth_session": auth_session,
            "inputs": asked.inputs,
            "message": asked.message,
            "user_code": asked.user_code,
            "reason": reason if session.asserted else to_all,
            "tries_left": MAX_TRIES - session.tries,
            "retry_after": asked.retry_after_s,
            "inputs_expire_in": until - now_s,
            "binding_word": session.binding_word,
        }
        self._log(posted, session, "prompted" if reason == "none" else reason)
        return filled(403, body, BODY_BYTES * (1 + (len(to_json(asked.inputs)) + REST_BYTES) // BODY_BYTES))

    def _code(self, transaction: Transaction, posted: Posted, session: Session, auth_session: str, now_s: int) -> Response:
        """FiPA-04, section 5.2.1. An older code of this session, and what came of it, ends here."""
        subject = ownership.settle(transaction, session, now_s)
        transaction.revoke_session_codes(session.id, now_s)
        code = secrets.token_urlsafe(32)
        transaction.add_code(
            Code(
                digest=self._keys.keyed_hash("code", code),
                session=session.id,
                client_id=session.client_id,
                subject=subject,
                device=session.device if session.asserted else None,
                scope=session.scope,
                resource=session.resource,
                jkt=session.jkt,
                code_challenge=session.code_challenge,
                expires=now_s + self._settings.code_ttl_s,
                acr=session.acr,
                auth_time=session.auth_time,
            )
        )
        self._log(posted, session, "code")
        return answer(200, {"authorization_code": code, "auth_session": auth_session})

    def _refuse(self, error: OAuth2Error, posted: Posted, client: Client | None) -> Response:
        self._services.metrics.outcome("challenge", error.error)
        logs.line(
            "challenge", request=posted.request_id, client=client.id if client else None, outcome="refused", error=error.error
        )
        return refusal(error)

    def _log(self, posted: Posted, session: Session, outcome: str) -> None:
        self._services.metrics.outcome("challenge", outcome)
        logs.line(
            "challenge",
            request=posted.request_id,
            client=session.client_id,
            device=session.device,
            session=session.id,
            outcome=outcome,
            tries_left=MAX_TRIES - session.tries,
        )

    def _handle(self, auth_session: str) -> bytes:
        return self._keys.keyed_hash("auth_session", auth_session)


def first_party(services: Services, posted: Posted) -> Client | None:
    """Who asks; None where the request names nobody. Raises OAuth2Error: not on the list, or it did not prove it."""
    try:
        client = services.clients.authenticate(posted.fields, posted.authorization)
    except UnknownClient:
        client = None
    else:
        if client is None or client.first_party:
            return client
    raise UnauthorizedClientError("Only first-party clients on the list of this server.")  # FiPA-04, section 5


def _standing(session: Session) -> str:
    return "unknown_device" if session.decoy else "locked" if session.locked else "none"


def _refuse_refused(session: Session) -> None:
    if session.refused:
        raise AccessDeniedError("A person refused it.")


def of_device(fields: Mapping[str, str], client: Client) -> str:
    """The device in the AS's words. What a public client claims stands under that client's name: nobody vouches for it."""
    device = fields.get("device_id")
    if device is not None and not _DEVICE.fullmatch(device):
        raise InvalidRequestError("device_id must be 1 to 64 letters, digits, dots, hyphens or underscores.")
    if client.confidential:
        if device is None:
            raise InvalidRequestError("device_id is missing: an authenticated client says for which device it asks.")
        return device
    return client.id if device is None else f"{client.id}/{device}"


def _check_repetitions(fields: Mapping[str, str], session: Session) -> None:
    if "response_type" in fields:
        request.check_response_type(fields)
    same = fields.get("resource", session.resource) == session.resource
    begun_here = request.is_code_challenge(session.code_challenge)
    if begun_here and (session.asking is not None or session.jkt is None):
        same = same and fields.get("code_challenge", session.code_challenge) == session.code_challenge
    if "scope" in fields:
        asked, granted = set(fields["scope"].split(" ")) - {""}, set(session.scope.split(" "))
        # A satisfied session may be asked for more, by whoever proves its key.
        wider = session.asking is None and session.jkt is not None and asked > granted
        same = same and (wider or asked == granted)
    if "device_id" in fields:
        same = same and session.device in (fields["device_id"], f"{session.client_id}/{fields['device_id']}")
    if not same:
        raise InvalidRequestError("A follow-up may repeat parameters of the first request, not change them.")
