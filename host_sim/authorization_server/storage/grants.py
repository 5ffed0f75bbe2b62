"""Authorization codes, and what comes from them.

Not for tokens themselves: only keyed hashes of them are here.
"""

from host_sim.authorization_server.storage.rows import Code, Family, RefreshToken
from host_sim.authorization_server.storage.tables import Tables

MEMORY_S = 86400  # how long a used code or refresh token is known again, so that its reuse ends its family

_PRESENTED_COLUMNS = [*(f"own.{name}" for name in RefreshToken._fields), *(f"families.{name}" for name in Family._fields)]
_PRESENTED = (
    f"SELECT {', '.join(_PRESENTED_COLUMNS)}, next.used IS NOT NULL"  # noqa: S608
    " FROM refresh_tokens AS own JOIN families ON families.id = own.family"
    " LEFT JOIN refresh_tokens AS next ON next.digest = ? WHERE own.digest = ?"
)


class Grants(Tables):
    def add_code(self, code: Code) -> None:
        self._insert(code)

    def code(self, digest: bytes) -> Code | None:
        return self._one(Code, "digest = ?", digest)

    def use_code(self, digest: bytes, family: str, now: int) -> None:
        used = self._execute("UPDATE codes SET used = ?, family = ? WHERE digest = ? AND used IS NULL", (now, family, digest))
        assert used.rowcount == 1
        # Redeeming uses the auth_session that came with the code: a superseded one that arrives late takes no tokens back.
        session = "SELECT session FROM codes WHERE digest = ?"
        self._execute(f"UPDATE sessions SET handle_before = NULL WHERE id = ({session})", (digest,))  # noqa: S608

    def revoke_session_codes(self, session: str, now: int) -> None:
        """The codes of a session and every family that came from them."""
        self._execute("UPDATE codes SET revoked = ? WHERE session = ? AND revoked IS NULL", (now, session))
        self._execute("UPDATE families SET revoked = ? WHERE session = ? AND revoked IS NULL", (now, session))

    def add_family(self, family: Family) -> None:
        self._insert(family)

    def family(self, family: str) -> Family | None:
        return self._one(Family, "id = ?", family)

    def prolong_family(self, family: str, expires: int) -> None:
        self._execute("UPDATE families SET expires = MAX(expires, ?) WHERE id = ?", (expires, family))

    def revoke_family(self, family: str, now: int) -> None:
        self._execute("UPDATE families SET revoked = ? WHERE id = ? AND revoked IS NULL", (now, family))

    def live_families(self, subject: str, now: int) -> list[Family]:
        """What was granted in the name of `subject` and can still be used, oldest first."""
        return self._all(Family, "subject = ? AND revoked IS NULL AND expires > ? ORDER BY created, id", subject, now)

    def device_families(self, device: str, now: int) -> list[Family]:
        """The same for what an asserted device holds."""
        return self._all(Family, "device = ? AND revoked IS NULL AND expires > ? ORDER BY created, id", device, now)

    def revoke_device(self, device: str, now: int) -> None:
        """Every code of a device and all that came from them."""
        self._execute("UPDATE codes SET revoked = ? WHERE device = ? AND revoked IS NULL", (now, device))
        self._execute("UPDATE families SET revoked = ? WHERE device = ? AND revoked IS NULL", (now, device))

    def add_refresh_token(self, token: RefreshToken) -> None:
        """Adding the same one again changes nothing."""
        self._insert(token, "IGNORE")

    def refresh_token(self, digest: bytes) -> RefreshToken | None:
        return self._one(RefreshToken, "digest = ?", digest)

    def presented(self, digest: bytes, successor: bytes) -> tuple[RefreshToken, Family, bool] | None:
        """A refresh token with its family, and whether the one that follows it was used too."""
        found = self._execute(_PRESENTED, (successor, digest)).fetchone()
        if found is None:
            return None
        own = len(RefreshToken._fields)
        return RefreshToken._make(found[:own]), Family._make(found[own:-1]), bool(found[-1])

    def use_refresh_token(self, token: RefreshToken, now: int, ttl_s: int) -> None:
        """Known while its successor may be asked for again; what came before it is not asked for any more."""
        if token.used is None:
            self._execute(
                "UPDATE refresh_tokens SET used = IIF(digest = :digest, :now, used),"
                " expires = IIF(digest = :digest, :now + :ttl_s, MIN(expires, :now + :memory_s))"
                " WHERE digest IN (:digest, :predecessor)",
                {**token._asdict(), "now": now, "ttl_s": ttl_s, "memory_s": MEMORY_S},
            )
