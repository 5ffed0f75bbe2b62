"""One AS for all tests of this folder that need no settings of their own.

Not the AS itself: running.py.
"""

from collections.abc import Iterator

import pytest

from tests.authorization_server import running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Server]:
    with running.server(tmp_path_factory.mktemp("as")) as shared:
        yield shared
