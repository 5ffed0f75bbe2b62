"""Two kinds of wrong, and the closed list of codes that a device can be told.

Not for texts: what a person reads for a code stands in agent/prompts.py.
"""


class PeerError(Exception):
    """The other side broke the contract: drop, count, go on. No text, or one that quotes no value from outside."""


class ContractError(Exception):
    """We were about to break the contract ourselves: a defect, loud in tests."""


# On the wire a code is its place in this list, from 1 (messages.cddl, `error-code`). New ones go to the end.
CODES = (
    "wrong_answer expired locked denied try_later needs_browser not_first_party unknown_device use_dpop_nonce invalid internal"
    " invalid_session invalid_grant authorization_pending slow_down"
)
