"""Small authorization servers, one for each shipped profile, written from that dialect's public documentation.

Not the reference AS and not lenient: what a document does not name in a request is answered with invalid_request, and a code is
redeemed once, by its client, with the verifier of its first request.
"""

import base64
import hashlib
import secrets
from typing import Any

from tests.bridge.foreign import Asked, Foreign, Said

CLIENT = "latchpin-device"
USER, INACTIVE, OTP, WRONG = "alice", "bob", "555121", "000000"
NO_STORE = {"Cache-Control": "no-store"}


class Dialect:
    """The parts that RFC 6749 and RFC 7636 settle for all. `sessions`: auth_session to what its first request said."""

    challenge_path = "/authorize-challenge"
    token_path = "/token"
    advertised = False
    public = False
    allowed: frozenset[str] = frozenset()

    def __init__(self, server: Foreign) -> None:
        self.server = server
        self.sessions: dict[str, dict[str, str]] = {}
        self.codes: dict[str, dict[str, str]] = {}
        server.usual()
        metadata = server.metadata
        metadata["token_endpoint"] = server.origin + self.token_path
        del metadata["authorization_challenge_endpoint"]
        if self.advertised:
            metadata["authorization_challenge_endpoint"] = server.origin + self.challenge_path
        server.routes[self.challenge_path] = self._guarded(self.challenge)
        server.routes[self.token_path] = self._guarded(self.token)

    def _guarded(self, answer: Any) -> Any:
        def guarded(asked: Asked) -> Said:
            if self.public:
                named = asked.form.get("client_id") == CLIENT and "authorization" not in asked.headers
                return answer(asked.form) if named else self.error(401, "invalid_client")
            # RFC 6749, section 2.3.1; FiPA, section 4.1: at both endpoints alike.
            scheme, _, pair = asked.headers.get("authorization", "").partition(" ")
            if scheme != "Basic" or base64.b64decode(pair).split(b":")[0].decode() != CLIENT:
                return self.error(401, "invalid_client")
            return answer(asked.form)

        return guarded

    def error(self, status: int, error: str, **members: Any) -> Said:
        return Said(status, {"error": error, **members}, NO_STORE)

    def session(self, form: dict[str, str]) -> str:
        name = secrets.token_urlsafe(24)
        self.sessions[name] = dict(form)
        return name

    def code(self, began: dict[str, str]) -> Said:
        code = secrets.token_urlsafe(24)
        self.codes[code] = began
        return Said(200, {"authorization_code": code}, NO_STORE)

    def challenge(self, form: dict[str, str]) -> Said:
        raise NotImplementedError

    def token(self, form: dict[str, str]) -> Said:
        began = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if began is None or began.get("code_challenge") != base64.urlsafe_b64encode(digest).decode().rstrip("="):
            return self.error(400, "invalid_grant")
        return Said(200, {"access_token": secrets.token_urlsafe(24), "token_type": "Bearer", "scope": began["scope"]}, NO_STORE)


class AppendixB(Dialect):
    """draft-ietf-oauth-first-party-apps-04, section 5 and appendix B."""

    first = frozenset({"username", "scope", "client_id", "response_type", "code_challenge", "code_challenge_method", "resource"})
    later = frozenset({"auth_session", "otp"})
    response_type: str | None = "code"

    def challenge(self, form: dict[str, str]) -> Said:
        if "auth_session" not in form:
            if set(form) - self.first or form.get("response_type") != self.response_type or not form.get("username"):
                return self.error(400, "invalid_request")
            return self.wanted(self.session(form))
        began = self.sessions.get(form["auth_session"])
        if began is None:
            return self.error(400, "invalid_session")
        if set(form) - self.later:
            return self.error(400, "invalid_request")
        good = form.get("otp") == OTP and began["username"] == USER
        return self.code(began) if good else self.wanted(form["auth_session"])

    def wanted(self, auth_session: str) -> Said:
        return self.error(403, "insufficient_authorization", auth_session=auth_session, otp_required=True)


class Draft02(AppendixB):
    """draft-ietf-oauth-first-party-apps-02, appendix B: otp_required is an error code, with 401."""

    first = AppendixB.first - {"response_type"}
    response_type = None

    def wanted(self, auth_session: str) -> Said:
        return self.error(401, "otp_required", auth_session=auth_session)


class Draft03(AppendixB):
    """-03: insufficient_authorization with the default status, 400, and a member; read by the same profile."""

    first = AppendixB.first - {"response_type"}
    response_type = None

    def wanted(self, auth_session: str) -> Said:
        return self.error(400, "insufficient_authorization", auth_session=auth_session, otp_required=True)


class Janssen(Dialect):
    """docs.jans.io, "Authorization Challenge Custom Script", multi-step example: all refusals of a script are 401."""

    challenge_path = "/jans-auth/restv1/authorize-challenge"
    token_path = "/jans-auth/restv1/token"
    granted = frozenset({"openid", "authorization_challenge"})

    def challenge(self, form: dict[str, str]) -> Said:
        if "authorization_challenge" not in self.granted:
            return self.error(401, "invalid_request")
        if form.get("acr_values") != "latchpin":  # another script answers
            return self.error(401, "password_required")
        name = form.get("auth_session", "")
        if name and name not in self.sessions:
            return self.error(401, "invalid_session")
        if not name and form.get("use_auth_session") == "true":
            name = self.session(form)
        kept = self.sessions.get(name, {})
        kept.update((key, form[key]) for key in ("username", "otp") if form.get(key))
        shown = {"auth_session": name} if name else {}
        for wanted in ("username", "otp"):
            if wanted not in kept:
                return self.error(401, f"{wanted}_required", **shown)
        if kept["username"] == INACTIVE:
            return self.error(401, "username_inactive", **shown)
        if kept["username"] != USER:
            return self.error(401, "username_invalid", **shown)
        if kept["otp"] != OTP:
            return self.error(401, "username_or_otp_invalid", **shown)
        # The scope is that of the request that succeeds.
        return self.code({**kept, "scope": form.get("scope", "")})


class EntraNativeV2(Dialect):
    """learn.microsoft.com, "Native authentication API v2 reference": start of authorization, and RFC 8628 beside it.

    Its applications are public clients (there, "Prerequisites").
    """

    public = True
    tenant = "/00001111-aaaa-2222-bbbb-3333cccc4444"
    challenge_path = f"{tenant}/oauth2/v2.0/authorize-challenge"
    token_path = f"{tenant}/oauth2/v2.0/token"
    device_path = f"{tenant}/oauth2/v2.0/devicecode"

    def __init__(self, server: Foreign) -> None:
        server.issuer = f"{server.origin}{self.tenant}/v2.0"
        super().__init__(server)
        server.metadata["device_authorization_endpoint"] = server.origin + self.device_path
        documents = server.routes
        del documents["/.well-known/oauth-authorization-server"]
        documents[f"{self.tenant}/v2.0/.well-known/openid-configuration"] = lambda asked: Said(200, server.metadata)
        documents[self.device_path] = self._guarded(self.device)

    def challenge(self, form: dict[str, str]) -> Said:
        if "resource" in form:
            return self.error(400, "invalid_request", error_description="AADSTS901002")
        links = {name: f"{self.tenant}/api/v2.0/{name}/start" for name in ("sign_in", "sign_up", "reset_password")}
        return self.error(401, "InsufficientAuthorization", continuation_token=secrets.token_urlsafe(24), **links)

    def device(self, form: dict[str, str]) -> Said:
        if set(form) != {"client_id", "scope"}:
            return self.error(400, "invalid_request")
        device_code = secrets.token_urlsafe(24)
        self.codes[device_code] = form
        uri = f"{self.server.origin}/devicelogin"
        shown = {"device_code": device_code, "user_code": "ABCD1234", "verification_uri": uri, "expires_in": 900, "interval": 5}
        return Said(200, shown, NO_STORE)

    def token(self, form: dict[str, str]) -> Said:
        began = self.codes.pop(form.get("device_code", ""), None)
        if began is None or "resource" in form:
            return self.error(400, "invalid_request" if began else "invalid_grant")
        return Said(200, {"access_token": secrets.token_urlsafe(24), "token_type": "Bearer", "scope": began["scope"]}, NO_STORE)
