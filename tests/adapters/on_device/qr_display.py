"""Shows views on a simulated display and prints its pixels after each, RGB565 in hex. Run by test_qr_on_displays.py."""

import asyncio
import gc
import json
import sys

sys.path.append(__file__.rsplit("/", 2)[0] + "/../both_runtimes")

from chips import Spi, Ssd1306, St7789, View

from latchpin.adapters.lcd_st7789 import LcdSt7789, SpiWires
from latchpin.adapters.oled_ssd1306 import OledSsd1306


def oled(height):
    chip = Ssd1306()
    return OledSsd1306(chip, 0x3C, height), lambda x, y: chip.pixel(x, y) * 0xFFFF, (128, height)


def colour(width, height, x, y, *more):
    chip = St7789()
    bus = Spi(chip)
    display = LcdSt7789(SpiWires(bus, bus.cs, bus.dc), width, height, x, y, *more)
    return display, lambda across, down: chip.pixel(x + across, y + down), (width, height)


async def main(how):
    display, pixel, size = oled(*how["oled"]) if "oled" in how else colour(*how["colour"])
    pictures = []
    for text, qr in how["views"]:
        display.show(View("waiting", "Browser", text, "", qr))
        pictures.append(["".join(["%04x" % pixel(x, y) for x in range(size[0])]) for y in range(size[1])])
    gc.collect()
    left = [name for name in sys.modules if name.startswith("latchpin.adapters.qr_")]
    return {"pictures": pictures, "left": left}


with open(sys.argv[1]) as given:
    print(json.dumps(asyncio.run(main(json.load(given)))))
