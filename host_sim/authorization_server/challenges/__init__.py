"""The ways to prove who you are, one file each, and the table that names them.

Not for attempts, sessions or replies: challenge_endpoint.py counts every answer before a challenge sees it.
"""

from types import ModuleType

from host_sim.authorization_server.challenges import pin

# A challenge is a module with
#   NAME     as the policy in as.toml says it
#   MESSAGE  one line for the person who is asked (at most 160 bytes)
#   INPUTS   what a keypad, a telephone or a terminal needs to ask: [{name, kind, min, max, check, label}]
#   judge(transaction, keys, session, answers, now_s) -> Outcome, doing the same work whatever comes out
#   expires(transaction, session) -> epoch seconds until which an answer can be right, or None
ALL: dict[str, ModuleType] = {pin.NAME: pin}
