"""Under LATCHPIN_NO_SKIPS a skip is a failure, wherever it is said; only vectors may be absent, where no folder of them is there.

Not about which tools there are: .ci/run installs them.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SKIPPING = """
import pytest
def test_in_the_middle(): pytest.skip("no tool")
@pytest.mark.skipif(True, reason="no tool")
def test_by_its_mark(): pass
@pytest.fixture
def part(): pytest.skip("no tool")
def test_by_a_fixture(part): pass
"""
WHOLE_FILE = "import pytest\npytest.skip('no tool', allow_module_level=True)\n"
VECTORS = "import unittest\ndef test_a(): raise unittest.SkipTest('no vectors x/y (made by z)')\n"


def run(folder: Path, text: str, **environment: str) -> str:
    """The last line of pytest on this file, with the conftest of all tests as its plugin."""
    file = folder / "test_skipping.py"
    file.write_text(text)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LATCHPIN_", "PYTEST_"))}
    options = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder), "-p", "tests.conftest")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(file)],
        cwd=ROOT,
        env=clean | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'device'}"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "skips", "failures"), [(SKIPPING, "3 skipped", ("1 failed", "2 errors")), (WHOLE_FILE, "1 skipped", ("1 error",))]
)
def test_a_skip_is_a_failure_where_skips_are_forbidden(tmp_path: Path, text: str, skips: str, failures: tuple[str, ...]) -> None:
    assert skips in run(tmp_path, text)
    told = run(tmp_path, text, LATCHPIN_NO_SKIPS="1")
    assert "skipped" not in told and all(failure in told for failure in failures)


def test_vectors_may_be_absent_only_where_there_are_none(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    assert "1 skipped" in run(tmp_path, VECTORS, LATCHPIN_NO_SKIPS="1", LATCHPIN_VECTORS=gone)
    assert "1 failed" in run(tmp_path, VECTORS, LATCHPIN_NO_SKIPS="1", LATCHPIN_VECTORS=str(tmp_path))
