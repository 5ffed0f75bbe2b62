"""The issuer as a resource server reaches it: its metadata (RFC 8414) and its JSON, over verified TLS, on its own origin.

Not for what its answers mean: access_tokens.py has its keys, introspection.py its word on a token.
"""

import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
from joserfc.errors import JoseError

MAX_DOCUMENT, TIMEOUT_S = 65536, 5

# What comes of an issuer that is away, or answers with anything but its documents.
NO_ANSWER = (httpx2.HTTPError, httpx2.InvalidURL, JoseError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


class IssuerUnreachable(Exception):
    """The issuer cannot be asked now, so that no token can be judged."""


class BadStatus(ValueError):
    def __init__(self, status: int) -> None:
        super().__init__("not 200")
        self.status = status


class Issuer:
    """One issuer. `url` is compared byte for byte; TLS is verified against the CA file, or the system's.

    Every method raises one of NO_ANSWER where there is none that can be used.
    """

    def __init__(self, url: str, ca: str | None = None) -> None:
        self.url = url
        self._context = ssl.create_default_context(cafile=ca)

    async def endpoint(self, name: str) -> str:
        """The URL that the metadata give under `name`."""
        parts = urlsplit(self.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        # RFC 8414, section 3.1: the well-known name stands before the issuer's path.
        metadata = await self.get(f"{origin}/.well-known/oauth-authorization-server{parts.path.rstrip('/')}")
        if metadata.get("issuer") != self.url:
            raise ValueError("metadata of another issuer")
        if not str(metadata[name]).startswith(origin + "/"):
            raise ValueError("endpoint on another origin")
        return metadata[name]

    async def get(self, url: str) -> dict[str, Any]:
        return await self._asked("GET", url)

    async def post(self, url: str, form: Mapping[str, str], auth: tuple[str, str]) -> dict[str, Any]:
        """The answer to a form, with HTTP Basic."""
        return await self._asked("POST", url, data=form, auth=auth)

    async def _asked(self, method: str, url: str, **sent: Any) -> dict[str, Any]:
        options: dict[str, Any] = {"trust_env": False, "follow_redirects": False, "timeout": httpx2.Timeout(TIMEOUT_S)}
        async with (
            httpx2.AsyncClient(verify=self._context, **options) as client,
            client.stream(method, url, headers={"Accept": "application/json"}, **sent) as response,
        ):
            if response.status_code != 200:
                raise BadStatus(response.status_code)
            data = b""
            async for part in response.aiter_bytes():
                data += part
                if len(data) > MAX_DOCUMENT:
                    raise ValueError("too long")
        document = json.loads(data)
        if not isinstance(document, dict):
            raise ValueError("no object")
        return document
