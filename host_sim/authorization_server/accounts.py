"""Accounts: people by name and password. An account's id is what tokens say as `sub` of what the account owns.

Not for signing in, which has limits and a cookie (console/sign_in.py). A password is known for as long as hashing it takes.
"""

import re
import secrets
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from host_sim.authorization_server.audit import audit
from host_sim.authorization_server.storage import Account, Storage

MIN_PASSWORD = 15  # NIST SP 800-63B-4, section 3.1.1.2: where a password is all that is asked
MAX_PASSWORD = 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9._+@-]{0,63}")

# The first of OWASP's equal choices (Password Storage Cheat Sheet, Argon2id): 46 MiB once over.
_hasher = PasswordHasher(time_cost=1, memory_cost=47104, parallelism=1)
_NOBODY = _hasher.hash(secrets.token_urlsafe(32))
_AT_ONCE = threading.BoundedSemaphore(2)  # so much memory and time for passwords, however many are tried
_IN_LINE = threading.BoundedSemaphore(10)


class AccountError(Exception):
    """Cannot be done; the text names the next step and quotes no value."""


class Busy(Exception):
    """More passwords are being checked than this server has memory for: try again in a moment."""


def normal_name(name: str) -> str:
    """The name as it is stored: names differ by more than case."""
    return name.strip().lower()


class Accounts:
    """Everybody with an account, by id and by name."""

    def __init__(self, storage: Storage, now_s: Callable[[], int]) -> None:
        self._storage = storage
        self._now_s = now_s

    def create(self, name: str, password: str) -> Account:
        """Raises AccountError: such a name or password cannot be, or the name is taken."""
        name = normal_name(name)
        if not _NAME.fullmatch(name):
            raise AccountError("a name is 1 to 64 letters a to z, digits and . _ + @ - and begins with a letter or a digit")
        account = Account(f"ac-{secrets.token_hex(8)}", name, _hash(password), self._now_s())
        with self._storage.transaction() as transaction:
            if not transaction.add_account(account):
                raise AccountError("an account of this name is there already: choose another name")
            audit(transaction, account.id, "account_created", account.name, account.created)
        return account

    def get(self, account: str) -> Account | None:
        with self._storage.transaction() as transaction:
            return transaction.account(account)

    def by_name(self, name: str) -> Account | None:
        with self._storage.transaction() as transaction:
            return transaction.account_by_name(normal_name(name))

    def all(self) -> list[Account]:
        with self._storage.transaction() as transaction:
            return transaction.accounts()

    def verify(self, name: str, password: str) -> Account | None:
        """The account, if this is its password. The same work whether there is such an account or not.

        Raises Busy. Counts nothing: whoever lets strangers call this limits them first.
        """
        account = self.by_name(name)
        if not is_password(account.password if account else _NOBODY, password) or account is None:
            return None
        if _hasher.check_needs_rehash(account.password):
            hashed = _hashed(password)
            with self._storage.transaction() as transaction:
                transaction.set_password(account.id, hashed)
        return account

    def change_password(self, account: Account, password: str, by: str | None, but_here: bytes = b"") -> None:
        """Whoever was signed in is not any more, but in the browser whose sign-in has the digest `but_here`.

        by: the account that does it, or None for the operator. Raises AccountError: such a password cannot be.
        """
        hashed = _hash(password)
        with self._storage.transaction() as transaction:
            transaction.set_password(account.id, hashed)
            transaction.end_other_sign_ins(account.id, but_here)
            audit(transaction, by, "password_changed", account.name, self._now_s())


def is_password(hashed: str, password: str) -> bool:
    """Raises Busy."""
    with _turn():
        try:
            return _hasher.verify(hashed, _prepared(password))
        except VerificationError:
            return False


def _hash(password: str) -> str:
    if len(password) < MIN_PASSWORD:
        raise AccountError(f"a password has {MIN_PASSWORD} characters or more: four or five words make a good one")
    if len(password) > MAX_PASSWORD:
        raise AccountError(f"a password has at most {MAX_PASSWORD} characters")
    if len(set(password)) < 5:
        raise AccountError("this password is too easy to guess: four or five words make a good one")
    return _hashed(password)


def _hashed(password: str) -> str:
    with _turn():
        return _hasher.hash(_prepared(password))


def _prepared(password: str) -> bytes:
    # NIST SP 800-63B-4, section 3.1.1.2: one form before hashing, for keyboards differ in how they compose a letter.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


@contextmanager
def _turn() -> Iterator[None]:
    if not _IN_LINE.acquire(blocking=False):
        raise Busy()
    try:
        with _AT_ONCE:
            yield
    finally:
        _IN_LINE.release()
