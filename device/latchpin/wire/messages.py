"""The messages inside the sealed frames, as one table: pack, unpack, and nothing that prints a secret.

Not for meaning: what a message makes anybody do is decided in agent/authorization.py and in the bridge's exchange.py.
`messages.cddl` says the same in CDDL; a test holds the two together in both directions.
"""

from latchpin.wire import cbor
from latchpin.wire.errors import ContractError, PeerError

UINT, TEXT, BYTES, BOOL, ANSWERS, INPUTS = range(6)
SECRET = 8  # added to a kind: the value never prints

RID_BYTES = 8

# key: (name, kind, limit). A key means the same in every message. The limit is the highest value of a UINT,
# the most bytes of a TEXT or BYTES, the most entries of the rest.
FIELDS = {
    0: ("type", UINT, 22),
    1: ("rid", BYTES, RID_BYTES),
    2: ("now", UINT, (1 << 53) - 1),
    3: ("dpop_nonce", TEXT, 256),
    4: ("resource", UINT, 255),
    5: ("scope", UINT, 255),
    6: ("dpop", TEXT | SECRET, 1536),
    7: ("auth_session", TEXT | SECRET, 512),
    8: ("answers", ANSWERS | SECRET, 8),
    9: ("code_challenge", TEXT, 43),
    10: ("code", TEXT | SECRET, 512),
    11: ("code_verifier", TEXT | SECRET, 128),
    12: ("refresh_token", TEXT | SECRET, 2048),
    13: ("device_code", TEXT | SECRET, 512),
    14: ("token", TEXT | SECRET, 2048),
    15: ("hint", UINT, 1),
    16: ("method", TEXT, 64),
    17: ("name", TEXT, 256),
    18: ("body", BYTES | SECRET, 3072),
    19: ("access_token", TEXT | SECRET, 2048),
    20: ("block", UINT, 255),
    21: ("event", UINT, 15),
    22: ("firmware", TEXT, 64),
    23: ("issuer", TEXT, 256),
    24: ("challenge_endpoint", TEXT, 256),
    25: ("token_endpoint", TEXT, 256),
    26: ("device_authorization_endpoint", TEXT, 256),
    27: ("revocation_endpoint", TEXT, 256),
    28: ("resource_uri", TEXT, 256),
    29: ("dpop_supported", BOOL, 1),
    30: ("inputs", INPUTS, 8),
    31: ("message", TEXT, 160),
    32: ("tries_left", UINT, 255),
    33: ("ttl_s", UINT, 1 << 31),
    34: ("binding_word", TEXT, 40),
    35: ("token_type", TEXT, 16),
    36: ("granted_scope", TEXT, 512),
    37: ("user_code", TEXT, 32),
    38: ("verification_uri", TEXT, 256),
    39: ("interval_s", UINT, 3600),
    40: ("status", UINT, 599),
    41: ("blocks", UINT, 255),
    42: ("error", UINT, 13),
    43: ("retry_after_s", UINT, 1 << 31),
    44: ("www_authenticate", TEXT, 512),
}

# type: (name, required keys beyond type and rid, optional keys). Requests are below 16; every reply also carries `now`
# and may carry `dpop_nonce`.
MESSAGES = {
    1: ("DISCOVER", b"\x04", b""),
    2: ("CHALLENGE", b"\x04\x05", b"\x06\x07\x08\x09"),
    3: ("TOKEN", b"\x04", b"\x06\x0a\x0b\x0c\x0d"),
    4: ("DEVICE_CODE", b"\x04\x05", b"\x06"),
    5: ("REVOKE", b"\x0e\x0f", b"\x06"),
    6: ("CALL", b"\x04\x10\x13\x14", b"\x06\x11\x12"),
    7: ("REPORT", b"\x15", b"\x16"),
    16: ("OFFER", b"\x17\x19\x1c\x1d", b"\x18\x1a\x1b"),
    17: ("PROMPT", b"\x07\x1e", b"\x1f\x20\x21\x22"),
    18: ("CODE", b"\x0a", b"\x07"),
    19: ("TOKENS", b"\x13\x23\x21", b"\x0c\x24\x07"),
    20: ("SHOW", b"\x0d\x25\x26\x27\x21", b""),
    21: ("RESULT", b"\x28\x12\x14\x29", b"\x2c"),
    22: ("ERROR", b"\x2a", b"\x07\x20\x2b"),
}

# One input of a PROMPT: what a keypad, a telephone or a terminal needs to ask for it.
INPUT_FIELDS = {
    0: ("name", TEXT, 32),
    1: ("kind", UINT, 4),
    2: ("min", UINT, 64),
    3: ("max", UINT, 64),
    4: ("check", UINT, 1),
    5: ("label", TEXT, 40),
    6: ("choices", None, 8),
}
INPUT_KINDS = ("digits", "text", "date", "choice", "secret")
CHECKS = ("none", "damm")
MAX_ANSWER = 64

EVENTS = ("started", "unpaired", "factory_reset")

KEYS = {field[0]: key for key, field in FIELDS.items()}
_INPUT_KEYS = {field[0]: key for key, field in INPUT_FIELDS.items()}
_TYPES = {message[0]: number for number, message in MESSAGES.items()}
_REPLY = 16


class Message:
    """One message: `name` from MESSAGES, fields by name with `message["rid"]` and `message.get("ttl_s")`. Prints no secret."""

    def __init__(self, name: str, fields: dict):
        self.name = name
        self.fields = fields

    def __getitem__(self, field: str):
        return self.fields[field]

    def get(self, field: str, default=None):
        return self.fields.get(field, default)

    def __eq__(self, other):
        return isinstance(other, Message) and self.name == other.name and self.fields == other.fields

    def __repr__(self):
        shown = []
        for name in sorted(self.fields):
            value = "***" if FIELDS[KEYS[name]][1] & SECRET else repr(self.fields[name])
            shown.append(name + "=" + value)
        return self.name + "(" + ", ".join(shown) + ")"


def pack(message: Message) -> bytes:
    """Deterministic CBOR of a whole and valid message.

    Raises ContractError: a field is missing, too many, or over its limit.
    """
    try:
        number = _TYPES[message.name]
        encoded = {0: number}
        for name, value in message.fields.items():
            encoded[KEYS[name]] = _inputs_to_wire(value) if name == "inputs" else value
        _check(number, encoded)
    except (KeyError, PeerError) as error:
        raise ContractError("cannot pack " + message.name) from error
    return cbor.encode(encoded)


def unpack(data: bytes) -> Message:
    """The message in `data`.

    Raises PeerError: not deterministic CBOR, an unknown type, a field that is missing, foreign or over its limit.
    """
    decoded = cbor.decode(data)
    if not isinstance(decoded, dict):
        raise PeerError("message is not a map")
    number = decoded.get(0)
    if type(number) is not int or number not in MESSAGES:
        raise PeerError("unknown message type")
    _check(number, decoded)
    fields = {}
    for key, value in decoded.items():
        if key:
            fields[FIELDS[key][0]] = _inputs_from_wire(value) if FIELDS[key][1] == INPUTS else value
    return Message(MESSAGES[number][0], fields)


def is_request(message: Message) -> bool:
    return _TYPES[message.name] < _REPLY


def _check(number, decoded):
    _, required, optional = MESSAGES[number]
    needed = set(required)
    needed.update((1, 2) if number >= _REPLY else (1,))
    for key in needed:
        if key not in decoded:
            raise PeerError("field missing")
    for key, value in decoded.items():
        if key and key not in needed and key not in optional and not (key == 3 and number >= _REPLY):
            raise PeerError("field does not belong")
        _, kind, limit = FIELDS[key]
        _check_value(kind & ~SECRET, limit, value)
    if len(decoded[1]) != RID_BYTES:
        raise PeerError("rid length")


def _check_value(kind, limit, value):
    if kind == UINT:
        good = type(value) is int and 0 <= value <= limit
    elif kind == TEXT:
        good = isinstance(value, str) and len(value.encode()) <= limit
    elif kind == BYTES:
        good = isinstance(value, bytes) and len(value) <= limit
    elif kind == BOOL:
        good = value is True or value is False
    elif kind == ANSWERS:
        good = isinstance(value, dict) and 1 <= len(value) <= limit
        if good:
            for name, answer in value.items():
                _check_value(TEXT, 32, name)
                _check_value(TEXT, MAX_ANSWER, answer)
    else:
        good = isinstance(value, list) and len(value) <= limit
        if good:
            for item in value:
                _check_input(item)
    if not good:
        raise PeerError("field value")


def _check_input(item):
    if not isinstance(item, dict) or 0 not in item or 1 not in item:
        raise PeerError("input")
    for key, value in item.items():
        if key not in INPUT_FIELDS:
            raise PeerError("input field")
        _, kind, limit = INPUT_FIELDS[key]
        if kind is not None:
            _check_value(kind, limit, value)
        elif not isinstance(value, list) or not 1 <= len(value) <= limit:
            raise PeerError("choices")
        else:
            for choice in value:
                _check_value(TEXT, 40, choice)


def _inputs_to_wire(inputs):
    wire = []
    for item in inputs:
        encoded = {}
        for name, value in item.items():
            encoded[_INPUT_KEYS[name]] = value
        wire.append(encoded)
    return wire


def _inputs_from_wire(wire):
    inputs = []
    for encoded in wire:
        item = {}
        for key, value in encoded.items():
            item[INPUT_FIELDS[key][0]] = value
        inputs.append(item)
    return inputs
