"""Adds to each test file here a second collector that runs it under the real `micropython` binary, one process for each file.

Not for fixtures: a test here is a plain function with bare asserts, so that both Pythons can call it. What needs CPython
stands in a file named test_*_on_cpython.py.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import run_on_micropython

HERE = Path(__file__).parent

for _folder in (HERE, HERE.parent / "vectors"):
    sys.path.insert(0, str(_folder))


class Failure(Exception):
    """What the other Python said."""


class MicroPythonTest(pytest.Item):
    def runtest(self) -> None:
        assert isinstance(self.parent, MicroPythonFile)
        outcome = self.parent.outcomes()[self.name.partition("[")[0]]
        if outcome.how == "skipped":
            pytest.skip(outcome.text)
        if outcome.how == "failed":
            raise Failure(outcome.text)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        return str(excinfo.value) if isinstance(excinfo.value, Failure) else str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class MicroPythonFile(pytest.File):
    _outcomes: dict[str, run_on_micropython.Outcome] | None = None

    def collect(self) -> Iterator[pytest.Item]:
        for name in run_on_micropython.tests_in(self.path):
            yield MicroPythonTest.from_parent(self, name=f"{name}[micropython]")

    def outcomes(self) -> dict[str, run_on_micropython.Outcome]:
        if self._outcomes is None:
            chosen = [item.name.partition("[")[0] for item in self.session.items if item.parent is self]
            self._outcomes = run_on_micropython.run(self.path, chosen)
        return self._outcomes


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.match("test_*.py") and not file_path.stem.endswith("_on_cpython"):
        return MicroPythonFile.from_parent(parent, path=file_path)
    return None
