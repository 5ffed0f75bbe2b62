"""What a person knows: name, date of birth, last four digits, in one or more rounds. The voice case.

Not compared before the last round is in: no answer tells alone whether it was right. Only keyed hashes are kept.
"""

import hmac
import json
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING

from host_sim.authorization_server.challenges.contract import Asked, At, Outcome, Verdict
from host_sim.authorization_server.keys import Keys
from host_sim.authorization_server.storage import Account, Transaction
from host_sim.authorization_server.storage.rows import NOBODY

if TYPE_CHECKING:
    from host_sim.authorization_server.settings import InputEntry, Settings

NAME = "knowledge"
NAMES_ACCOUNT = True

_UNKNOWN = bytes(32)  # no keyed hash is ever equal to it


def enrol(transaction: Transaction, keys: Keys, settings: "Settings", account: Account, answers: Mapping[str, str]) -> bool:
    """What this person will be asked. False: an answer is missing, says nothing, or could not be given again."""
    digests = {}
    for entry in settings.knowledge_inputs:
        text = answers.get(entry.name, "")
        if not _normal(entry.kind, text) or not entry.min <= len(text) <= entry.max:
            return False
        digests[entry.name] = _digest(keys, account.id, entry, text).hex()
    transaction.set_knowledge(account.id, json.dumps(digests))
    return True


def names(settings: "Settings") -> set[str]:
    return {settings.username.name, *(entry.name for entry in settings.knowledge_inputs)}


def begin(at: At) -> None:
    pass


def ask(at: At) -> Asked:
    given = at.transaction.given(at.session.id)
    inputs = [entry.asked() for entry in _round(at, given)]
    if not at.known and not given:
        inputs.insert(0, at.settings.username.asked())
    return Asked(inputs, "Ask the owner who it is" if len(inputs) > 1 else inputs[0]["label"])


def judge(at: At, answers: Mapping[str, str]) -> Verdict:
    given = at.transaction.given(at.session.id)
    for entry in _round(at, given):
        given[entry.name] = _digest(at.keys, at.who.id, entry, answers.get(entry.name, ""))
        at.transaction.give(at.session.id, entry.name, given[entry.name])
    if _round(at, given):
        return Verdict(Outcome.MORE)
    known = json.loads(at.who.knowledge or "{}")
    expected = [bytes.fromhex(known.get(entry.name, "")) or _UNKNOWN for entry in at.settings.knowledge_inputs]
    equal = [
        hmac.compare_digest(given[entry.name], digest)
        for entry, digest in zip(at.settings.knowledge_inputs, expected, strict=True)
    ]
    at.transaction.forget_given(at.session.id)
    return Verdict(Outcome.RIGHT, at.who.id) if all(equal) else Verdict(Outcome.WRONG)


def void(at: At) -> None:
    at.transaction.forget_given(at.session.id if at.live else NOBODY)


def _round(at: At, given: Mapping[str, bytes]) -> "list[InputEntry]":
    """What is asked now: the first round that is not given whole; nothing when all is given."""
    for entries in at.settings.knowledge:
        if not all(entry.name in given for entry in entries):
            return entries
    return []


def _digest(keys: Keys, account: str, entry: "InputEntry", text: str) -> bytes:
    return keys.keyed_hash("knowledge", account, entry.name, _normal(entry.kind, text))


def _normal(kind: str, text: str) -> str:
    """As it was said: case, blanks, accents and punctuation aside; of dates and digits the digits."""
    letters = unicodedata.normalize("NFKD", text).casefold()
    return "".join(letter for letter in letters if (letter.isdigit() if kind in ("date", "digits") else letter.isalnum()))
