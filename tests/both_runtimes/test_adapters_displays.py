"""Graphic displays against simulated controllers: what they are told, byte by byte, and what then stands on the glass.

Not for character displays: test_adapters_parts.py.
"""

import asyncio
import sys

from chips import Registers, Spi, Ssd1306, St7789, View

from latchpin.adapters.lcd_st7789 import COLOURS, LcdSt7789, SpiWires
from latchpin.adapters.oled_ssd1306 import OledSsd1306
from latchpin.adapters.text_screen import TextScreen
from latchpin.agent import prompts

PIN = View("waiting", "PIN?", "Ask for a PIN for this device; word: amber fox", "***-**")

# What goes where.


class Screen(TextScreen):
    def __init__(self, columns, rows):
        TextScreen.__init__(self, columns, rows)
        self.puts = []

    def put(self, row, column, text):
        self.puts.append((row, column, text))


def shown(screen):
    return [line.rstrip() for line in screen._shown]


def test_a_display_of_three_rows_or_more_has_the_entry_in_the_last():
    screen = Screen(16, 8)
    screen.show(PIN)
    assert shown(screen) == ["PIN?", "Ask for a PIN", "for this device;", "word: amber fox", "", "", "", "***-**"]
    screen.show(View("ready", "Ready", "holding a token. # calls the tool"))
    assert shown(screen) == ["Ready", "holding a token.", "# calls the tool", "", "", "", "", ""]


def test_what_a_dial_stands_at_is_shown_beside_what_is_typed_and_is_not_typed_yet():
    screen = Screen(16, 4)
    screen.choose("4")
    assert screen.puts == []
    screen.show(View("waiting", "PIN?", "amber fox", "***-***-***"))
    assert shown(screen)[3] == "***-***-*** <4>"
    screen.choose("#")
    assert shown(screen)[3] == "***-***-*** <#>"
    screen.show(View("ready", "Ready", ""))
    assert shown(screen)[3] == "<#>"
    two = Screen(16, 2)
    two.show(View("waiting", "PIN?", "", "***"))
    two.choose("7")
    assert shown(two)[0] == "PIN?     *** <7>"
    two.show(View("waiting", "PIN?", "", "***-***-***"))
    assert shown(two)[0] == "***-***-*** <7>"


def test_only_what_changed_is_written():
    screen = Screen(16, 8)
    screen.show(PIN)
    screen.puts = []
    screen.show(View("waiting", PIN.title, PIN.text, "***-***"))
    assert screen.puts == [(7, 6, "*")]
    screen.show(View("waiting", PIN.title, PIN.text, "***-***"))
    assert screen.puts == [(7, 6, "*")]


# An SSD1306.


def test_an_oled_is_set_up_as_its_data_sheet_says_and_lights_up_without_noise():
    chip = Ssd1306()
    OledSsd1306(chip)
    assert chip.commands[0] == (0xAE,) and chip.commands[-1] == (0xAF,) and chip.on
    told = chip.commands
    for command in (
        (0xA8, 63),  # 64 lines
        (0xD3, 0),
        (0x40,),
        (0x8D, 0x14),  # charge pump on
        (0x20, 0x00),  # horizontal addressing
        (0xA1,),  # both: the usual module stands on its head
        (0xC8,),
        (0xDA, 0x12),  # alternative COM pins
        (0xA4,),
        (0xA6,),
    ):
        assert command in told, command
    assert chip.data_bytes == 1024 and all(Ssd1306.NOISE not in set(page) for page in chip.memory)


def test_an_oled_of_32_lines_has_half_of_everything():
    chip = Ssd1306(0x3D)
    display = OledSsd1306(chip, 0x3D, 32)
    assert (0xA8, 31) in chip.commands and (0xDA, 0x02) in chip.commands and chip.data_bytes == 512
    display.show(View("waiting", "PIN?", "amber fox", "***"))
    assert [row.rstrip() for row in chip.glass()] == ["PIN?", "amber fox", "", "***"]


def test_an_oled_shows_the_view_and_is_sent_only_what_changed():
    chip = Ssd1306()
    display = OledSsd1306(chip)
    display.show(PIN)
    assert [row.rstrip() for row in chip.glass()] == [
        "PIN?",
        "Ask for a PIN",
        "for this device;",
        "word: amber fox",
        "",
        "",
        "",
        "***-**",
    ]
    before, commands = chip.data_bytes, len(chip.commands)
    display.show(View("waiting", PIN.title, PIN.text, "***-***"))
    assert chip.data_bytes - before == 8
    assert chip.commands[commands:] == [(0x21, 48, 55), (0x22, 7, 7)]
    assert chip.glass()[7] == "***-***         "


# An ST7789.


def spi_display(chip, *how):
    bus = Spi(chip)
    return LcdSt7789(SpiWires(bus, bus.cs, bus.dc), *how)


# An M5StickC Plus2's: 240x135 in landscape.
STICK = (240, 135, 40, 53, 0x60)


def test_a_colour_display_is_set_up_as_its_data_sheet_says():
    chip = St7789()
    spi_display(chip, *STICK)
    assert chip.log == [
        [0x01],  # reset, and 120 ms
        [0x11],  # out of sleep, and 120 ms
        [0x3A, 0x55],
        [0x36, 0x60],
        [0x21],
        [0x2A, 0, 40, 1, 23],  # 40 to 279
        [0x2B, 0, 53, 0, 187],  # 53 to 187
        [0x2C],
        [0x29],
    ]
    noise = chip.NOISE << 8 | chip.NOISE
    assert chip.heard == 240 * 135 * 2 + 9 + 10
    assert [chip.pixel(x, 60) for x in (39, 40, 279, 280)] == [noise, 0, 0, noise]
    assert [chip.pixel(60, y) for y in (52, 53, 187, 188)] == [noise, 0, 0, noise]


def test_a_colour_display_shows_title_text_and_entry_in_their_colours():
    chip = St7789()
    display = spi_display(chip, *STICK)
    display.show(PIN)
    rows = [chip.row(40, 53 + 16 * row, 15) for row in range(8)]
    assert [text for text, _, _ in rows] == ["PIN?", "Ask for a PIN", "for this", "device; word:", "amber fox", "", "", "***-**"]
    assert rows[0][1:] == (0, COLOURS["waiting"]) and rows[1][1:] == (0xFFFF, 0)
    display.show(View("locked", "Locked", "for 3600 s"))
    assert chip.row(40, 53, 15) == ("Locked", 0, COLOURS["locked"])
    # The whole of the title's row has the colour, and not a pixel below it.
    assert [chip.pixel(x, 68) for x in (40, 279)] == [COLOURS["locked"]] * 2 and chip.pixel(279, 69) == 0
    display.show(View("nothing of ours", "Locked", "for 3600 s"))
    assert chip.row(40, 53, 15) == ("Locked", 0, 0xFFFF)


def test_a_colour_display_is_sent_only_what_changed():
    chip = St7789()
    display = spi_display(chip, *STICK)
    display.show(PIN)
    sent = chip.heard
    display.show(View("waiting", PIN.title, PIN.text, "***-***"))
    # Two addresses of four bytes, three commands, one character of 16 times 16 pixels of two bytes.
    assert chip.heard - sent == 8 + 3 + 512


def test_characters_may_be_narrow_for_a_display_that_stands_upright():
    chip = St7789()
    display = spi_display(chip, 170, 64, 35, 0, 0x00, 1, 3)
    display.show(View("typo", "Typing error", "wrong check digit", "***"))
    assert [chip.row(35, 16 * row, 21, 1)[0] for row in range(3)] == ["Typing error", "wrong check digit", "***"]
    assert chip.row(35, 48, 21, 1) == ("", None, 0)


def test_states_that_a_person_must_tell_apart_have_colours_of_their_own():
    for code in COLOURS:
        assert "\n" + code + "|" in prompts.TEXTS, code
    assert len({COLOURS[code] for code in ("waiting", "typo", "wrong_answer", "expired", "locked", "offline", "ready")}) == 7


def test_every_title_fits_the_narrowest_display():
    titles = [line.split("|")[1] for line in prompts.TEXTS.strip().split("\n")]
    assert len(titles) > 20 and max([len(title) for title in titles]) <= STICK[0] // 16


# With a QR code beside the text; that a reader reads it, tests/adapters/test_qr_on_displays.py.

BROWSER = View("waiting", "Browser", "Type BCDF-GHJK at as.example", "", "https://as.example/device?user_code=BCDF-GHJK")
FINDER = (1, 1, 1, 1, 1, 1, 1, 0)


def dark_from(pixel, x, y, scale):
    """Eight modules from this corner on to the right, 1 for dark."""
    return tuple([0 if pixel(x + scale * at, y) else 1 for at in range(8)])


def test_an_oled_shows_half_of_its_columns_beside_a_code_as_high_as_it_is():
    chip = Ssd1306()
    display = OledSsd1306(chip)
    display.show(BROWSER)
    assert [row.rstrip() for row in chip.glass(8)] == ["Browser", "Type", "BCDF-", "GHJK at", "as.examp", "le", "", ""]
    # 29 modules of two pixels, and three of quiet zone around: light pixels are lit.
    assert dark_from(chip.pixel, 67, 3, 2) == FINDER
    assert {chip.pixel(x, y) for x in range(64, 128) for y in (0, 1, 2, 61, 62, 63)} == {1}
    assert {chip.pixel(x, y) for x in (64, 65, 66, 125, 126, 127) for y in range(64)} == {1}
    sent = chip.data_bytes
    display.show(View("waiting", "Browser", BROWSER.text, "*", BROWSER.get("qr")))
    assert chip.data_bytes - sent == 8, "the code is not sent again"
    display.show(PIN)
    assert chip.glass()[2] == "for this device;" and chip.glass()[7].rstrip() == "***-**"


def test_a_colour_display_shows_narrow_characters_beside_a_code_as_high_as_it_is():
    chip = St7789()
    display = spi_display(chip, *STICK)
    display.show(BROWSER)
    rows = [chip.row(40, 53 + 16 * row, 13, 1)[0] for row in range(4)]
    assert rows == ["Browser", "Type", "BCDF-GHJK at", "as.example"]
    # 29 modules of four pixels, in a square of 135.
    assert dark_from(chip.pixel, 40 + 105 + 9, 53 + 9, 4) == FINDER
    assert {chip.pixel(x, y) for x in range(145, 280) for y in list(range(53, 62)) + list(range(179, 188))} == {0xFFFF}
    assert {chip.pixel(x, y) for x in list(range(145, 154)) + list(range(271, 280)) for y in range(53, 188)} == {0xFFFF}
    display.show(PIN)
    assert chip.row(40, 69, 15)[0] == "Ask for a PIN" and chip.pixel(279, 187) == 0


def test_a_code_stays_off_what_is_drawn_below_the_text():
    chip = St7789()
    display = spi_display(chip, 170, 320, 35, 0, 0x00, 1, 7)
    display.fill(0, 112, 170, 208, 0x2104)
    display.show(BROWSER)
    assert chip.row(35, 0, 7, 1)[0] == "Browser" and dark_from(chip.pixel, 35 + 58 + 12, 12, 3) == FINDER
    display.show(PIN)
    assert {chip.pixel(x, y) for x in range(35, 205) for y in (112, 200, 319)} == {0x2104}


def test_where_a_code_is_too_long_the_text_has_the_whole_display():
    for chip, display in ((Ssd1306(), OledSsd1306), (St7789(), None)):
        display = display(chip) if display else spi_display(chip, *STICK)
        display.show(View("waiting", PIN.title, PIN.text, "", "x" * 135))
        row = chip.glass()[2] if isinstance(chip, Ssd1306) else chip.row(40, 69, 15)[0]
        assert row in ("for this device;", "Ask for a PIN")


def test_what_only_shows_text_shows_it_as_ever():
    screen = Screen(16, 2)
    screen.show(View("waiting", "Browser", "BCDF-GHJK", "", BROWSER.get("qr")))
    assert shown(screen) == ["Browser", "BCDF-GHJK"]


def test_a_title_too_long_for_what_a_code_leaves_goes_on_below():
    screen = Screen(8, 5)
    screen.show(View("waiting", "Other device", "type it"))
    assert shown(screen) == ["Other", "device", "type it", "", ""]


# The same by eight wires.


def i80_wires(chip):
    data, write, dc = (39, 40, 41, 42, 45, 46, 47, 48), 8, 7
    registers = Registers(chip, data, write, dc)

    class Machine:
        mem32 = registers

    before = sys.modules.get("machine")
    sys.modules["machine"] = Machine  # type: ignore
    try:
        sys.modules.pop("latchpin.adapters.wires_i80", None)
        from latchpin.adapters.wires_i80 import I80Wires
    finally:
        if before is None:
            del sys.modules["machine"]
        else:
            sys.modules["machine"] = before
    return I80Wires(data, write, dc, registers.cs), registers


def test_eight_wires_carry_every_byte_with_its_kind():
    class Chip:
        def __init__(self):
            self.log = []

        def take(self, data, level):
            self.log += [(byte, level) for byte in data]

    chip = Chip()
    wires, registers = i80_wires(chip)
    every = bytes(range(256)) + bytes((7, 7, 0, 0, 255, 255))
    wires.command(0xAB, every)
    wires.data(b"\x55\xaa")
    assert chip.log == [(0xAB, 0)] + [(byte, 1) for byte in every + b"\x55\xaa"]
    assert registers.cs.level == 1


def test_a_byte_that_repeats_costs_only_its_strobe():
    chip = St7789()
    wires, registers = i80_wires(chip)
    wires.command(0x2C)
    before = registers.written
    wires.data(bytes(100))
    assert registers.written - before == 2 + 200


def test_by_spi_and_by_eight_wires_a_display_hears_the_same():
    how = (64, 32, 0, 35, 0x60)
    view = View("ready", "Go", "now")
    one, other = St7789(), St7789()
    display = spi_display(one, *how)
    display.show(view)
    display = LcdSt7789(i80_wires(other)[0], *how)
    display.show(view)
    assert one.log == other.log and one.memory == other.memory and other.row(0, 35, 4)[0] == "Go"


def test_pages_turn_on_every_display():
    from latchpin.adapters import text_screen

    async def main():
        screen = Screen(8, 2)
        screen.show(View("answer", "Answer", "one two three four"))
        seen = []
        # As many turns as it takes: the machine may be busy.
        while len(seen) < 3:
            if shown(screen)[1] not in seen:
                seen.append(shown(screen)[1])
            await asyncio.sleep(0.005)
        return seen

    pause_s, text_screen.PAGE_S = text_screen.PAGE_S, 0.05
    try:
        assert asyncio.run(asyncio.wait_for(main(), 30)) == ["one two", "three", "four"]
    finally:
        text_screen.PAGE_S = pause_s
