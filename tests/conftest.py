"""What all tests share: strangers' vectors, and the marks that say what a test wants to find on the machine.

Not for worlds, brokers or servers: each folder has its own.
"""

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


@pytest.fixture
def vectors() -> ModuleType:
    """`vectors.document("oauth/rfc7636_appendix_b.json")`: a stranger's file, or a skip that says whose it is."""
    return strangers
