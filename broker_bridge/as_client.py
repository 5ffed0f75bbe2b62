"""HTTPS to one pinned issuer: metadata, forms with client authentication, and its DPoP nonces.

Not for meaning: what an answer says is translate.py's. A DPoP proof is carried as it came.
"""

import functools
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote_plus, urljoin, urlsplit

from purgatory import AsyncCircuitBreakerFactory, ContextChanged
from pydantic import ValidationError

from broker_bridge.cache import Cache
from broker_bridge.client_authentication import ClientAuthentication
from broker_bridge.exchange import Discovered
from broker_bridge.https_client import Fetched, HttpsClient, json_object, retry_after_s
from broker_bridge.oauth_api import Answer, AuthorizationServerMetadata, ResourceMetadata
from broker_bridge.profile import Profile
from broker_bridge.refusals import Refused
from broker_bridge.settings import AuthorizationServer, Resource
from broker_bridge.translate import Ask

CACHE_S = 3600
# So many requests in a row without an answer, and only the probe is still sent; it comes every PROBE_EVERY_S.
SILENT_REQUESTS = 5
PROBE_EVERY_S = 10
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch
_CONFIGURED = ("scope", "resource")  # the same few texts again and again, and no secrets
_quoted_once = functools.lru_cache(256)(quote_plus)
NONCE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")  # RFC 9449, section 8.1


def nonce_of(fetched: Fetched) -> str | None:
    """The DPoP-Nonce of an answer (RFC 9449, section 8)."""
    nonce = fetched.headers.get("dpop-nonce", "")
    return nonce if NONCE.fullmatch(nonce) else None


def well_known(url: str, name: str) -> str:
    """Where the document `name` about `url` is: inserted before its path (RFC 8414, section 3.1; RFC 9728, section 3.1)."""
    parts = urlsplit(url)
    return f"https://{parts.netloc}/.well-known/{name}{parts.path if parts.path != '/' else ''}"


def encoded(form: dict[str, str]) -> bytes:
    """`form` as application/x-www-form-urlencoded. Names are ours and need nothing; most values need nothing either."""
    return "&".join([f"{name}={text if _PLAIN(text) else _quoted(name, text)}" for name, text in form.items()]).encode()


def _quoted(name: str, text: str) -> str:
    return _quoted_once(text) if name in _CONFIGURED else quote_plus(text)


def origin(url: str) -> tuple[str | None, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or 443


class AsClient:
    """The one authorization server of this bridge. `nonce`: its newest; `reachable`: whether it answered last time; `given_up`:
    it did not answer so often that only probes are sent, until one of them is answered.
    """

    def __init__(self, configured: AuthorizationServer, profile: Profile, clock: Callable[[], float], https: HttpsClient) -> None:
        self._configured = configured
        self._profile = profile
        self._authentication = ClientAuthentication(configured)
        self._https = https
        self._cache: Cache[Any] = Cache(clock, CACHE_S)
        # When to try again is the probe's: by the breaker's own time, which is the wall clock's, at once.
        self._breakers = AsyncCircuitBreakerFactory(SILENT_REQUESTS, float("-inf"), exclude=[(Refused, _answered)])
        self._breakers.add_listener(self._on_breaker)
        self._breaker: AbstractAsyncContextManager[object] | None = None
        self._origins = {origin(url) for url in (configured.issuer, *configured.other_origins)}
        self.nonce: str | None = None
        self.reachable = False
        self.given_up = False

    async def discovered(self, resource: Resource, https: HttpsClient, request_id: str = "") -> Discovered:
        """Metadata of the AS (RFC 8414) and of `resource` (RFC 9728, fetched with `https`), both checked, at most 1 h old.

        request_id: whose request it is, for the log of who is asked. Raises Refused.
        """
        found = await self._discovered(request_id)
        await self._cache.get(resource.uri, lambda: self._resource(resource, https, request_id))
        return found

    async def metadata(self) -> Discovered:
        """Metadata of the AS alone. Raises Refused."""
        return await self._discovered("")

    async def probe(self) -> None:
        """Asks the AS something, so that `reachable` is of now and `given_up` may end: its metadata. Raises Refused."""
        await self._document(well_known(self._configured.issuer, "oauth-authorization-server"), "", probing=True)
        await self._discovered("")

    async def post(self, ask: Ask, request_id: str = "") -> Answer:
        """The AS's answer to a form. Raises Refused: nothing that an AS could mean."""
        endpoints = (self._cache.fresh("") or await self._discovered(request_id)).endpoints
        if ask.endpoint not in endpoints:
            raise Refused("invalid", "endpoint_absent")
        form = dict(ask.form)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        self._authentication.add(form, headers)
        if ask.proof is not None:
            headers["DPoP"] = ask.proof
        wanted = ("dpop-nonce", "retry-after")
        fetched = await self._fetch("POST", endpoints[ask.endpoint], headers, encoded(form), wanted, request_id, False)
        self.nonce = nonce_of(fetched) or self.nonce
        return Answer(status=fetched.status, content=_content(ask, fetched), retry_after_s=retry_after_s(fetched))

    async def _fetch(
        self, method: str, url: str, headers: dict[str, str], body: bytes, wanted: tuple[str, ...], request_id: str, probing: bool
    ) -> Fetched:
        if self.given_up and not probing:
            raise Refused("try_later", "given_up", PROBE_EVERY_S)
        try:
            self._breaker = self._breaker or await self._breakers.get_breaker("authorization server")
            async with self._breaker:
                fetched = await self._https.fetch(method, url, headers, body, wanted, request_id)
        except Refused as refusal:
            self.reachable = _answered(refusal)
            raise
        self.reachable = True
        return fetched

    def _on_breaker(self, name: str, happened: str, event: object) -> None:
        if isinstance(event, ContextChanged):
            self.given_up = event.state != "closed"

    async def _discovered(self, request_id: str) -> Discovered:
        return await self._cache.get("", lambda: self._authorization_server(request_id))

    async def _authorization_server(self, request_id: str) -> Discovered:
        issuer = self._configured.issuer
        names = ("oauth-authorization-server", "openid-configuration")
        # RFC 8414, section 5: OpenID Connect appends where RFC 8414 inserts.
        places = [*(well_known(issuer, name) for name in names), f"{issuer.rstrip('/')}/.well-known/{names[1]}"]
        fetched = await self._document(places[0], request_id)
        for place in places[1:]:
            if fetched.status == 404:
                fetched = await self._document(place, request_id)
        if fetched.status != 200:
            raise Refused("try_later", f"metadata_{fetched.status}", 10)
        try:
            metadata = AuthorizationServerMetadata.model_validate(json_object(fetched))
        except ValidationError:
            raise Refused("internal", "metadata_words") from None
        if metadata.issuer != issuer:  # RFC 8414, section 3.3: identical
            raise Refused("internal", "metadata_issuer")
        self.nonce = nonce_of(fetched) or self.nonce
        path = self._profile.challenge.path
        if path.startswith("/"):
            path = f"https://{urlsplit(issuer).netloc}{path}"
        endpoints = {
            "challenge": metadata.authorization_challenge_endpoint or (path and urljoin(metadata.token_endpoint, path)),
            "token": metadata.token_endpoint,
            "device_authorization": metadata.device_authorization_endpoint,
            "revocation": metadata.revocation_endpoint,
        }
        # Mix-up: a code must go to the server that gave it (FiPA issue 176).
        if any(url and origin(url) not in self._origins for url in endpoints.values()):
            raise Refused("internal", "endpoint_origin")
        return Discovered(metadata, {name: url for name, url in endpoints.items() if url})

    async def _document(self, place: str, request_id: str, probing: bool = False) -> Fetched:
        return await self._fetch("GET", place, {"Accept": "application/json"}, b"", ("dpop-nonce",), request_id, probing)

    async def _resource(self, resource: Resource, https: HttpsClient, request_id: str) -> ResourceMetadata:
        place = well_known(resource.uri, "oauth-protected-resource")
        fetched = await https.fetch("GET", place, {"Accept": "application/json"}, request_id=request_id)
        if fetched.status != 200:
            raise Refused("try_later", f"resource_metadata_{fetched.status}", 10)
        try:
            metadata = ResourceMetadata.model_validate(json_object(fetched))
        except ValidationError:
            raise Refused("internal", "resource_metadata_words") from None
        if metadata.resource != resource.uri:  # RFC 9728, section 3.3: identical
            raise Refused("internal", "resource_metadata_resource")
        if self._configured.issuer not in metadata.authorization_servers:
            raise Refused("internal", "resource_of_another_issuer")
        return metadata


def _content(ask: Ask, fetched: Fetched) -> dict[str, object]:
    # RFC 7009, section 2.2: a revocation's 200 has no content. Servers in trouble, and what stands before them, answer in HTML.
    if fetched.status >= 500 or fetched.status == 429 or (ask.endpoint == "revocation" and fetched.status == 200):
        return {}
    return json_object(fetched)


def _answered(refusal: Refused) -> bool:
    return refusal.code != "try_later"
