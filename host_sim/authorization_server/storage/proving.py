"""What is proved with and what guessing costs: PINs, approvals, one-time passwords, knowledge; failures by device and account.

Not for sessions: pairing.py.
"""

from host_sim.authorization_server.storage.rows import MAX_TRIES, NO_PROVER, Account, Pin, Prover, Session
from host_sim.authorization_server.storage.tables import Tables

DAY_S = 86400
MAX_FAILURES_A_DAY = 20  # of one device, or one account
MAX_FAILURES_IN_A_ROW = 100  # then only a person helps


class Proving(Tables):
    # PINs

    def set_pin(self, pin: Pin) -> None:
        self._insert(pin, "REPLACE")

    def pin(self, holder: str) -> Pin:
        """Found as a blank one where none was issued, at the same cost: its table has no second tree behind its key."""
        return self._one_or(Pin(holder, bytes(32), 0), "holder = ?", holder)

    def last_expiry(self, one: str, other: str) -> int:
        """Of the PINs of these two holders; 0 where neither has one."""
        return self._execute("SELECT IFNULL(MAX(expires), 0) FROM pins WHERE holder IN (?, ?)", (one, other)).fetchone()[0]

    def void_pin(self, holder: str) -> None:
        self._execute("DELETE FROM pins WHERE holder = ?", (holder,))

    # Pairing codes

    def show_code(self, session: str, code: bytes) -> None:
        """This session's device shows the code of that keyed hash. Of two that show the same one, the later one is found."""
        self._execute("INSERT OR REPLACE INTO pairing_codes (session, code) VALUES (?, ?)", (session, code))

    def session_showing(self, code: bytes, now: int) -> Session | None:
        return self._one(Session, "id IN (SELECT session FROM pairing_codes WHERE code = ?) AND expires > ?", code, now)

    def approve(self, session: str, account: str | None) -> None:
        self._execute("UPDATE pairing_codes SET approved = 1, account = ? WHERE session = ?", (account, session))

    def approval(self, session: str) -> tuple[bool, str | None]:
        """(whether somebody approved, the account behind it)"""
        found = self._execute("SELECT approved, account FROM pairing_codes WHERE session = ?", (session,)).fetchone()
        return (bool(found[0]), found[1]) if found else (False, None)

    # Accounts that something is to be proved about: NO_PROVER where there is none, at the same cost

    def prover(self, account: str) -> Prover:
        found = self._one(Account, "id = ?", account)
        return Prover(found.id, found.totp, found.knowledge, found.totp_step) if found else NO_PROVER

    def prover_named(self, name: str) -> Prover:
        return self._one_or(NO_PROVER, "name = ?", name)

    # One-time passwords

    def set_otp(self, account: str, seed: bytes) -> None:
        self._execute("UPDATE accounts SET totp = ?, totp_step = 0 WHERE id = ?", (seed, account))

    def use_otp_step(self, account: str, step: int) -> bool:
        """False: this step was used, or a later one."""
        return (
            self._execute("UPDATE accounts SET totp_step = ? WHERE id = ? AND totp_step < ?", (step, account, step)).rowcount == 1
        )

    # Knowledge

    def set_knowledge(self, account: str, knowledge: str) -> None:
        self._execute("UPDATE accounts SET knowledge = ? WHERE id = ?", (knowledge, account))

    def give(self, session: str, name: str, digest: bytes) -> None:
        """Keeps an answer of this session until all rounds are in."""
        self._execute("INSERT OR REPLACE INTO given VALUES (?, ?, ?)", (session, name, digest))

    def given(self, session: str) -> dict[str, bytes]:
        return dict(self._execute("SELECT name, digest FROM given WHERE session = ?", (session,)))

    def forget_given(self, session: str) -> None:
        self._execute("DELETE FROM given WHERE session = ?", (session,))

    # Attempts

    def charge_attempt(self, session: str) -> int | None:
        """Counts one answer before anybody compares it: how many tries are left after it, or None when none was left."""
        tries = self._execute("SELECT tries FROM sessions WHERE id = ?", (session,)).fetchone()[0]
        # Written where nothing is left to count too, or the answer to a locked session would come sooner.
        self._execute("UPDATE sessions SET tries = MIN(tries + 1, ?) WHERE id = ?", (MAX_TRIES, session))
        return MAX_TRIES - tries - 1 if tries < MAX_TRIES else None

    def give_back_attempt(self, session: str) -> None:
        self._execute("UPDATE sessions SET tries = tries - 1 WHERE id = ?", (session,))

    def charge_subject(self, subject: bytes, known: bool, now: int) -> bool:
        """Counts one answer of a device or account, given as keyed hash. False: it may not be compared any more."""
        values = {"subject": subject, "known": known, "now": now, "day": DAY_S}
        values |= {"today": MAX_FAILURES_A_DAY, "row": MAX_FAILURES_IN_A_ROW}
        today, in_a_row = self._execute(
            "INSERT INTO failures VALUES (:subject, :now, 1, 1, :known) ON CONFLICT (subject) DO UPDATE SET"
            # What may not be compared is no failure in a row, or whoever hammers would lock an account within minutes.
            " in_a_row = MIN(in_a_row + (today < :today OR since <= :now - :day), :row + 1),"
            " today = 1 + today * (since > :now - :day), since = IIF(since > :now - :day, since, :now),"
            " known = MAX(known, excluded.known) RETURNING today, in_a_row",
            values,
        ).fetchone()
        return today <= MAX_FAILURES_A_DAY and in_a_row <= MAX_FAILURES_IN_A_ROW

    def give_back_subject(self, subject: bytes) -> None:
        self._execute(
            "UPDATE failures SET today = MAX(today - 1, 0), in_a_row = MAX(in_a_row - 1, 0) WHERE subject = ?", (subject,)
        )

    def end_failures_in_a_row(self, subject: bytes) -> None:
        self._execute("UPDATE failures SET in_a_row = 0 WHERE subject = ?", (subject,))

    def is_limited(self, subject: bytes, now: int) -> bool:
        found = self._execute(
            "SELECT 1 FROM failures WHERE subject = ? AND (in_a_row >= ? OR (today >= ? AND since > ?))",
            (subject, MAX_FAILURES_IN_A_ROW, MAX_FAILURES_A_DAY, now - DAY_S),
        )
        return found.fetchone() is not None

    def forget_failures(self, subject: bytes) -> bool:
        return self._execute("DELETE FROM failures WHERE subject = ?", (subject,)).rowcount > 0
