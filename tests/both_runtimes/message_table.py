"""The tables of wire/messages.py as dicts, for tests that go through all of them.

Not a second table: it is read from the texts there.
"""

from latchpin.wire import messages

UINT, TEXT, BYTES, BOOL, ANSWERS, INPUTS, CHOICES = range(7)
SECRET = 8
KINDS = {"u": UINT, "e": UINT, "t": TEXT, "b": BYTES, "r": BYTES, "f": BOOL, "a": ANSWERS, "i": INPUTS, "c": CHOICES}


def _rows(text):
    return [line.split(" ") for line in text.strip().split("\n")]


def _fields(text):
    # key: (name, kind, limit)
    return {
        int(key): (name, KINDS[kind.lower()] | (SECRET if kind < "a" else 0), int(limit))
        for key, name, kind, limit in _rows(text)
    }


FIELDS = _fields(messages.FIELDS)
INPUT_FIELDS = _fields(messages.INPUT_FIELDS)
KEYS = {FIELDS[key][0]: key for key in FIELDS}

# type: (name, required keys, optional keys), both beyond what all requests or all replies share.
MESSAGES = {}
for _row in _rows(messages.MESSAGES):
    _may = _row.index("?")
    _shared = (1, 2, 3) if int(_row[0]) >= 16 else (1,)
    MESSAGES[int(_row[0])] = (
        _row[1],
        bytes([int(key) for key in _row[2:_may] if int(key) not in _shared]),
        bytes([int(key) for key in _row[_may + 1 :] if int(key) not in _shared]),
    )
