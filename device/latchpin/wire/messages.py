"""The messages inside the sealed frames, as one table: pack, unpack, and nothing that prints a secret.

Not for meaning: what a message makes anybody do is decided in agent/authorization.py and in the bridge's exchange.py.
`messages.cddl` says the same in CDDL; a test holds the two together in both directions.
"""

from latchpin.wire import cbor
from latchpin.wire.errors import ContractError, PeerError

UINT, TEXT, BYTES, BOOL, ANSWERS, INPUTS, CHOICES = range(7)
SECRET = 8  # added to a kind: the value never prints

RID_BYTES = 8
MAX_NAME = 32
MAX_ANSWER = 64
MAX_CHOICE = 40


def _table(text):
    # A line is a key, from 0: name, kind (u t b f a i c as listed above, a capital for a secret), limit.
    table = {}
    for line in text.split("\n"):
        name, letter, limit = line.split()
        table[len(table)] = (name, "utbfaic.UTBFAI".index(letter), int(limit))
    return table


def _numbers(table):
    return {table[number][0]: number for number in table}


# key: (name, kind, limit). A key means the same in every message; it is never given twice, so new ones go to the end.
# The limit is the highest value of a UINT, the most bytes of a TEXT or BYTES, the most entries of the rest.
FIELDS = _table("""\
type u 22
rid b 8
now u 9007199254740991
dpop_nonce t 256
resource u 255
scope u 255
dpop T 1536
auth_session T 512
answers A 8
code_challenge t 43
code T 512
code_verifier T 128
refresh_token T 2048
device_code T 512
token T 2048
hint u 1
method t 64
name t 256
body B 3072
access_token T 2048
block u 255
event u 15
firmware t 64
issuer t 256
challenge_endpoint t 256
token_endpoint t 256
device_authorization_endpoint t 256
revocation_endpoint t 256
resource_uri t 256
dpop_supported f 1
inputs i 8
message t 160
tries_left u 255
ttl_s u 2147483648
binding_word t 40
token_type t 16
granted_scope t 512
user_code t 32
verification_uri t 256
interval_s u 3600
status u 599
blocks u 255
error u 13
retry_after_s u 2147483648
www_authenticate t 512""")

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
INPUT_FIELDS = _table("""\
name t 32
kind u 4
min u 64
max u 64
check u 1
label t 40
choices c 8""")
INPUT_KINDS = ("digits", "text", "date", "choice", "secret")
CHECKS = ("none", "damm")

EVENTS = ("started", "unpaired", "factory_reset")

KEYS = _numbers(FIELDS)
_TYPES = _numbers(MESSAGES)
_REPLY = 16
_INPUTS = 30
_ERROR = 42


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
            shown.append(name + "=" + ("***" if FIELDS[KEYS[name]][1] & SECRET else repr(self.fields[name])))
        return self.name + "(" + ", ".join(shown) + ")"


def pack(message: Message) -> bytes:
    """Deterministic CBOR of a whole and valid message.

    Raises ContractError: a field is missing, too many, or over its limit.
    """
    try:
        number = _TYPES[message.name]
        encoded = {0: number}
        for name, value in message.fields.items():
            encoded[KEYS[name]] = value
        if _INPUTS in encoded:
            keys = _numbers(INPUT_FIELDS)
            encoded[_INPUTS] = [{keys[name]: item[name] for name in item} for item in encoded[_INPUTS]]
        _check(number, encoded)
    except (KeyError, TypeError, ValueError, PeerError):
        raise ContractError("cannot pack " + message.name)
    return cbor.encode(encoded)


def unpack(data: bytes) -> Message:
    """The message in `data`.

    Raises PeerError: not deterministic CBOR, an unknown type, a field that is missing, foreign or over its limit.
    """
    decoded = cbor.decode(data)
    number = decoded.get(0) if isinstance(decoded, dict) else None
    if type(number) is not int or number not in MESSAGES:
        raise PeerError("unknown message")
    _check(number, decoded)
    fields = {FIELDS[key][0]: value for key, value in decoded.items() if key}
    if _INPUTS in decoded:
        fields["inputs"] = [{INPUT_FIELDS[key][0]: item[key] for key in item} for item in decoded[_INPUTS]]
    return Message(MESSAGES[number][0], fields)


def is_request(message: Message) -> bool:
    return _TYPES[message.name] < _REPLY


def _check(number, decoded):
    _, required, optional = MESSAGES[number]
    common, more = (b"\x00\x01\x02", b"\x03") if number >= _REPLY else (b"\x00\x01", b"")
    needed = set(common + required)
    if not needed <= set(decoded) or not set(decoded) <= needed | set(more + optional):
        raise PeerError("fields")
    if not _fits(FIELDS, decoded) or len(decoded[1]) != RID_BYTES or decoded.get(_ERROR) == 0:
        raise PeerError("field value")


def _fits(table, fields):
    return all(key in table and _good(*table[key][1:], fields[key]) for key in fields)


def _good(kind, limit, value):
    kind &= ~SECRET
    if kind == UINT:
        return type(value) is int and 0 <= value <= limit
    if kind == BOOL:
        return isinstance(value, bool)
    if not isinstance(value, (0, str, bytes, 0, dict, list, list)[kind]):
        return False
    size = len(value.encode() if kind == TEXT else value)
    if size > limit or (not size and kind in (ANSWERS, CHOICES)):
        return False
    if kind == ANSWERS:
        return all(_good(TEXT, MAX_NAME, name) and _good(TEXT, MAX_ANSWER, value[name]) for name in value)
    if kind == CHOICES:
        return all(_good(TEXT, MAX_CHOICE, choice) for choice in value)
    if kind == INPUTS:
        return all(isinstance(item, dict) and 0 in item and 1 in item and _fits(INPUT_FIELDS, item) for item in value)
    return True
