"""Accounts, where they are signed in, which devices are theirs, and who did what.

Not for passwords: an argon2 hash is all that is here (accounts.py).
"""

from host_sim.authorization_server.storage.rows import Account, Device, Entry, SignIn, Transfer
from host_sim.authorization_server.storage.tables import Tables

AUDIT_S = 400 * 86400  # how long the audit log remembers


class People(Tables):
    # Accounts

    def add_account(self, account: Account) -> bool:
        """False: an account of this name is there."""
        if self.account_by_name(account.name):
            return False
        self._insert(account)
        return True

    def account(self, account: str) -> Account | None:
        return self._one(Account, "id = ?", account)

    def account_by_name(self, name: str) -> Account | None:
        return self._one(Account, "name = ?", name)

    def accounts(self) -> list[Account]:
        return self._all(Account, "1 ORDER BY name")

    def set_password(self, account: str, password: str) -> None:
        self._execute("UPDATE accounts SET password = ? WHERE id = ?", (password, account))

    # Signing in

    def add_sign_in(self, sign_in: SignIn) -> None:
        self._insert(sign_in)

    def sign_in(self, digest: bytes) -> SignIn | None:
        return self._one(SignIn, "digest = ?", digest)

    def see_sign_in(self, digest: bytes, now: int) -> None:
        self._execute("UPDATE sign_ins SET seen = ? WHERE digest = ?", (now, digest))

    def end_sign_in(self, digest: bytes) -> None:
        self._execute("DELETE FROM sign_ins WHERE digest = ?", (digest,))

    def end_other_sign_ins(self, account: str, digest: bytes) -> None:
        """Everywhere but in the browser of that digest."""
        self._execute("DELETE FROM sign_ins WHERE account = ? AND digest <> ?", (account, digest))

    # What a person may try so many times in a while

    def charge(self, digest: bytes, most: int, now: int, expires: int) -> bool:
        """Counts a try before anybody compares. False: `most` were made, and the first of them is not forgotten yet."""
        self._execute("DELETE FROM limited WHERE digest = ? AND expires <= ?", (digest, now))
        charged = self._execute(
            "INSERT INTO limited VALUES (?, 1, ?) ON CONFLICT (digest) DO UPDATE SET tries = tries + 1 WHERE tries < ?",
            (digest, expires, most),
        )
        return charged.rowcount == 1

    def forget_tries(self, digest: bytes) -> None:
        self._execute("DELETE FROM limited WHERE digest = ?", (digest,))

    # Whose a device is

    def devices_of(self, account: str) -> list[Device]:
        return self._all(Device, "owner = ? ORDER BY COALESCE(name, device), device", account)

    def set_owner(self, device: str, owner: str | None) -> None:
        """With a new owner the name and the place that the one before gave it go too, and so does what he offered."""
        self._execute("UPDATE devices SET owner = ?, name = NULL, place = NULL WHERE device = ?", (owner, device))
        self.end_transfer(device)

    def describe_device(self, device: str, name: str | None, place: str | None) -> None:
        self._execute("UPDATE devices SET name = ?, place = ? WHERE device = ?", (name, place, device))

    def offer(self, transfer: Transfer) -> None:
        """An older offer of the same device is void."""
        self._insert(transfer, "REPLACE")

    def transfer(self, device: str, now: int) -> Transfer | None:
        return self._one(Transfer, "device = ? AND expires > ?", device, now)

    def offers_to(self, name: str, now: int) -> list[Transfer]:
        return self._all(Transfer, "taker = ? AND expires > ? ORDER BY expires, device", name, now)

    def end_transfer(self, device: str) -> None:
        self._execute("DELETE FROM transfers WHERE device = ?", (device,))

    # Who did what

    def audit(self, account: str | None, action: str, subject: str, now: int) -> None:
        """account: None where no account stands behind it. Whoever the subject is, or whose device it is, sees the line too."""
        self._execute(
            "INSERT INTO audit (at, account, action, subject, concerns) VALUES (:now, :account, :action, :subject, COALESCE("
            "(SELECT owner FROM devices WHERE device = :subject), (SELECT id FROM accounts WHERE name = :subject)))",
            {"now": now, "account": account, "action": action, "subject": subject},
        )

    def audit_lock(self, device: str, now: int) -> None:
        """The line of a device that is about to be locked, where there is such a device and it is not locked yet."""
        self._execute(
            "INSERT INTO audit (at, account, action, subject, concerns)"
            " SELECT ?, NULL, 'locked', device, owner FROM devices WHERE device = ? AND locked IS NULL",
            (now, device),
        )

    def audited(self, account: str, before: int, most: int) -> list[Entry]:
        """What this account did or what concerns it, newest first, older than the line of id `before`."""
        return self._all(
            Entry, "(account = ? OR concerns = ?) AND id < ? ORDER BY id DESC LIMIT ?", account, account, before, most
        )
