"""The ways to prove who you are, one file each, and the table that names them.

Not for attempts, sessions or replies: challenge_endpoint.py counts every answer before a challenge sees it.
"""

from types import ModuleType

from host_sim.authorization_server.challenges import knowledge, otp, pairing_code, pin

# A challenge is a module with
#   NAME            as the policy in as.toml says it
#   NAMES_ACCOUNT   whether `username` is among its inputs, unless the account is known without
#   names(settings) every input that it may ever ask for
#   begin(at)       what must be there before it is asked
#   ask(at)         -> Asked; without inputs it waits for a person, and each look at the session is judged without answers
#   judge(at, answers) -> Verdict, doing the same work whatever comes out
#   void(at)        the session is locked: what was issued for it is worth nothing any more
ALL: dict[str, ModuleType] = {module.NAME: module for module in (pin, pairing_code, otp, knowledge)}
