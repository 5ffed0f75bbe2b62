"""What a simulated display or a terminal shows is read by a QR reader (zxing-cpp), as bad a photograph as it may be.

Not for the code itself: test_qr_code.py. Not for text beside it: tests/both_runtimes/test_adapters_displays.py.
"""

import subprocess

import numpy
import pytest
import zxingcpp

from tests.adapters.support import HERE, Run, command, environment

URL = "https://as.example/device?user_code=BCDF-GHJK"
# As long as an OLED has room for, and as the encoder has.
LONG, LONGEST = URL + "&x=" + "y" * 5, URL + "&x=" + "y" * 86
TEXT = "Open as.example/device and type BCDF-GHJK"
DISPLAYS = {
    "oled": {"oled": [64]},
    "stick": {"colour": [240, 135, 40, 53, 0x60]},
    "t-display": {"colour": [320, 170, 0, 35, 0x60]},
    "touch": {"colour": [170, 320, 35, 0, 0x00, 1, 7]},
}
display = pytest.mark.parametrize("display", DISPLAYS)


def show(run: Run, display: dict, *views: tuple[str, str | None]) -> dict:
    # The pictures are large, not the display's code.
    return run("qr_display.py", display | {"views": views}, timeout_s=120, options=("-X", "heapsize=32M"))


def grey(rows: list[str]) -> numpy.ndarray:
    """A picture of RGB565 as a camera without colours sees it."""
    pixels = numpy.array([[int(row[at : at + 4], 16) for at in range(0, len(row), 4)] for row in rows])
    red, green, blue = (pixels >> 11) * 255 // 31, (pixels >> 5 & 63) * 255 // 63, (pixels & 31) * 255 // 31
    return (red * 0.3 + green * 0.59 + blue * 0.11).astype(numpy.uint8)


def photograph(picture: numpy.ndarray) -> numpy.ndarray:
    """The glass in its black frame, a little turned, out of focus, grainy and flat."""
    sharp = numpy.kron(numpy.pad(picture, 12), numpy.ones((6, 6))).astype(float)
    height, width = sharp.shape
    y, x = numpy.mgrid[0:height, 0:width]
    turn = numpy.radians(5)
    back_x = (x - width / 2) * numpy.cos(turn) + (y - height / 2) * numpy.sin(turn) + width / 2
    back_y = (y - height / 2) * numpy.cos(turn) - (x - width / 2) * numpy.sin(turn) + height / 2
    turned = sharp[back_y.clip(0, height - 1).astype(int), back_x.clip(0, width - 1).astype(int)]
    blur = sum(numpy.roll(turned, (dy, dx), (0, 1)) for dy in range(-2, 3) for dx in range(-2, 3)) / 25
    grain = numpy.random.default_rng(20261201).normal(0, 12, blur.shape)
    return (60 + blur * 0.6 + grain).clip(0, 255).astype(numpy.uint8)


def read(picture: numpy.ndarray) -> list[str]:
    """Dark on light only: a reader that does not try the negative has to do."""
    return [found.text for found in zxingcpp.read_barcodes(numpy.ascontiguousarray(picture), try_invert=False)]


@display
def test_a_reader_reads_what_a_display_shows_however_badly_it_sees_it(run: Run, display: str):
    texts = [URL, "x", "y" * 17, LONG] + ([] if display == "oled" else ["z" * 78, LONGEST])
    pictures = show(run, DISPLAYS[display], *((TEXT, text) for text in texts))["pictures"]
    for text, rows in zip(texts, pictures, strict=True):
        picture = grey(rows)
        assert read(numpy.kron(numpy.pad(picture, 12), numpy.ones((4, 4), numpy.uint8))) == [text]
        assert read(photograph(picture)) == [text], len(text)


@display
def test_a_code_that_goes_leaves_the_display_as_it_was(run: Run, display: str):
    codes = (None, URL, None, LONGEST + "z", "", LONG, URL)
    pictures = show(run, DISPLAYS[display], *((TEXT, code) for code in codes))["pictures"]
    assert pictures[0] == pictures[2] == pictures[3] == pictures[4] != pictures[1]
    assert pictures[6] == pictures[1] != pictures[5]


@pytest.mark.parametrize(("how", "text"), [({"oled": [64]}, LONG + "y"), ({"oled": [32]}, "x")], ids=["too-long", "too-low"])
def test_where_it_would_be_too_small_to_read_the_text_stands_alone(run: Run, how: dict, text: str):
    pictures = show(run, how, (TEXT, None), (TEXT, text))["pictures"]
    assert pictures[0] == pictures[1]


def test_what_draws_leaves_a_chips_memory(run: Run, python: str):
    left = show(run, DISPLAYS["oled"], (TEXT, URL))["left"]
    assert left == [] or python == "cpython"


# A terminal.


def printed(python: str, *lines: str) -> list[str]:
    script = HERE / "on_device" / "qr_terminal.py"
    typed = "".join(f"{line}\n" for line in lines).encode()
    done = subprocess.run(command(python, script), env=environment(), input=typed, capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.decode().splitlines()


def modules(lines: list[str]) -> numpy.ndarray:
    """Each half of a character as light or dark; the terminal is told which is which."""
    rows = []
    for line in lines:
        assert line.startswith("\x1b[30;107m") and line.endswith("\x1b[0m")
        characters = line[9:-4]
        rows.append([0 if character in "▀█" else 255 for character in characters])
        rows.append([0 if character in "▄█" else 255 for character in characters])
    return numpy.array(rows, numpy.uint8)


@pytest.mark.parametrize("text", [URL, "x", LONGEST], ids=["url", "shortest", "longest"])
def test_a_terminal_that_is_all_there_is_shows_it_below_the_line(python: str, text: str):
    lines = printed(python, "draws", text)
    assert lines[0] == f"[Browser] {TEXT}" and lines[-1] == "[Ready] " and not any(line.startswith("[") for line in lines[1:-1])
    assert max(len(line) - 13 for line in lines[1:-1]) <= 49 and len(lines) - 2 <= 25
    assert read(numpy.kron(modules(lines[1:-1]), numpy.ones((4, 4), numpy.uint8))) == [text]


def test_it_comes_again_when_it_is_asked_for_or_when_it_changes_and_not_else(python: str):
    once = len(printed(python, "draws", URL)) - 1
    assert len(printed(python, "draws", URL, "again")) - 1 == 2 * once
    assert len(printed(python, "draws", URL, "same")) - 1 == once
    assert len(printed(python, "draws", URL, LONG)) - 1 == 2 * once


def test_beside_another_screen_and_where_it_is_too_long_there_is_the_line_alone(python: str):
    assert printed(python, "", URL) == printed(python, "draws", LONGEST + "z") == [f"[Browser] {TEXT}", "[Ready] "]
