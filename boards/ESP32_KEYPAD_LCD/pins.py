"""The pins of this board by name: GPIO numbers of an ESP32 DevKit.

Not for wiring: board.md has the table and the drawing. Left alone: 0, 2, 5, 12, 15 (read at reset) and 34 to 39 (no pull-up).
"""

KEYPAD_ROWS = (32, 33, 25, 26)
KEYPAD_COLUMNS = (27, 14, 13, 23)
LCD_SDA = 21
LCD_SCL = 22
LCD_ADDRESS = 0x27  # 0x3F where the chip on the back is a PCF8574A
LAMP = 4
