"""What every challenge is given, and what it gives back.

Not for any one of them: those stand beside this file, one file each.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from host_sim.authorization_server.keys import Keys
from host_sim.authorization_server.storage import Session, Transaction
from host_sim.authorization_server.storage.rows import NO_PROVER, Prover

if TYPE_CHECKING:
    from host_sim.authorization_server.settings import Settings


class Outcome(StrEnum):
    RIGHT = "right"
    WRONG = "wrong_answer"
    EXPIRED = "expired"
    MORE = "more"  # nothing was compared yet: there is another round
    WAITING = "waiting"  # for a person, who has not acted yet


@dataclass(frozen=True)
class At:
    """Where a session stands. `known`: the id of the account where nobody has to say it. `who`: the account that is to be proved.

    Not `live`: the same work is done, and nothing can be right.
    """

    transaction: Transaction
    keys: Keys
    settings: "Settings"
    session: Session
    now_s: int
    known: str | None = None
    who: Prover = NO_PROVER
    live: bool = True

    def dead(self) -> "At":
        return replace(self, who=NO_PROVER, live=False)


@dataclass(frozen=True)
class Asked:
    """What a person is asked: `inputs` as a keypad, a telephone or a terminal asks for them, and `message` in one line.

    expires: until when an answer can be right (epoch seconds), where that is sooner than the session's end. user_code: what the
    device shows. retry_after_s: without inputs, when to look again.
    """

    inputs: list[dict[str, Any]]
    message: str  # at most 160 bytes
    expires: int | None = None
    user_code: str = ""
    retry_after_s: int = 0


@dataclass(frozen=True)
class Verdict:
    """`account`: the id of who acted or was proved, where the challenge knows it."""

    outcome: Outcome
    account: str | None = None
