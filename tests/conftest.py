"""What all tests share: strangers' vectors, and the marks that say what a test wants to find on the machine.

Not for worlds, brokers or servers: each folder has its own.
"""

import os
import signal
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import pytest

from tests.vectors import strangers

MARKS = (
    "mosquitto: wants the mosquitto broker (apt install mosquitto)",
    "node: wants Node.js 20 or newer with npm",
    "chromium: wants Chromium (apt install chromium)",
)


def pytest_configure(config: pytest.Config) -> None:
    # A shell that starts the tests in the background lets Ctrl-C be ignored, and so would every process that a test starts.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


def must_not_be_skipped(reason: str) -> bool:
    """True under LATCHPIN_NO_SKIPS (.ci/run); only vectors may be absent, and only where no folder of them is there."""
    absent = not Path(strangers.environment()["LATCHPIN_VECTORS"]).is_dir()
    return bool(os.environ.get("LATCHPIN_NO_SKIPS")) and not (absent and "no vectors " in reason)


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple) and must_not_be_skipped(report.longrepr[2]):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} must not be skipped here: {report.longrepr[2]}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    forbid_skip(report)
    return report


@pytest.fixture
def vectors() -> ModuleType:
    """`vectors.document("oauth/rfc7636_appendix_b.json")`: a stranger's file, or a skip that says whose it is."""
    return strangers
