"""The messages inside the sealed frames, as one table: pack, unpack, and nothing that prints a secret.

Not for meaning: what a message makes anybody do is decided in agent/authorization.py and in the bridge's exchange.py.
`messages.cddl` says the same in CDDL; a test holds the two together in both directions.
"""

# Decoded CBOR may be anything: what has the wrong shape raises, and that is caught at one door.
# pyright: reportIndexIssue=false, reportOptionalSubscript=false, reportOperatorIssue=false

from latchpin.runtime import const
from latchpin.wire import cbor
from latchpin.wire.errors import ContractError, PeerError

RID_BYTES = 8
MAX_ANSWER = 64

_MAX_NAME = const(32)
_MAX_CHOICE = const(40)
_INPUTS = const(30)

# The tables are texts and are searched as such: as dicts they would take four times the heap.

# key, name, kind, limit. A key means the same in every message; it is never given twice, so new ones go to the end. Kinds:
# u number up to the limit, e number from 1 up to it, f false or true, t text and b bytes up to it, r bytes of exactly that many,
# a answers {name: text}, i inputs and c choices up to so many; a capital for a secret.
FIELDS = """
0 type u 22
1 rid r 8
2 now u 9007199254740991
3 dpop_nonce t 256
4 resource u 255
5 scope u 255
6 dpop T 1536
7 auth_session T 512
8 answers A 8
9 code_challenge t 43
10 code T 512
11 code_verifier T 128
12 refresh_token T 2048
13 device_code T 512
14 token T 2048
15 hint u 1
16 method t 64
17 name t 256
18 body B 3072
19 access_token T 2048
20 block u 255
21 event u 15
22 firmware t 64
23 issuer t 256
24 challenge_endpoint t 256
25 token_endpoint t 256
26 device_authorization_endpoint t 256
27 revocation_endpoint t 256
28 resource_uri t 256
29 dpop_supported f 1
30 inputs i 8
31 message t 160
32 tries_left u 255
33 ttl_s u 2147483648
34 binding_word t 40
35 token_type t 16
36 granted_scope t 512
37 user_code t 32
38 verification_uri t 256
39 interval_s u 3600
40 status u 599
41 blocks u 255
42 error e 15
43 retry_after_s u 2147483648
44 www_authenticate t 512
45 verification_uri_complete t 256
46 more_scope t 512
47 acr_values t 256
48 max_age u 2147483648
49 protocol_version t 16
50 mcp_session T 256
"""

# type, name, keys that it must carry, "?", keys that it may carry. Requests are below 16.
MESSAGES = """
1 DISCOVER 1 4 ?
2 CHALLENGE 1 4 5 ? 6 7 8 9 46 47 48
3 TOKEN 1 4 ? 6 10 11 12 13
4 DEVICE_CODE 1 4 5 ? 6 46 47
5 REVOKE 1 14 15 ? 6
6 CALL 1 4 16 19 20 ? 6 17 18 49 50
7 REPORT 1 21 ? 22
16 OFFER 1 2 23 25 28 29 ? 3 24 26 27
17 PROMPT 1 2 7 30 ? 3 31 32 33 34
18 CODE 1 2 10 ? 3 7
19 TOKENS 1 2 19 35 33 ? 3 12 36 7
20 SHOW 1 2 13 37 38 39 33 ? 3 45
21 RESULT 1 2 40 18 20 41 ? 3 44 50
22 ERROR 1 2 42 ? 3 7 32 43
"""

# One input of a PROMPT: what a keypad, a telephone or a terminal needs to ask for it. As FIELDS; the first two are a must.
INPUT_FIELDS = """
0 name t 32
1 kind u 4
2 min u 64
3 max u 64
4 check u 1
5 label t 40
6 choices c 8
"""


class Message:
    """One message: `name` from MESSAGES, fields by name with `message["rid"]` and `message.get("ttl_s")`. Prints no value."""

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
        return self.name + "(.)"


def pack(message: Message) -> bytes:
    """Deterministic CBOR of a whole and valid message. Raises ContractError."""
    out = bytearray()
    append(out, message)
    return bytes(out)


def append(out: bytearray, message: Message):
    """As `pack`, at the end of `out`.

    Raises ContractError: a field is missing, too many, or over its limit.
    """
    try:
        encoded = _numbered(FIELDS, message.fields)
        if "inputs" in message.fields:
            encoded[_INPUTS] = [_numbered(INPUT_FIELDS, item) for item in message.fields["inputs"]]
        encoded[0] = number(MESSAGES, message.name)
        _check(encoded)
    except (AttributeError, TypeError, ValueError, PeerError):
        raise ContractError
    cbor.append(out, encoded)


def unpack(data: bytes) -> Message:
    """The message in `data`.

    Raises PeerError: not deterministic CBOR, an unknown type, a field that is missing, foreign or over its limit.
    """
    decoded = cbor.decode(data)
    name = _check(decoded)
    del decoded[0]
    fields = _named(FIELDS, decoded)
    if _INPUTS in decoded:
        fields["inputs"] = [_named(INPUT_FIELDS, item) for item in decoded[_INPUTS]]
    return Message(name, fields)


def line(table: str, number: int) -> list:
    """The words behind a number in one of the tables; none where no line has it."""
    at = table.find("\n%d " % number)
    return table[at + 1 : table.find("\n", at + 1)].split(" ")[1:] if at >= 0 else []


def number(table: str, name: str) -> int:
    """The number before a name in one of the tables. Raises ValueError: no line has it."""
    at = table.find(" " + name + " ")
    return int(table[table.rfind("\n", 0, at) : at])


def _numbered(table, fields):
    return {number(table, name): fields[name] for name in fields}


def _named(table, fields):
    return {line(table, key)[0]: fields[key] for key in fields}


def _check(decoded):
    # The name of the message that a map is.
    kind = decoded.get(0) if isinstance(decoded, dict) else None
    row = line(MESSAGES, kind) if type(kind) is int else []
    if not row:
        raise PeerError
    for key in row[1 : row.index("?")]:
        if int(key) not in decoded:
            raise PeerError
    for key in decoded:
        if key != 0 and str(key) not in row:
            raise PeerError
    if not _fit(FIELDS, decoded):
        raise PeerError
    return row[0]


def _fit(table, numbered):
    for key in numbered:
        row = line(table, key) if type(key) is int else []
        if not row or not _good(row[1].lower(), int(row[2]), numbered[key]):
            return False
    return True


def _good(kind, most, value):
    if kind in "ue":
        return type(value) is int and (kind == "e") <= value <= most
    if kind == "f":
        return isinstance(value, bool)
    wanted: type = str if kind == "t" else bytes if kind in "br" else dict if kind == "a" else list
    if not isinstance(value, wanted):
        return False
    size = len(value.encode() if kind == "t" else value)
    if size > most or (not size and kind in "ac") or (kind == "r" and size < most):
        return False
    if kind == "a":
        return all(_good("t", _MAX_NAME, name) and _good("t", MAX_ANSWER, value[name]) for name in value)
    if kind == "c":
        return all(_good("t", _MAX_CHOICE, choice) for choice in value)
    if kind == "i":
        return all(isinstance(item, dict) and 0 in item and 1 in item and _fit(INPUT_FIELDS, item) for item in value)
    return True
