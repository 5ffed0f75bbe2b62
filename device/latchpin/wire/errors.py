"""Two kinds of wrong, and the closed list of codes that a device can be told.

Not for texts: what a person reads for a code stands in agent/prompts.py.
"""


class PeerError(Exception):
    """The other side broke the contract: drop, count, go on. Its text quotes no value from outside."""


class ContractError(Exception):
    """We were about to break the contract ourselves: a defect, loud in tests."""


# On the wire a code is its number (messages.cddl, `error-code`). Numbers are never given twice.
CODES = {
    1: "wrong_answer",
    2: "expired",
    3: "locked",
    4: "denied",
    5: "try_later",
    6: "needs_browser",
    7: "not_first_party",
    8: "unknown_device",
    9: "use_dpop_nonce",
    10: "invalid",
    11: "internal",
    12: "invalid_session",
    13: "invalid_grant",
}
NUMBERS = {name: number for number, name in CODES.items()}
