"""A refusal that a person reads.

Not for clients of OAuth: those get JSON (errors.py).
"""


class Refused(Exception):
    """Shown as a page. `text` says what to do next and quotes nothing from outside."""

    def __init__(self, status: int, text: str, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.retry_after_s = retry_after_s
