"""Latchpin frozen into firmware: make -C ports/esp32 BOARD=ESP32_GENERIC_S3 BOARD_VARIANT=SPIRAM_OCT FROZEN_MANIFEST=<this file>.

Not needed for `latchpin flash`, which copies files.
"""

# ruff: noqa: F821

include("$(PORT_DIR)/boards/manifest.py")
include("../../device/manifest.py")
module("main.py")
module("pins.py")
