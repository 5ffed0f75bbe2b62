"""What the bridge's tests share: a broker for the session, a foreign server and a place for each test.

Not for helpers: driver.py and foreign.py have those.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_bridge.registry import Registry
from tests.bridge.driver import Place
from tests.bridge.foreign import Foreign, foreign
from tests.brokers import running
from tests.brokers.running import Running


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Foreign]:
    with foreign(tmp_path / "foreign") as running_server:
        yield running_server


@pytest.fixture
def broker(place: Place, tmp_path: Path) -> Iterator[Running]:
    """The demo broker, on the place's registry."""
    folder = tmp_path / "broker"
    folder.mkdir()
    with running.embedded(folder, place.registry) as started:
        yield started


@pytest.fixture(params=["embedded", "mosquitto"])
def any_broker(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Iterator[tuple[Running, Registry]]:
    """Both brokers, one after the other."""
    if request.param == "mosquitto" and not running.have_mosquitto():
        pytest.skip(running.MISSING)
    folder = tmp_path / "broker"
    folder.mkdir()
    with getattr(running, request.param)(folder, place.registry) as started:
        yield started, place.registry
