"""What the bridge answers instead: a code for the device, a word for the log.

Not for texts from outside: both come from closed lists, so neither can carry one.
"""

from latchpin.wire.bridge_side import NUMBERS


class Refused(Exception):
    """The request ends here. `code` is one of latchpin.wire.bridge_side.NUMBERS, `why` a fixed word for the operator's log."""

    def __init__(self, code: str, why: str, retry_after_s: int | None = None) -> None:
        assert code in NUMBERS
        super().__init__(why)
        self.code = code
        self.why = why
        self.retry_after_s = retry_after_s
