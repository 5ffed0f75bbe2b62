"""Access tokens as a resource server sees them: RFC 9068 JWTs of one issuer, checked against its published keys.

Not for proofs of possession (dpop_layer.py) or revocation (introspection.py), nor the issuer's code: this is the other side.
"""

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Callable
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from host_sim.issuer import NO_ANSWER, Issuer, IssuerUnreachable

MAX_TOKEN = 8192
LEEWAY_S = 5
FETCH_AGAIN_S, KEYS_LIVE_S = 5, 3600


class TokenError(Exception):
    """The token is not one of ours, or no longer; the text quotes nothing of it."""


def unverified_header(text: str) -> dict[str, Any]:
    """The JOSE header of a compact JWS, before anything is known about it. Raises ValueError."""
    if text.count(".") != 2 or not text.isascii():
        raise ValueError("not a compact JWS")
    part = text.partition(".")[0]
    if not part or not all(character.isalnum() or character in "-_" for character in part):
        raise ValueError("not base64url")
    try:
        header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, RecursionError, UnicodeDecodeError):
        raise ValueError("not a JOSE header") from None
    if not isinstance(header, dict):
        raise ValueError("not a JOSE header")
    return header


def signed_claims(text: str, key: ECKey) -> dict[str, Any]:
    """The claims of a compact JWS that `key` signed with ES256. Raises ValueError."""
    try:
        claims = json.loads(jws.deserialize_compact(text, key, algorithms=["ES256"]).payload)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("not signed by this key") from None
    if not isinstance(claims, dict):
        raise ValueError("no claims")
    return claims


def is_time(value: object) -> bool:
    """True for a NumericDate (RFC 7519, section 2) in a range that cannot surprise; JSON of Python knows NaN and Infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53


class IssuerKeys:
    """The signing keys of one issuer, found through its metadata and fetched again when a kid is not known."""

    def __init__(self, issuer: Issuer, now_s: Callable[[], float] = time.monotonic) -> None:
        self.issuer, self._now_s = issuer, now_s
        self._keys: dict[str, ECKey] = {}
        self._fetched_s = self._tried_s = float("-inf")
        self._lock = asyncio.Lock()

    async def key(self, kid: str) -> ECKey | None:
        """The key of this name, or None. At most one fetch in FETCH_AGAIN_S, whatever kids come. Raises IssuerUnreachable."""
        async with self._lock:
            now_s = self._now_s()
            stale = now_s - self._fetched_s > KEYS_LIVE_S
            if (kid not in self._keys or stale) and now_s - self._tried_s >= FETCH_AGAIN_S:
                self._tried_s = now_s
                try:
                    self._keys = await self._fetch()
                    self._fetched_s = now_s
                except NO_ANSWER:
                    if stale:
                        self._keys = {}
            if not self._keys:
                raise IssuerUnreachable
            return self._keys.get(kid)

    async def _fetch(self) -> dict[str, ECKey]:
        found = {}
        for key in (await self.issuer.get(await self.issuer.endpoint("jwks_uri")))["keys"]:
            usable = key.get("kty") == "EC" and key.get("crv") == "P-256" and key.get("use", "sig") == "sig"
            if usable and isinstance(key.get("kid"), str) and key.get("alg", "ES256") == "ES256":
                found[key["kid"]] = ECKey.import_key({name: key[name] for name in ("kty", "crv", "x", "y")})
        return found


class AccessTokens:
    """Judges tokens for one resource (RFC 9068, section 4)."""

    def __init__(self, keys: IssuerKeys, resource: str, now_s: Callable[[], float] = time.time) -> None:
        self._keys, self._resource, self._now_s = keys, resource, now_s

    async def claims(self, text: str) -> dict[str, Any]:
        """The claims of a token that is good now and for this resource. Raises TokenError, IssuerUnreachable."""
        if len(text) > MAX_TOKEN:
            raise TokenError("too long")
        try:
            header = unverified_header(text)
            if str(header.get("typ", "")).lower() not in ("at+jwt", "application/at+jwt") or header.get("alg") != "ES256":
                raise TokenError("not an at+jwt signed with ES256")
            if "crit" in header or not isinstance(header.get("kid"), str):
                raise TokenError("no kid, or a critical header that is not known")
            key = await self._keys.key(header["kid"])
            if key is None:
                raise TokenError("signed with a key that the issuer does not publish")
            claims = signed_claims(text, key)
        except ValueError:
            raise TokenError("not a JWT of the issuer") from None
        return self._checked(claims)

    def _checked(self, claims: dict[str, Any]) -> dict[str, Any]:
        for name in ("iss", "sub", "client_id", "jti"):
            if not isinstance(claims.get(name), str):
                raise TokenError(f"no {name}")
        for name in ("exp", "iat"):
            if not is_time(claims.get(name)):
                raise TokenError(f"no {name}")
        now_s, audience = self._now_s(), claims.get("aud")
        if claims["iss"] != self._keys.issuer.url:
            raise TokenError("of another issuer")
        if audience != self._resource and audience != [self._resource]:
            raise TokenError("for another resource")
        if claims["exp"] <= now_s:
            raise TokenError("expired")
        not_before = claims.get("nbf", claims["iat"])
        if not is_time(not_before) or max(not_before, claims["iat"]) > now_s + LEEWAY_S:
            raise TokenError("from the future")
        if not isinstance(claims.get("scope", ""), str):
            raise TokenError("scope is no text")
        confirmation = claims.get("cnf", {})
        if not isinstance(confirmation, dict) or not isinstance(confirmation.get("jkt", ""), str):
            raise TokenError("cnf is not understood")
        if confirmation and "jkt" not in confirmation:
            raise TokenError("bound to something that is no DPoP key")
        return claims
