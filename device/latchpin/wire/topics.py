"""The four topics of a device, built and parsed in one place (PROTOCOL section 1 in wire/README.md).

Not for payloads: a topic never carries anything but the device's id and the replica's.
"""

from latchpin.wire.errors import ContractError

ROOT = "latchpin/1/"
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"

HELLO, UP, DOWN, STATE = "hello", "up", "down", "state"

# What a bridge replica subscribes to; every replica shares the first and owns the second.
SHARED_HELLO = "$share/latchpin/latchpin/1/+/hello"


def is_id(text: str) -> bool:
    """True for 4 to 23 of a-z 0-9 and inner hyphens: safe in a topic, as MQTT client id and as username."""
    if not 4 <= len(text) <= 23 or text[0] == "-" or text[-1] == "-":
        return False
    return all(character in ALPHABET or character == "-" for character in text)


def hello(device: str) -> str:
    return _topic(device, HELLO)


def up(device: str, replica: str) -> str:
    if not is_id(replica):
        raise ContractError("replica id")
    return _topic(device, UP + "/" + replica)


def down(device: str) -> str:
    return _topic(device, DOWN)


def state(device: str) -> str:
    return _topic(device, STATE)


def replica_filter(replica: str) -> str:
    if not is_id(replica):
        raise ContractError("replica id")
    return ROOT + "+/" + UP + "/" + replica


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


def _topic(device, rest):
    if not is_id(device):
        raise ContractError("device id")
    return ROOT + device + "/" + rest
