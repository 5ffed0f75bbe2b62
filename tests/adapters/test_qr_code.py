"""A QR code of the device is read by a reader (zxing-cpp), and is module for module what another encoder (qrcode) makes.

Not for displays: what draws it has tests of its own.
"""

import random

import numpy
import qrcode
import zxingcpp

from tests.adapters.support import Run

QUIET, SCALE = 4, 4
LONGEST = 134


def image(rows: list[str]) -> numpy.ndarray:
    dark = numpy.array([[module == "1" for module in row] for row in rows])
    return numpy.kron(numpy.where(numpy.pad(dark, QUIET), 0, 255).astype(numpy.uint8), numpy.ones((SCALE, SCALE), numpy.uint8))


def test_every_length_is_read_and_is_what_another_encoder_makes(run: Run):
    chance = random.Random(20261123)
    texts = ["https://as.example/device?user_code=BCDF-GHJK"]
    texts += [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz-._~:/?=&%0123456789", k=length)) for length in range(1, LONGEST + 1)
    ]
    for text, rows in zip(texts, run("qr_code.py", texts), strict=True):
        assert [found.text for found in zxingcpp.read_barcodes(image(rows))] == [text]
        theirs = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_L, mask_pattern=0, border=0)
        theirs.add_data(qrcode.util.QRData(text.encode(), mode=qrcode.util.MODE_8BIT_BYTE))
        assert rows == ["".join("01"[module] for module in row) for row in theirs.get_matrix()]


def test_a_text_that_is_too_long_is_refused(run: Run):
    assert run("qr_code.py", ["x" * (LONGEST + 1)]) == [None]
