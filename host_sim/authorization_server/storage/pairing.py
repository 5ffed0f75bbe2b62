"""Who asks and how far they got: proofs, devices, challenge sessions.

Not for what they answer (proving.py), nor for what is granted in the end (grants.py).
"""

from host_sim.authorization_server.storage.rows import MAX_TRIES, Device, Session
from host_sim.authorization_server.storage.tables import Tables

UNKNOWN = "."  # no device is called so
_ASKING = "step <= LENGTH(challenges) - LENGTH(REPLACE(challenges, ' ', ''))"  # Session.asking is not None
MAX_REQUESTS = 200  # of one session in its life: FiPA-04, section 9.3


class Pairing(Tables):
    # DPoP proofs (RFC 9449, section 11.1)

    def remember_proof(self, expires: int, digest: bytes) -> bool:
        """False: this proof was here before. `expires` is that of its nonce, and so always the same: rows that come together lie
        together, and go together."""
        return self._execute("INSERT OR IGNORE INTO proofs VALUES (?, ?)", (expires, digest)).rowcount == 1

    # Devices

    def see_device(self, device: str, client_id: str, now: int) -> Device:
        """The device as it stands, from now on known as seen now. UNKNOWN stands for every device that may not ask."""
        return self._changed(
            Device,
            "INSERT INTO devices (device, client_id, first_seen, last_seen) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (device) DO UPDATE SET last_seen = excluded.last_seen, client_id = excluded.client_id",
            (device, client_id, now, now),
        )

    def device(self, device: str) -> Device | None:
        return self._one(Device, "device = ?", device)

    def owner(self, device: str) -> str | None:
        """From an index that has it: whether there is such a device costs the same."""
        found = self._execute("SELECT owner FROM devices INDEXED BY owners WHERE device = ?", (device,)).fetchone()
        return found[0] if found else None

    def devices(self) -> list[Device]:
        return self._all(Device, "device <> ? ORDER BY device", UNKNOWN)

    def touch_device(self, device: str, now: int) -> None:
        """It was seen now."""
        self._execute("UPDATE devices SET last_seen = ? WHERE device = ?", (now, device))

    def lock_device(self, device: str, now: int) -> None:
        self._execute("UPDATE devices SET locked = ? WHERE device = ?", (now, device))

    def unlock(self, device: str, now: int) -> bool:
        """Tries count from zero again for the device and its live sessions. False: nothing was locked."""
        device_row = self._execute("UPDATE devices SET locked = NULL WHERE device = ? AND locked IS NOT NULL", (device,)).rowcount
        sessions = self._execute(
            "UPDATE sessions SET tries = 0 WHERE device = ? AND expires > ? AND tries >= ?", (device, now, MAX_TRIES)
        ).rowcount
        return device_row + sessions > 0

    # Challenge sessions

    def add_session(self, session: Session) -> None:
        self._insert(session)

    def end_waiting_sessions(self, device: str, now: int) -> None:
        """A device that starts again has forgotten its unfinished sessions."""
        self._execute(
            f"UPDATE sessions SET expires = ? WHERE device = ? AND asserted = 1 AND expires > ? AND {_ASKING}",  # noqa: S608
            (now, device, now),
        )

    def end_sessions(self, device: str, now: int) -> None:
        """Those too that were satisfied and would give a fresh code."""
        self._execute("UPDATE sessions SET expires = ? WHERE device = ? AND asserted = 1 AND expires > ?", (now, device, now))

    def session_by_handle(self, handle: bytes) -> Session | None:
        return self._one(Session, "handle = ?", handle)

    def session_by_handle_before(self, handle: bytes) -> Session | None:
        """The session whose last but one handle this is, while its last one was never used."""
        return self._one(Session, "handle_before = ?", handle)

    def session_begun_with(
        self, code_challenge: str, jkt: str, client_id: str, device: str, asserted: bool, now: int
    ) -> Session | None:
        """The live session of this key and device that began with this code_challenge."""
        condition = "code_challenge = ? AND jkt = ? AND client_id = ? AND device = ? AND expires > ?"
        by_index = "asserted = 1" if asserted else "asserted = 0"
        return self._one(Session, f"{condition} AND {by_index}", code_challenge, jkt, client_id, device, now)

    def session(self, session: str) -> Session | None:
        return self._one(Session, "id = ?", session)

    def turn_session(self, session: str, handle: bytes, handle_before: bytes | None, expires: int) -> bool:
        """The session answers to `handle` from now on. False: it has had its share of requests."""
        return (
            self._execute(
                "UPDATE sessions SET handle = ?, handle_before = ?, expires = ?, requests = requests + 1"
                " WHERE id = ? AND requests < ?",
                (handle, handle_before, expires, session, MAX_REQUESTS),
            ).rowcount
            == 1
        )

    def claim(self, session: str, account: str) -> None:
        """It says whose account it is; nothing is proved by that."""
        self._execute("UPDATE sessions SET claimed = ? WHERE id = ?", (account, session))

    def refuse(self, session: str) -> None:
        """A person said no: its device is told so when it asks next."""
        self._execute("UPDATE sessions SET refused = 1 WHERE id = ?", (session,))

    def pass_step(self, session: str, account: str | None, now: int, expires: int) -> None:
        """On to the next challenge. account: who is known from now on, if the session did not know before."""
        self._execute(
            "UPDATE sessions SET step = step + 1, account = COALESCE(account, ?), auth_time = ?, expires = ? WHERE id = ?",
            (account, now, expires, session),
        )

    def step_up(self, session: str, scope: str, challenges: str, acr: str | None) -> None:
        """A satisfied session has these challenges before it from now on (RFC 9470), and is for this scope."""
        statement = "UPDATE sessions SET scope = ?, challenges = ?, acr = ?, step = 0 WHERE id = ?"
        self._execute(statement, (scope, challenges, acr, session))

    def set_code_challenge(self, session: str, code_challenge: str) -> None:
        self._execute("UPDATE sessions SET code_challenge = ? WHERE id = ?", (code_challenge, session))

    def prolong(self, session: str, expires: int) -> None:
        self._execute("UPDATE sessions SET expires = MAX(expires, ?) WHERE id = ?", (expires, session))

    def waiting(self, now: int) -> list[Session]:
        """Live sessions in which somebody waits for a person, oldest first. Decoys are not among them."""
        found = self._all(Session, "expires > ? AND decoy = 0 AND refused = 0 ORDER BY created, id", now)
        return [session for session in found if session.asking]

    def count_claimed_sessions(self, client_id: str, now: int) -> int:
        """Live sessions of a public client."""
        return self._execute(
            "SELECT COUNT(*) FROM sessions WHERE client_id = ? AND asserted = 0 AND expires > ?", (client_id, now)
        ).fetchone()[0]
