"""What only the bridge needs of the contract: topics parsed, codes and kinds by name, limits asked for, messages shown.

Not for boards (boards/package.py leaves it out), and not a second contract: it reads the tables that boards have.
"""

from latchpin.wire import cbor, errors, messages, topics
from latchpin.wire.errors import ContractError
from latchpin.wire.topics import ROOT, is_id

CODES = dict(enumerate(errors.CODES.split(" "), 1))
NUMBERS = {name: number for number, name in CODES.items()}

# By their numbers in an input of a PROMPT.
INPUT_KINDS = ("digits", "text", "date", "choice", "secret")
CHECKS = ("none", "damm")
MAX_CHOICE = 40

# By their numbers in a REPORT.
EVENTS = ("started", "unpaired", "factory_reset")

REQUESTS = [row.split(" ")[1] for row in messages.MESSAGES.strip().splitlines() if int(row.split(" ")[0]) < 16]

HELLO, UP, DOWN, STATE = "hello", "up", "down", "state"

# What a bridge replica subscribes to; every replica shares the first and owns the second.
SHARED_HELLO = "$share/latchpin/latchpin/1/+/hello"


def replica_filter(replica: str) -> str:
    """Raises ContractError."""
    if not is_id(replica):
        raise ContractError("replica")
    return ROOT + "+/" + UP + "/" + replica


def down(device: str) -> str:
    """Raises ContractError."""
    return topics.topic(device, DOWN)


def parse(topic: str) -> tuple[str, str, str | None] | None:
    """(device, kind, replica or None) of a topic of ours; None for any other text."""
    parts = topic.split("/")
    if not 4 <= len(parts) <= 5 or parts[0] != "latchpin" or parts[1] != "1" or not is_id(parts[2]):
        return None
    kind = parts[3]
    if kind == UP:
        if len(parts) == 5 and is_id(parts[4]):
            return parts[2], UP, parts[4]
    elif len(parts) == 4 and kind in (HELLO, DOWN, STATE):
        return parts[2], kind, None
    return None


def pack_step(number: int, *parts) -> bytes:
    """The payload that carries handshake message `number`: bytes, and after message_2 the replica's id. 0: error, no parts."""
    return cbor.encode([number] + list(parts))


def limit(field: str) -> int:
    """The limit of a field, as messages.FIELDS gives it."""
    return int(_row(field)[2])


def is_request(message: messages.Message) -> bool:
    return message.name in REQUESTS


def is_secret(field: str) -> bool:
    """True for a field that never prints."""
    return _row(field)[1] < "a"


def shown(message: messages.Message) -> str:
    """A message for a log: its fields with their values, secrets masked."""
    fields = []
    for name in sorted(message.fields):
        fields.append(name + "=" + ("***" if is_secret(name) else repr(message.fields[name])))
    return message.name + "(" + ", ".join(fields) + ")"


def _row(field):
    return messages.line(messages.FIELDS, messages.number(messages.FIELDS, field))
