"""Rows as the rooms of the AS see them.

Not for statements: those are beside this file, one file for each group of tables. Times are epoch seconds. A field is a column of
the same name.
"""

from typing import NamedTuple

MAX_TRIES = 5
NOBODY = "-"  # no session, device or account is called so: looked up where nothing can be right


class Session(NamedTuple):
    """One authorization challenge session. `handle` is the hash of the auth_session that stands for it at present."""

    id: str
    client_id: str
    device: str
    asserted: bool  # an authenticated client vouches for `device`
    decoy: bool  # looks like any other and can never be satisfied
    jkt: str | None
    scope: str
    resource: str
    code_challenge: str
    binding_word: str
    challenges: str  # their names in order, separated by spaces
    step: int  # how many of them are passed
    tries: int
    requests: int
    created: int
    expires: int
    handle: bytes
    handle_before: bytes | None
    account: str | None = None  # who issued the PIN or approved: the owner of what comes of it
    acr: str | None = None  # what passing it is worth (RFC 9470)
    claimed: str | None = None  # whose account it says it is; nothing is proved by that
    refused: bool = False  # by a person
    auth_time: int | None = None  # when its last challenge was passed

    @property
    def asking(self) -> str | None:
        """The name of the challenge that waits for an answer; None when the session is satisfied."""
        names = self.challenges.split()
        return names[self.step] if self.step < len(names) else None

    @property
    def locked(self) -> bool:
        return self.tries >= MAX_TRIES


class Pin(NamedTuple):
    holder: str
    digest: bytes
    expires: int
    account: str | None = None  # who issued it

    @property
    def issued(self) -> bool:
        """Whether there is one at all."""
        return self.expires > 0


class Code(NamedTuple):
    """An authorization code, in the words that Authlib's grants ask for."""

    digest: bytes
    session: str
    client_id: str
    subject: str
    device: str | None
    scope: str
    resource: str
    jkt: str | None
    code_challenge: str
    expires: int
    used: int | None = None
    family: str | None = None
    revoked: int | None = None
    redirect_uri: str | None = None  # where it was sent; None where it never went through a browser
    acr: str | None = None
    auth_time: int | None = None

    code_challenge_method = "S256"

    def get_scope(self) -> str:
        return self.scope

    def get_redirect_uri(self) -> str | None:
        return self.redirect_uri


class Family(NamedTuple):
    """What came from one authorization code: every refresh token and access token of it."""

    id: str
    session: str
    client_id: str
    subject: str
    device: str | None
    scope: str
    resource: str
    jkt: str | None
    created: int
    expires: int
    revoked: int | None = None
    acr: str | None = None  # what was passed for it, and when (RFC 9470)
    auth_time: int | None = None
    token: bytes | None = None  # the digest of its newest refresh token, which was not used yet,
    token_before: bytes | None = None  # and of the one that this one came from
    token_expires: int = 0


class Device(NamedTuple):
    device: str
    client_id: str
    first_seen: int
    last_seen: int
    locked: int | None
    owner: str | None = None  # an account's id
    name: str | None = None
    place: str | None = None


class Account(NamedTuple):
    """A person. `id` is what tokens say as `sub`; it never changes and is never given to anybody else."""

    id: str
    name: str
    password: str  # an argon2 hash
    created: int
    totp: bytes | None = None
    knowledge: str | None = None
    totp_step: int = 0  # the last one that was used

    def __repr__(self) -> str:
        return f"Account({self.id!r})"


class Prover(NamedTuple):
    """What of an account proving needs, and an index has: found or not, nothing else is read. Prints nothing but the id."""

    id: str
    totp: bytes | None = None
    knowledge: str | None = None
    totp_step: int = 0

    def __repr__(self) -> str:
        return f"Prover({self.id!r})"


NO_PROVER = Prover(NOBODY)


class SignIn(NamedTuple):
    """A browser in which somebody is signed in. `digest` is the keyed hash of its cookie."""

    digest: bytes
    account: str
    created: int
    seen: int
    expires: int


class Transfer(NamedTuple):
    """A device that its owner offers to the account of that name; it may not exist, and nobody is told."""

    device: str
    giver: str
    taker: str
    expires: int


class Entry(NamedTuple):
    """A line of the audit log. `concerns`: the account that owned the subject at that time."""

    id: int
    at: int
    account: str | None
    action: str
    subject: str
    concerns: str | None


class AddedClient(NamedTuple):
    """A client beside those of as.toml. `secret`: SHA-256 of it, where it has one."""

    id: str
    name: str | None
    secret: bytes | None
    redirect_uris: str  # separated by spaces
    dpop_bound_access_tokens: bool
    resource: str | None
    created: int

    def __repr__(self) -> str:
        return f"AddedClient({self.id!r})"


class PushedRequest(NamedTuple):
    """A pushed authorization request. `digest` is the keyed hash of its request_uri, `fields` a JSON object."""

    digest: bytes
    client_id: str
    fields: str
    expires: int

    def __repr__(self) -> str:
        return f"PushedRequest({self.client_id!r})"


class DeviceGrant(NamedTuple):
    """A device that waits for its user code to be entered. `digest` and `user_code` are keyed hashes."""

    digest: bytes
    user_code: bytes
    client_id: str
    device: str
    asserted: bool
    jkt: str | None
    scope: str
    resource: str
    acr: str | None
    created: int
    expires: int
    interval_s: int
    not_before: int = 0  # a poll that comes sooner comes too soon
    approved: bool | None = None
    account: str | None = None
    auth_time: int | None = None
    family: str | None = None
