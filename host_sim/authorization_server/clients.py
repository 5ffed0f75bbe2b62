"""Who asks: the first-party clients on the list, and how they prove it.

Not for devices: a confidential client asserts those (challenge_endpoint.py).
"""

import hashlib
import hmac
from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError, InvalidRequestError

from host_sim.authorization_server.settings import ClientEntry
from host_sim.authorization_server.storage import AddedClient, Storage

METHODS = ["client_secret_basic", "none"]
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
MAX_SEEN = 1000  # a header can be written in many ways
GRANTS = ["authorization_code", "refresh_token", DEVICE_CODE]


class Client(ClientMixin):
    """One client of the list, in the words that Authlib's grants ask for. `resource`: the one that it serves."""

    def __init__(self, entry: ClientEntry | AddedClient) -> None:
        self.id = entry.id
        self.name = entry.name or entry.id
        self.dpop_bound_access_tokens = bool(entry.dpop_bound_access_tokens)
        self.resource = entry.resource
        if isinstance(entry, ClientEntry):
            secret = entry.secret_text()
            self.first_party = entry.first_party and entry.resource is None
            self.redirect_uris = entry.redirect_uris
            self._secret_digest = None if secret is None else digest(secret)
        else:
            self.first_party = entry.resource is None
            self.redirect_uris = entry.redirect_uris.split()
            self._secret_digest = entry.secret

    @property
    def confidential(self) -> bool:
        return self._secret_digest is not None

    def get_client_id(self) -> str:
        return self.id

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(digest(client_secret), self._secret_digest or bytes(32))

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in GRANTS

    def get_allowed_scope(self, scope: Any) -> Any:
        return scope


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class Clients:
    """The list, by id: as.toml, and what `latchpin as client add` added."""

    def __init__(self, entries: list[ClientEntry], storage: Storage) -> None:
        self._clients = {entry.id: Client(entry) for entry in entries}
        self._seen: dict[bytes, Client] = {}
        self._storage = storage

    def get(self, client_id: str) -> Client | None:
        if client_id in self._clients:
            return self._clients[client_id]
        with self._storage.transaction() as transaction:
            added = transaction.added_client(client_id)
        return Client(added) if added else None

    def all(self) -> list[Client]:
        with self._storage.transaction() as transaction:
            return [*self._clients.values(), *(Client(added) for added in transaction.added_clients())]

    def authenticate(self, fields: Mapping[str, str], authorization: str | None) -> Client | None:
        """The client behind a request (RFC 6749, section 2.3); None when the request names nobody.

        Raises InvalidClientError: unknown, or it did not prove what it must; InvalidRequestError: it names itself in two ways.
        """
        named = fields.get("client_id")
        if "client_secret" in fields:
            raise InvalidRequestError("Send client credentials by HTTP Basic alone.")
        if authorization is not None:
            client = self._proved(authorization)
            if named is not None and named != client.id:
                raise InvalidRequestError("client_id is not the authenticated client.")  # FiPA-04, section 5.1
            return client
        if named is None:
            return None
        client = self.get(named)
        if client is None:
            raise UnknownClient("This client is not on the list.")
        if client.confidential:
            raise InvalidClientError("This client must authenticate by HTTP Basic.", status_code=401)
        return client

    def _proved(self, authorization: str) -> Client:
        """Whose secret this header holds. What a client of as.toml sends over and over again is known by its hash."""
        seen = digest(authorization)
        if seen in self._seen:
            return self._seen[seen]
        client_id, secret = _basic(authorization)
        client = self.get(client_id)
        if client is None or not client.confidential or not client.check_client_secret(secret):
            raise InvalidClientError("Client authentication failed.", status_code=401)
        if client_id in self._clients and len(self._seen) < MAX_SEEN:
            self._seen[seen] = client
        return client


class UnknownClient(InvalidClientError):
    """A client_id that is on no list."""


def _basic(authorization: str) -> tuple[str, str]:
    # RFC 6749, section 2.3.1: both halves are form-urlencoded before they are joined.
    scheme, _, token = authorization.partition(" ")
    try:
        text = b64decode(token, validate=True).decode() if scheme.lower() == "basic" else ""
        client_id, colon, secret = text.partition(":")
        if colon:
            return unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:
        pass
    raise InvalidClientError("Client authentication failed.", status_code=401)
