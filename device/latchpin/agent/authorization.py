"""The state machine as a table: what leads from one state to another.

Not for deeds: `do` names a method of agent.py, whose `fire` alone moves the state, or with a dot a function of another room. A
test draws the diagram in README from it.
"""

# A state, and the groups that it belongs to: a row of TRANSITIONS may name one of those instead.
SCOPES = """
OFFLINE ANY
GREETING SHAKING ANY
PROVING SHAKING ANY
DISCOVERING KEEPING ASKING ANY
CHALLENGING PAIRING SIGNED ASKING ANY
WAITING SETTLED ANY
ANSWERING PAIRING SIGNED ASKING ANY
REDEEMING TAKING SIGNED ASKING ANY
AUTHORIZING SIGNED ASKING ANY
SHOWING SETTLED ANY
POLLING TAKING SIGNED ASKING ANY
READY KEEPING SETTLED ANY
REFRESHING KEEPING TAKING SIGNED ASKING ANY
CALLING KEEPING SIGNED ASKING ANY
REVOKING ASKING ANY
REPORTING KEEPING ASKING ANY
RESTING HALTED SETTLED ANY
LOCKED HALTED SETTLED ANY
STOPPED HALTED SETTLED ANY
"""

# in state or group, when, do, and be in (".": stay). Texts: as Python tuples they would be twice as large on the chip. Several,
# for a small heap seldom has two kilobytes in one piece.
TRANSITIONS = (
    "\n"
    "OFFLINE Started connect .\n"
    "OFFLINE LinkUp greet GREETING\n"
    "ANY LinkDown reconnect OFFLINE\n"
    # RFC 9528: hello, proof, key confirmation. Any failed check discards everything.
    "GREETING message_2 prove PROVING\n"
    "PROVING message_4 discover DISCOVERING\n"
    "SHAKING refused rest RESTING\n"
    "SHAKING silence rest RESTING\n"
    # Whatever is wanted, there is no speaking without a session: open one, then see what the device holds.
    "SETTLED unkeyed greet GREETING\n"
    # What to do with an open session, or when a token ends or is refused, depends on what the device holds.
    "DISCOVERING usable settle READY\n"
    "KEEPING renew refresh REFRESHING\n"
    "KEEPING pair pairing.challenge CHALLENGING\n"
    "KEEPING grant granting.authorize AUTHORIZING\n"
    "KEEPING shown granting.show_code SHOWING\n"
    "KEEPING browser stop STOPPED\n",
    # FiPA-04: ask, answer, redeem.
    "\n"
    "PAIRING prompt pairing.ask_human WAITING\n"
    "TAKING prompt pairing.ask_human WAITING\n"
    "PAIRING code pairing.redeem REDEEMING\n"
    "WAITING typed pairing.show_entry .\n"
    "WAITING short pairing.say_entry .\n"
    "WAITING typo pairing.say_entry .\n"
    "WAITING idle pairing.ask_human .\n"
    "WAITING next_input pairing.ask_next .\n"
    "WAITING answered pairing.answer ANSWERING\n"
    "WAITING lapsed pairing.challenge CHALLENGING\n"
    "ANSWERING wrong_answer pairing.say_refusal WAITING\n"
    "ANSWERING expired pairing.say_refusal WAITING\n"
    "CHALLENGING wrong_answer pairing.challenge_anew .\n"
    "CHALLENGING expired pairing.challenge_anew .\n"
    "PAIRING invalid_session pairing.challenge_anew CHALLENGING\n"
    "PAIRING locked rest LOCKED\n"
    "HALTED again discover DISCOVERING\n"
    "TAKING tokens keep READY\n"
    # A lost code costs no PIN: the auth_session asks for another one. A refused refresh token costs the pairing.
    "REDEEMING invalid_grant rest RESTING\n"
    "REFRESHING invalid_grant lose .\n",
    # RFC 8628, where there is no challenge endpoint, or the server sends the client to the web (FiPA-04, section 5.2.2.1.1).
    "\n"
    "PAIRING grant granting.authorize AUTHORIZING\n"
    "AUTHORIZING show granting.show_code SHOWING\n"
    "SHOWING poll granting.poll POLLING\n"
    "POLLING authorization_pending granting.show_code SHOWING\n"
    "POLLING slow_down granting.slow_down SHOWING\n"
    "POLLING try_later granting.slow_down SHOWING\n"
    "POLLING expired granting.authorize AUTHORIZING\n"
    "POLLING invalid_grant granting.authorize AUTHORIZING\n"
    # With a token. What still works is used while a person is asked for a renewal.
    "READY call calling.call CALLING\n"
    "WAITING call calling.call CALLING\n"
    "SHOWING call calling.call CALLING\n"
    "CALLING go calling.send_call .\n"
    "CALLING block calling.send_block .\n"
    "SIGNED answer calling.report READY\n"
    "READY asked pairing.ask_human WAITING\n",
    # Without its owner from now on; the servers are told when they can be.
    "\n"
    "OFFLINE Unpair parting.part .\n"
    "ANY Unpair parting.part_and_greet GREETING\n"
    "DISCOVERING farewell parting.revoke REVOKING\n"
    "REVOKING result parting.say_farewell REPORTING\n"
    "REVOKING fatal parting.say_farewell REPORTING\n"
    "REPORTING result parting.begin_anew .\n"
    "REPORTING fatal parting.begin_anew .\n"
    # Any request: asked twice with the same rid, then the replica counts as dead and the session with it.
    "ASKING silence ask_again .\n"
    "ASKING dead greet GREETING\n"
    "SIGNED use_dpop_nonce sign_again .\n"
    "ASKING try_later rest RESTING\n"
    # denied, needs_browser, not_first_party, unknown_device, bearer_only, invalid, internal: only a person can go on from there.
    "ASKING fatal stop STOPPED\n",
)


def row(state: str, when: str) -> list:
    """[do, be] of the row for `when` in this state; none where there is no such row."""
    for scope in _words(SCOPES, state):
        for text in TRANSITIONS:
            found = _words(text, scope + " " + when)
            if found:
                return found[2:]
    return []


def _words(table, start):
    # Of the line that begins so; none where there is none.
    at = table.find("\n" + start + " ") + 1
    return table[at : table.find("\n", at)].split(" ") if at else []
