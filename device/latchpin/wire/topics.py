"""The four topics of a device, built in one place (PROTOCOL section 1 in wire/README.md); bridge_side.py parses them.

Not for payloads: a topic never carries anything but the device's id and the replica's.
"""

from latchpin.wire.errors import ContractError

ROOT = "latchpin/1/"


def is_id(text: str) -> bool:
    """True for 4 to 23 of a-z 0-9 and inner hyphens: safe in a topic, as MQTT client id and as username."""
    inner = all("a" <= character <= "z" or "0" <= character <= "9" or character == "-" for character in text)
    return inner and 4 <= len(text) <= 23 and "-" not in (text[0], text[-1])


def topic(device: str, kind: str, replica: str | None = None) -> str:
    """kind: "hello", "down", "state", or "up" with the id of a replica. Raises ContractError."""
    if not is_id(device):
        raise ContractError("device")
    if replica is None:
        return ROOT + device + "/" + kind
    if not is_id(replica):
        raise ContractError("replica")
    return ROOT + device + "/" + kind + "/" + replica
