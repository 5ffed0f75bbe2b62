"""What all tests share: strangers' vectors, and the marks that say what a test wants to find on the machine.

Not for worlds, brokers or servers: each folder has its own.
"""

import os
from collections.abc import Generator
from types import ModuleType

import pytest

from tests.vectors import strangers

MARKS = (
    "mosquitto: wants the mosquitto broker (apt install mosquitto)",
    "node: wants Node.js 20 or newer with npm",
    "chromium: wants Chromium (npx playwright install chromium)",
)


def pytest_configure(config: pytest.Config) -> None:
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under LATCHPIN_NO_SKIPS (.ci/run) a skip is a failure; only vectors that lie in no package may be absent."""
    report = yield
    if report.skipped and os.environ.get("LATCHPIN_NO_SKIPS") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if "no vectors " not in reason:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} must not be skipped here: {reason}"
    return report


@pytest.fixture
def vectors() -> ModuleType:
    """`vectors.document("oauth/rfc7636_appendix_b.json")`: a stranger's file, or a skip that says whose it is."""
    return strangers
