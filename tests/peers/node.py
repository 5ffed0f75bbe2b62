"""Whether Node.js and an npm package of this folder are here, for tests of foreign clients in JavaScript.

Not a test: `node = needs("openid-client")` is the path of node, or the test is skipped with what to install.
"""

import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def needs(package: str) -> str:
    found = shutil.which("node")
    if not found:
        pytest.skip("Node.js is missing: install Node.js 20 or newer (apt install nodejs npm), then: cd tests/peers && npm ci")
    if not (HERE / "node_modules" / package).is_dir():
        pytest.skip(f"{package} is missing: cd tests/peers && npm ci")
    return found
