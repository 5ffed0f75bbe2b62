"""The state machine: what leads from one state to another, and the one line that moves it.

Not for deeds: `do` names a method of agent.py. The README's diagram is drawn from this table by a test.
"""

from latchpin.wire.errors import ContractError

# States that wait for the reply to a request.
ASKING = ("DISCOVERING", "CHALLENGING", "ANSWERING", "REDEEMING", "REFRESHING", "CALLING")
RESTED = ("RESTING", "LOCKED")
ANY = (
    "OFFLINE",
    "GREETING",
    "PROVING",
    "DISCOVERING",
    "CHALLENGING",
    "WAITING",
    "ANSWERING",
    "REDEEMING",
    "READY",
    "REFRESHING",
    "CALLING",
    "RESTING",
    "LOCKED",
    "STOPPED",
)

# in state(s), when, do, and be in (None: stay)
TRANSITIONS = (
    ("OFFLINE", "started", "connect", None),
    ("OFFLINE", "link_up", "come_online", "GREETING"),
    (ANY, "link_down", "reconnect", "OFFLINE"),
    # RFC 9528: hello, proof, key confirmation. Any failed check discards everything.
    ("GREETING", "message_2", "prove", "PROVING"),
    ("PROVING", "message_4", "discover", "DISCOVERING"),
    (("GREETING", "PROVING"), "refused", "rest_refused", "RESTING"),
    (("GREETING", "PROVING"), "silence", "rest_silent", "RESTING"),
    (RESTED, "rested", "discover", "DISCOVERING"),
    (RESTED, "rested_unkeyed", "greet", "GREETING"),
    # What to do with an open session depends on what the device holds.
    ("DISCOVERING", "offer_pair", "challenge", "CHALLENGING"),
    ("DISCOVERING", "offer_refresh", "refresh", "REFRESHING"),
    ("DISCOVERING", "offer_ready", "settle", "READY"),
    ("DISCOVERING", "offer_browser", "stop_needs_browser", "STOPPED"),
    ("DISCOVERING", "offer_bearer", "stop_bearer_only", "STOPPED"),
    # FiPA-04: ask, answer, redeem.
    (("CHALLENGING", "ANSWERING", "REDEEMING", "REFRESHING"), "prompt", "ask_human", "WAITING"),
    (("CHALLENGING", "ANSWERING"), "code", "redeem", "REDEEMING"),
    ("WAITING", "typed", "show_entry", None),
    ("WAITING", "short", "say_short", None),
    ("WAITING", "typo", "say_typo", None),
    ("WAITING", "idle", "clear_entry", None),
    ("WAITING", "next_input", "ask_next", None),
    ("WAITING", "answered", "answer", "ANSWERING"),
    ("WAITING", "answered_unkeyed", "greet", "GREETING"),
    ("WAITING", "lapsed", "challenge", "CHALLENGING"),
    ("WAITING", "lapsed_unkeyed", "greet", "GREETING"),
    ("ANSWERING", "wrong_answer", "say_wrong", "WAITING"),
    ("ANSWERING", "expired", "say_expired", "WAITING"),
    ("CHALLENGING", "wrong_answer", "challenge_anew", "CHALLENGING"),
    ("CHALLENGING", "expired", "challenge_anew", "CHALLENGING"),
    (("CHALLENGING", "ANSWERING"), "invalid_session", "challenge_anew", "CHALLENGING"),
    (("CHALLENGING", "ANSWERING"), "locked", "lock", "LOCKED"),
    ("LOCKED", "again", "discover", "DISCOVERING"),
    ("LOCKED", "again_unkeyed", "greet", "GREETING"),
    (("REDEEMING", "REFRESHING"), "tokens", "keep", "READY"),
    # A lost code costs no PIN: the auth_session asks for another one. A refused refresh token costs the pairing.
    ("REDEEMING", "invalid_grant", "rest_again", "RESTING"),
    ("REFRESHING", "invalid_grant", "pair_again", "CHALLENGING"),
    # With a token.
    ("READY", "call", "call", "CALLING"),
    ("READY", "call_unkeyed", "greet", "GREETING"),
    ("READY", "due", "refresh", "REFRESHING"),
    ("READY", "due_pair", "challenge", "CHALLENGING"),
    ("READY", "due_unkeyed", "greet", "GREETING"),
    ("CALLING", "block", "ask_block", None),
    ("CALLING", "answer", "report", "READY"),
    ("CALLING", "unauthorized", "refresh", "REFRESHING"),
    ("CALLING", "unauthorized_pair", "challenge", "CHALLENGING"),
    # Any request: asked twice with the same rid, then the replica counts as dead and the session with it.
    (ASKING, "silence", "ask_again", None),
    (ASKING, "dead", "greet", "GREETING"),
    (ASKING, "use_dpop_nonce", "sign_again", None),
    (ASKING, "try_later", "rest_busy", "RESTING"),
    (ASKING, "denied", "stop_denied", "STOPPED"),
    (ASKING, "needs_browser", "stop_needs_browser", "STOPPED"),
    (ASKING, "not_first_party", "stop_not_first_party", "STOPPED"),
    (ASKING, "unknown_device", "stop_unknown_device", "STOPPED"),
    (ASKING, "invalid", "stop_invalid", "STOPPED"),
    (ASKING, "internal", "stop_internal", "STOPPED"),
    ("STOPPED", "again", "discover", "DISCOVERING"),
    ("STOPPED", "again_unkeyed", "greet", "GREETING"),
)


class Authorization:
    """Where this device stands. `deeds` is the object whose methods TRANSITIONS names."""

    def __init__(self, deeds):
        self._deeds = deeds
        self.state = "OFFLINE"

    def fire(self, when: str, cause=None) -> bool:
        """Take the row of this state and `when`: be in the new state, then do the deed with its cause.

        A deed may name what follows at once (a pending call, say). False: no row, so nothing happens; a late reply is no error.
        """
        fired = False
        while when:
            row = self._row(when)
            if row is None:
                return fired
            fired = True
            _, _, do, be = row
            if be is not None:
                self.state = be
            when = getattr(self._deeds, do)(cause)
        return fired

    def _row(self, when):
        for row in TRANSITIONS:
            if row[1] == when and (row[0] == self.state or (type(row[0]) is tuple and self.state in row[0])):
                return row
        return None


def check(deeds):
    """Raise ContractError where a row names a deed or a state that does not exist: for tests."""
    for states, _, do, be in TRANSITIONS:
        for state in (states,) if type(states) is str else states:
            if state not in ANY:
                raise ContractError(state)
        if (be is not None and be not in ANY) or not hasattr(deeds, do):
            raise ContractError(do)
