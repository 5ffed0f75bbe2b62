"""Authorization codes, and what comes from them.

Not for tokens themselves: only keyed hashes of them are here.
"""

from host_sim.authorization_server.storage.rows import Code, Family
from host_sim.authorization_server.storage.tables import Tables

MEMORY_S = 86400  # how long a used code is known again, so that its reuse ends its family


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

    def renew_family(self, family: Family) -> None:
        """Its tokens and how long it lives, as they are from now on."""
        self._execute(
            "UPDATE families SET token = ?, token_before = ?, token_expires = ?, expires = MAX(expires, ?) WHERE id = ?",
            (family.token, family.token_before, family.token_expires, family.expires, family.id),
        )

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
