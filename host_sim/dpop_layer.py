"""The gate in front of an MCP server: DPoP-bound access tokens (RFC 9449, sections 4.3, 7 and 9) and a scope for each tool.

Not the MCP server: what passes goes on to it as Bearer, the only scheme that the SDK reads (MCP.md, section 4.1).
"""

import base64
import contextlib
import contextvars
import dataclasses
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from mcp.server.auth.provider import AccessToken, TokenVerifier
from starlette.types import Message, Receive, Scope, Send

from broker_bridge import logs
from host_sim.access_tokens import AccessTokens, TokenError, is_time, signed_claims, unverified_header
from host_sim.introspection import Introspection
from host_sim.issuer import IssuerUnreachable

MAX_PROOF, MAX_BODY, MAX_PROOFS = 4096, 65536, 100_000
IAT_WINDOW_S, NONCE_LIVE_S = 300, 300

_admitted: contextvars.ContextVar[AccessToken | None] = contextvars.ContextVar("admitted", default=None)


@dataclasses.dataclass(eq=False)
class Refusal(Exception):
    """What an HTTP request is refused with. `error` is a code of RFC 6750, 9449 or none (nothing was presented)."""

    status: int
    error: str = ""
    description: str = ""
    scope: str = ""
    members: Mapping[str, str] = dataclasses.field(default_factory=dict)  # more of the challenge


@contextlib.contextmanager
def _judged_by(missing: str) -> Iterator[None]:
    """A token that is refused, or that nobody can judge for what is `missing`, becomes a Refusal."""
    try:
        yield
    except TokenError as error:
        raise Refusal(401, "invalid_token", f"the token is {error}") from None
    except IssuerUnreachable:
        raise Refusal(503, "temporarily_unavailable", missing) from None


class Admitted(TokenVerifier):
    """The SDK's question about a Bearer token: yes only for the token that the gate has let through in this very request."""

    async def verify_token(self, token: str) -> AccessToken | None:
        admitted = _admitted.get()
        return admitted if admitted is not None and hmac.compare_digest(admitted.token, token) else None


class Proofs:
    """What makes a DPoP proof good here (RFC 9449, section 4.3). The clock is a nonce of ours where `nonces` are on, else iat."""

    def __init__(self, resource: str, nonces: bool, now_s: Callable[[], float] = time.time) -> None:
        self._url, self._nonces, self._now_s = _normal(resource), nonces, now_s
        self._key = secrets.token_bytes(32)
        self._seen: dict[bytes, float] = {}

    def nonce(self) -> str | None:
        """A nonce that is good for NONCE_LIVE_S: its time and a keyed hash, so that none is stored. None where they are off."""
        if not self._nonces:
            return None
        stamp = int(self._now_s()).to_bytes(5, "big")
        return _base64url(stamp + self._tag(stamp))

    def check(self, text: str, method: str, token: str, jkt: str) -> None:
        """Raises Refusal unless `text` proves, for the first time, the key `jkt` for this request with this token."""
        claims, thumbprint = _verified(text)
        ath = _base64url(hashlib.sha256(token.encode()).digest())
        jti, htu, now_s = claims.get("jti"), claims.get("htu"), self._now_s()
        for good, description in (
            (hmac.compare_digest(thumbprint, jkt), "the proof is of another key than the token"),
            (claims.get("htm") == method, "htm is another method"),
            (isinstance(htu, str) and _normal(htu) == self._url, "htu is another URL"),
            (claims.get("ath") == ath, "ath is not the hash of the token"),
            (isinstance(jti, str) and 1 <= len(jti) <= 256, "jti is missing or too long"),
            (is_time(claims.get("iat")), "iat is missing"),
        ):
            if not good:
                raise Refusal(401, "invalid_dpop_proof", description)
        if self._nonces:
            if not self._is_fresh(claims.get("nonce"), now_s):
                raise Refusal(401, "use_dpop_nonce", "sign again with the DPoP-Nonce of this answer")
        elif abs(now_s - claims["iat"]) > IAT_WINDOW_S:
            raise Refusal(401, "invalid_dpop_proof", "iat is too far from now")
        self._once(hashlib.sha256(f"{jkt} {jti}".encode(errors="surrogatepass")).digest(), now_s)

    def _once(self, digest: bytes, now_s: float) -> None:
        # In order of arrival, so the oldest stand first. A proof lives as long as its nonce, or its iat on both sides of now.
        while self._seen and (oldest := next(iter(self._seen))) and self._seen[oldest] <= now_s:
            del self._seen[oldest]
        if digest in self._seen:
            raise Refusal(401, "invalid_dpop_proof", "the proof was used before")
        if len(self._seen) >= MAX_PROOFS:
            raise Refusal(503, "temporarily_unavailable", "too many requests")
        self._seen[digest] = now_s + 2 * max(IAT_WINDOW_S, NONCE_LIVE_S) + 1

    def _is_fresh(self, nonce: object, now_s: float) -> bool:
        if not isinstance(nonce, str) or not re.fullmatch("[A-Za-z0-9_-]{28}", nonce):
            return False
        data = base64.urlsafe_b64decode(nonce)
        age_s = int(now_s) - int.from_bytes(data[:5], "big")
        return hmac.compare_digest(data[5:], self._tag(data[:5])) and 0 <= age_s <= NONCE_LIVE_S

    def _tag(self, stamp: bytes) -> bytes:
        return hmac.digest(self._key, stamp, "sha256")[:16]


def _verified(text: str) -> tuple[dict[str, Any], str]:
    """(claims, RFC 7638 thumbprint of the key) of a proof: checks 2 to 7 of section 4.3."""
    try:
        if len(text) > MAX_PROOF:
            raise ValueError
        header = unverified_header(text)
        jwk = header.get("jwk")
        if header.get("typ") != "dpop+jwt" or header.get("alg") != "ES256" or "crit" in header or not isinstance(jwk, dict):
            raise ValueError
        if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or "d" in jwk:
            raise ValueError
        if not all(isinstance(jwk.get(name), str) for name in ("x", "y")):
            raise ValueError
        key = ECKey.import_key({name: jwk[name] for name in ("kty", "crv", "x", "y")})
        return signed_claims(text, key), key.thumbprint()
    except (JoseError, ValueError, TypeError, KeyError):
        raise Refusal(
            401, "invalid_dpop_proof", "the proof is not a dpop+jwt signed with ES256 by the public key in it"
        ) from None


def _normal(url: str) -> tuple[str, str, str] | None:
    """Scheme, authority and path: query and fragment do not count (section 4.3, check 9; RFC 3986, section 6.2)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    scheme, host = parts.scheme.lower(), parts.netloc.lower()
    return scheme, host.removesuffix(":443") if scheme == "https" else host, parts.path or "/"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class DpopLayer:
    """ASGI: answers the resource's metadata (RFC 9728), admits or refuses, and hands on with `Authorization: Bearer`.

    `tools` names the scope that each tool wants; a tool that is not there wants none here (the SDK refuses it). `methods`: with
    sessions (MCP 2025-11-25) there are a stream to GET and a session to DELETE, else neither.
    """

    def __init__(
        self,
        app: Any,
        *,
        resource: str,
        issuer: str,
        scopes: list[str],
        tools: Mapping[str, str],
        tokens: AccessTokens,
        proofs: Proofs,
        introspection: Introspection | None = None,
        allow_bearer: bool = False,
        acr_values: str = "",
        max_age_s: int | None = None,
        methods: Sequence[str] = ("POST",),
    ) -> None:
        parts = urlsplit(resource)
        self._app, self._path, self._tokens, self._proofs = app, parts.path, tokens, proofs
        self._introspection, self._acr_values, self._max_age_s = introspection, acr_values, max_age_s
        self._scopes, self._tools, self._allow_bearer, self._methods = scopes, tools, allow_bearer, methods
        self._metadata_path = f"/.well-known/oauth-protected-resource{parts.path}"  # RFC 9728, section 3.1
        self._metadata_url = f"{parts.scheme}://{parts.netloc}{self._metadata_path}"
        self._metadata = {
            "resource": resource,
            "authorization_servers": [issuer],
            "scopes_supported": scopes,
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": ["ES256"],
            "dpop_bound_access_tokens_required": not allow_bearer,
            "resource_name": "Latchpin demo",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        if scope["path"] == self._metadata_path and scope["method"] in ("GET", "HEAD"):
            return await self._answer(send, 200, self._metadata, [(b"cache-control", b"max-age=3600")])
        if scope["path"] != self._path:
            return await self._answer(send, 404, {"error": "not_found"})
        try:
            admitted = await self.admit(scope)
            self.demand_authentication(admitted)
            if scope["method"] not in self._methods:
                allow = (b"allow", ", ".join(self._methods).encode())
                return await self._answer(send, 405, {"error": "method_not_allowed"}, [allow])
            body = await _body(receive)
            self.demand_scope(admitted, body)
        except Refusal as refusal:
            logs.line("refused", request=_request_id(scope), status=refusal.status, error=refusal.error or None)
            return await self._refuse(send, refusal)
        device = (admitted.claims or {}).get("device_id")
        logs.line(
            "admitted", request=_request_id(scope), device=None if device is None else str(device), client=admitted.client_id
        )
        headers = [pair for pair in scope["headers"] if pair[0] not in (b"authorization", b"dpop")]
        headers.append((b"authorization", b"Bearer " + admitted.token.encode()))
        left = [body]

        async def replay() -> Message:
            return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

        async def with_nonce(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *self._nonce_header()]}
            await send(message)

        before = _admitted.set(admitted)
        try:
            await self._app({**scope, "headers": headers}, replay, with_nonce)
        finally:
            _admitted.reset(before)

    async def admit(self, scope: Scope) -> AccessToken:
        """The token of a request, with everything about it checked. Raises Refusal."""
        credentials = [value for name, value in scope["headers"] if name == b"authorization"]
        proofs = [value for name, value in scope["headers"] if name == b"dpop"]
        if not credentials:
            raise Refusal(401)
        scheme, _, token = credentials[0].decode("latin-1").partition(" ")
        if len(credentials) > 1 or not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
            raise Refusal(400, "invalid_request", "one Authorization header with one token, please")
        if scheme.lower() not in ("dpop", "bearer"):
            raise Refusal(401)
        with _judged_by("the keys of the authorization server cannot be had"):
            claims = await self._tokens.claims(token)
        jkt = claims.get("cnf", {}).get("jkt")
        if scheme.lower() == "bearer":
            if jkt is not None:
                raise Refusal(401, "invalid_token", "the token is bound to a DPoP key: present it with a proof")  # section 7.2
            if not self._allow_bearer:
                raise Refusal(401, "invalid_token", "only DPoP-bound tokens are taken")
        else:
            if jkt is None:
                raise Refusal(401, "invalid_token", "the token is not bound to a DPoP key")
            if len(proofs) != 1:
                raise Refusal(401, "invalid_dpop_proof", "one DPoP header, please")
            self._proofs.check(proofs[0].decode("latin-1"), scope["method"], token, jkt)
        if self._introspection is not None:
            with _judged_by("the authorization server cannot be asked about this token"):
                await self._introspection.demand_active(token)
        return AccessToken(
            token=token,
            client_id=claims["client_id"],
            scopes=claims.get("scope", "").split(),
            expires_at=int(claims["exp"]),
            resource=self._metadata["resource"],
            subject=claims["sub"],
            claims=claims,
        )

    def demand_authentication(self, admitted: AccessToken) -> None:
        """RFC 9470, section 3. Raises Refusal where a person has proved less, or longer ago, than is wanted here."""
        claims = admitted.claims or {}
        weak = self._acr_values and claims.get("acr") not in self._acr_values.split()
        stale = self._max_age_s is not None and time.time() - claims.get("auth_time", 0) > self._max_age_s
        if weak or stale:
            wanted = {"acr_values": self._acr_values, "max_age": "" if self._max_age_s is None else str(self._max_age_s)}
            raise Refusal(401, "insufficient_user_authentication", "a person has to prove more, or again", members=wanted)

    def demand_scope(self, admitted: AccessToken, body: bytes) -> None:
        """Raises Refusal where a tools/call in `body` wants a scope that the token lacks. The tools ask once more."""
        try:
            messages = json.loads(body) if body else []
        except (ValueError, RecursionError):
            return  # the SDK says what is wrong with it
        for message in messages if isinstance(messages, list) else [messages]:
            params = message.get("params") if isinstance(message, dict) and message.get("method") == "tools/call" else None
            name = params.get("name") if isinstance(params, dict) else None
            wanted = self._tools.get(name, "") if isinstance(name, str) else ""
            if wanted and wanted not in admitted.scopes:
                together = " ".join(sorted({*admitted.scopes, wanted}))
                raise Refusal(403, "insufficient_scope", "this tool wants another scope", together)

    async def _refuse(self, send: Send, refusal: Refusal) -> None:
        headers = list(self._nonce_header())
        if refusal.status in (401, 403):
            members = {"algs": "ES256", "error": refusal.error, "error_description": refusal.description}
            members |= {"scope": refusal.scope or " ".join(self._scopes), "resource_metadata": self._metadata_url}
            members |= refusal.members
            challenge = ", ".join(f'{name}="{value}"' for name, value in members.items() if value)
            headers.append((b"www-authenticate", f"DPoP {challenge}".encode()))
        if refusal.status == 503:
            headers.append((b"retry-after", b"5"))
        body = {"error": refusal.error or "unauthorized"} | (
            {"error_description": refusal.description} if refusal.description else {}
        )
        await self._answer(send, refusal.status, body, headers)

    def _nonce_header(self) -> list[tuple[bytes, bytes]]:
        nonce = self._proofs.nonce()
        return [(b"dpop-nonce", nonce.encode())] if nonce else []

    async def _answer(
        self, send: Send, status: int, body: Mapping[str, Any], headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        data = json.dumps(body).encode()
        basic = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": [*basic, *(headers or [])]})
        await send({"type": "http.response.body", "body": data})


def _request_id(scope: Scope) -> str | None:
    """The caller's name for this request, for the log alone."""
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"]
    return found[0] if len(found) == 1 and re.fullmatch("[0-9a-f]{8,64}", found[0]) else None


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(400, "invalid_request", "the request broke off")
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise Refusal(413, "invalid_request", "the body is too long")
    return body
