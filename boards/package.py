"""Writes device/package.json (for `mpremote mip install`) and device/manifest.py (for freezing) from the tree.

Not for copying: boards/flash.py does that. `python -m boards.package` writes both; a test compares them with the tree.
"""

import json
from pathlib import Path

from latchpin import __version__

ROOT = Path(__file__).resolve().parent.parent
DEVICE = ROOT / "device"
NOT_FOR_BOARDS = ("latchpin/host_engine.py", "latchpin/wire/bridge_side.py")


def files() -> list[str]:
    """What a board gets of the package, relative to device/."""
    found = sorted(path.relative_to(DEVICE).as_posix() for path in DEVICE.glob("latchpin/**/*.py"))
    return [name for name in found if name not in NOT_FOR_BOARDS]


def package_json() -> str:
    return json.dumps({"urls": [[name, name] for name in files()], "deps": [], "version": __version__}, indent=1) + "\n"


def manifest() -> str:
    listing = "".join(f'        "{name.removeprefix("latchpin/")}",\n' for name in files())
    return (
        '"""For freezing Latchpin into firmware: boards/<BOARD>/manifest.py includes it.\n\n'
        'Not written by hand: python -m boards.package.\n"""\n\n# ruff: noqa: F821\n\n'
        f'metadata(description="PIN in, token out", version="{__version__}")\n'
        f'package(\n    "latchpin",\n    files=(\n{listing}    ),\n    base_path=".",\n)\n'
    )


if __name__ == "__main__":
    (DEVICE / "package.json").write_text(package_json())
    (DEVICE / "manifest.py").write_text(manifest())
