"""The pins of this board by name: GPIO numbers of an ESP32-S3-DevKitC-1.

Not for wiring: board.md has the table and the drawing. Left alone: 0, 3, 45, 46 (read at reset), 19, 20 (USB), 26 to 37 (memory).
"""

KEYPAD_ROWS = (4, 5, 6, 7)
KEYPAD_COLUMNS = (15, 16, 17, 18)
OLED_SDA = 8
OLED_SCL = 9
OLED_ADDRESS = 0x3C  # 0x3D where the module's jumper says so
BUZZER = 10
