"""Prints the QR codes of the given texts as rows of 0 and 1, or null for a text that is too long. Run by test_qr_code.py."""

import json
import sys

from latchpin.adapters.qr_code import QrCode


def rows(text):
    try:
        code = QrCode(text.encode())
    except ValueError:
        return None
    return ["".join(["01"[code.dark(x, y)] for x in range(code.side)]) for y in range(code.side)]


with open(sys.argv[1]) as given:
    print(json.dumps([rows(text) for text in json.load(given)]))
