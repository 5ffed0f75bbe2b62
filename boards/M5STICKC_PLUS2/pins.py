"""The pins of this board by name, as M5Stack wired them (docs.m5stack.com/en/core/M5StickC%20PLUS2).

Not for wiring: nothing has to be wired. 2, 5, 12 and 15 are read at reset: the maker has seen to it. 37 and 39 can only be read.
"""

HOLD = 4
BUTTON_A = 37
BUTTON_B = 39
LCD_DATA = 15
LCD_CLOCK = 13
LCD_COMMAND = 14
LCD_RESET = 12
LCD_SELECT = 5
LCD_LIGHT = 27
LCD_PLACE = (40, 53, 0x60)  # (40, 52, 0xA0) turns it upside down
BUZZER = 2
LAMP = 19
