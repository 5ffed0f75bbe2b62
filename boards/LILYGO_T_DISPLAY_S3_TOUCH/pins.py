"""The pins of this board by name, as LilyGO wired them (github.com/Xinyuan-LilyGO/T-Display-S3, pin_config.h).

Not for wiring: nothing has to be wired. 45 and 46 are read at reset: the maker has seen to it.
"""

POWER = 15
LCD_DATA = (39, 40, 41, 42, 45, 46, 47, 48)
LCD_WRITE = 8
LCD_READ = 9
LCD_COMMAND = 7
LCD_SELECT = 6
LCD_RESET = 5
LCD_LIGHT = 38
LCD_PLACE = (35, 0, 0x00)
TOUCH_SDA = 18
TOUCH_SCL = 17
TOUCH_RESET = 21
TOUCH_ADDRESS = 0x15  # CST816; some boards have a CST328 at 0x1A, which is another part
