"""Latchpin frozen into the unix binary: make -C ports/unix FROZEN_MANIFEST=<this file>.

Not needed for a run from the checkout.
"""

# ruff: noqa: F821

include("$(PORT_DIR)/variants/standard/manifest.py")
include("../../device/manifest.py")
