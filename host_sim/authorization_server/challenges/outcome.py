"""What can come of an answer.

Not for replies: challenge_endpoint.py says who is told how much.
"""

from enum import StrEnum


class Outcome(StrEnum):
    RIGHT = "right"
    WRONG = "wrong_answer"
    EXPIRED = "expired"
