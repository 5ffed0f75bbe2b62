"""HTTPS with the limits that every call of the bridge has: verified TLS, known addresses, no redirect, no proxy, small answers.

Not for OAuth (as_client.py) and not for MCP (relay.py). Errors become Refused with a fixed word; texts from outside stay outside.
"""

import json
import os
import ssl
import threading
import time
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pyreqwest import exceptions
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.response import Response

from broker_bridge.addresses import Networks, allowed, resolved
from broker_bridge.cache import Cache
from broker_bridge.refusals import Refused

MAX_BODY = 64 * 1024
# A device waits 5 s for a reply, asks once more, and takes the replica for dead 5 s later: it is to hear try_later before.
CONNECT_S, TOTAL_S = 4, 8
CONNECTIONS = 64
RETRY_S = 10
RESOLVE_EVERY_S = 15

_environment = threading.Lock()


class Fetched(NamedTuple):
    """An HTTP answer: `media_type` in lower case without parameters, `body` of at most MAX_BODY bytes, single headers only."""

    status: int
    media_type: str
    body: bytes
    headers: dict[str, str]


class _Way(NamedTuple):
    """How an origin is reached for now: by the client whose connections go to one address; `others` may be tried after it."""

    client: Client
    host: str
    others: tuple[str, ...]
    until_s: float


class HttpsClient:
    """Connections that trust the certificates in `ca` alone, or the system's where it is None, and that reach public addresses
    and those in `private_networks` alone. `identity`: a client certificate and its key, in PEM.

    A name is resolved here, and the connection is made to the address that was looked at: a name that leads elsewhere a moment
    later (DNS rebinding) changes nothing.
    """

    def __init__(
        self,
        ca: Path | None,
        private_networks: Networks = (),
        identity: bytes | None = None,
        connect_s: float = CONNECT_S,
        total_s: float = TOTAL_S,
    ) -> None:
        self._ca = ca
        self._networks = private_networks
        self._identity = identity
        self._times = (connect_s, total_s)
        self._addresses: Cache[list[str]] = Cache(time.monotonic, RESOLVE_EVERY_S)
        self._ways: dict[str, _Way] = {}
        self._clients: dict[tuple[str, str], Client] = {}

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def fetch(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes = b"",
        wanted: tuple[str, ...] = (),
        request_id: str = "",
    ) -> Fetched:
        """The answer to one request; of its headers those in `wanted` that came exactly once, names in lower case.

        request_id: the device's name for what it wants, which the server may log: sent as X-Request-Id where there is one.

        Raises Refused: try_later where nothing answers in time, internal where the answer breaks the limits.
        """
        origin = url[: url.find("/", len("https://"))] if url.count("/") > 2 else url
        way = self._ways.get(origin)
        if way is None or time.monotonic() >= way.until_s:
            way = self._ways[origin] = await self._way(origin)
        while True:
            request = way.client.request(method, url).body_bytes(body)
            try:
                for name, value in {**headers, **({"X-Request-Id": request_id} if request_id else {})}.items():
                    request = request.header(name, value, is_sensitive=name in ("Authorization", "DPoP"))
            except ValueError:
                raise Refused("invalid", "header_value") from None
            try:
                async with request.build_streamed() as response:
                    return await _read(response, wanted)
            except (exceptions.ConnectError, exceptions.RequestTimeoutError) as error:
                why = _why(error) if isinstance(error, exceptions.ConnectError) else "timeout"
                if why == "connect" or isinstance(error, exceptions.ConnectTimeoutError):
                    # Nothing was sent: the next address may have it.
                    if way.others:
                        way = self._ways[origin] = self._by(way.host, way.others)
                        continue
                    self._ways.pop(origin, None)
                    self._addresses.forget(way.host)
                raise Refused("try_later", why, RETRY_S) from None
            except (exceptions.NetworkError, exceptions.BodyDecodeError):
                raise Refused("try_later", "connection_lost", RETRY_S) from None
            except exceptions.PyreqwestError:
                raise Refused("internal", "not_http") from None

    async def _way(self, origin: str) -> _Way:
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port or 443
        try:
            literal = ip_address(host)
        except ValueError:
            if host.rpartition(".")[2][:1].isdigit():
                # An address in one parser (2130706433 is 127.0.0.1 to a browser's), a name in another: neither.
                raise Refused("internal", "private_address") from None
            addresses = await self._addresses.get(host, lambda: resolved(host, port, self._networks))
            for gone in [known for known in self._clients if known[0] == host and known[1] not in addresses]:
                del self._clients[gone]
            # Those in use first: a resolver that turns its answers around must not cost a connection.
            return self._by(host, tuple(sorted(addresses, key=lambda address: (host, address) not in self._clients)))
        if not allowed(literal, self._networks):
            raise Refused("internal", "private_address")
        return self._by(host, (host,))

    def _by(self, host: str, addresses: tuple[str, ...]) -> _Way:
        client = self._clients.get((host, addresses[0]))
        if client is None:
            client = self._clients[host, addresses[0]] = self._built(host, addresses[0])
        return _Way(client, host, addresses[1:], time.monotonic() + RESOLVE_EVERY_S)

    def _built(self, host: str, address: str) -> Client:
        builder = ClientBuilder().https_only(True).min_tls_version("TLSv1.2").follow_redirects(False).no_proxy().referer(False)
        builder = builder.gzip(False).brotli(False).zstd(False).deflate(False).user_agent("latchpin-bridge")
        connect_s, total_s = self._times
        builder = builder.connect_timeout(timedelta(seconds=connect_s)).timeout(timedelta(seconds=total_s))
        builder = builder.pool_max_idle_per_host(CONNECTIONS).resolve(host, address, 0)
        if self._identity is not None:
            builder = builder.identity_pem(self._identity)
        return _build(builder, self._ca)


def _why(error: exceptions.ConnectError) -> str:
    # The class is the same whether nothing listens, a certificate does not verify, or a connection breaks under a request.
    causes = " ".join(cause["message"] for cause in error.details.get("causes") or []).lower()
    if "certificate" in causes or "fatal alert" in causes or "handshake" in causes:
        return "tls"
    return "connection_lost" if "(sendrequest)" in causes else "connect"


async def _read(response: Response, wanted: tuple[str, ...]) -> Fetched:
    if 300 <= response.status < 400:
        raise Refused("internal", "redirect")
    length = _header(response, "content-length")
    if length.isdigit() and int(length) > MAX_BODY:
        raise Refused("internal", "body_too_long")
    body = bytearray()
    while (chunk := await response.body_reader.read_chunk()) is not None:
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused("internal", "body_too_long")
    media_type = _header(response, "content-type").partition(";")[0].strip().lower()
    found = {name: value for name in wanted if (value := _header(response, name))}
    return Fetched(response.status, media_type, bytes(body), found)


def _header(response: Response, name: str) -> str:
    """The value of a header that came exactly once and is ASCII; "" for any other."""
    try:
        values = response.get_header_all(name)
    except ValueError:
        return ""
    return values[0] if len(values) == 1 else ""


def _build(builder: ClientBuilder, ca: Path | None) -> Client:
    if ca is None:
        return builder.build()
    # add_root_certificate_pem adds to the system's roots, which rustls-native-certs reads when the client is built, from
    # SSL_CERT_FILE where that is set: for that moment the given file is the whole system.
    ssl.create_default_context(cafile=str(ca))
    with _environment:
        names = ("SSL_CERT_FILE", "SSL_CERT_DIR")
        before = {name: os.environ.pop(name, None) for name in names}
        os.environ["SSL_CERT_FILE"] = str(ca)
        try:
            return builder.build()
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def json_object(fetched: Fetched) -> dict[str, Any]:
    """The JSON object in the body of `fetched`.

    Raises Refused: another media type, not JSON in UTF-8 (RFC 8259), not an object, or a name given twice in one object.
    """
    media_type = fetched.media_type
    if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise Refused("internal", "content_type")
    try:
        text = fetched.body.decode("utf-8").strip(" \t\n\r")
        value, end = _decode(text)
    except (ValueError, RecursionError):
        raise Refused("internal", "json") from None
    if not isinstance(value, dict) or end != len(text):
        raise Refused("internal", "json")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refused("internal", "json_duplicate_key")
    return members


def _no_constant(_: str) -> None:
    raise ValueError


_decode = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant).raw_decode


def retry_after_s(fetched: Fetched) -> int | None:
    """Seconds of a Retry-After header (RFC 9110, section 10.2.3) between 1 and 3600; a date counts as none."""
    text = fetched.headers.get("retry-after", "")
    return min(max(int(text), 1), 3600) if text.isascii() and text.isdigit() and len(text) < 9 else None
