"""The brokers that the suite runs against, and who is enrolled there.

Not a test.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from broker_bridge.registry import Registry, hash_mqtt_password
from tests.brokers import running
from tests.brokers.clients import Paho
from tests.brokers.running import Running

DEVICES = ("lp-alpha", "lp-bravo", "lp-carol")


def password(device: str) -> str:
    return device * 3


def a_point() -> bytes:
    """The public half of a new P-256 key, x||y."""
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def enrolled(folder: Path, devices: tuple[str, ...] = DEVICES) -> Registry:
    registry = Registry(folder / "devices.toml")
    for device in devices:
        registry.enrol(device, a_point(), hash_mqtt_password(password(device).encode()))
    return registry


@pytest.fixture(scope="module", params=["embedded", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Each test of the suite runs twice: on the demo broker and on real mosquitto."""
    if request.param == "mosquitto" and not running.have_mosquitto():
        pytest.skip(running.MISSING)
    folder = tmp_path_factory.mktemp(request.param)
    with getattr(running, request.param)(folder, enrolled(folder)) as broker:
        yield broker
        assert broker.process.poll() is None, "the broker died during the tests"


@pytest.fixture(scope="module")
def demo_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("embedded")
    with running.embedded(folder, enrolled(folder)) as broker:
        yield broker
        assert broker.process.poll() is None, "the broker died during the tests"


@pytest.fixture
def bridge(broker: Running) -> Iterator[Paho]:
    """A bridge that reads what bridges read."""
    client = Paho(broker, "bridge", broker.bridge_password)
    for pattern in ("$share/latchpin/latchpin/1/+/hello", "latchpin/1/+/up/r001", "latchpin/1/+/state"):
        assert client.subscribe(pattern) == 1
    yield client
    client.close()


@pytest.fixture
def alpha(broker: Running) -> Iterator[Paho]:
    """A device that listens on its own topic."""
    client = Paho(broker, "lp-alpha", password("lp-alpha"))
    assert client.subscribe("latchpin/1/lp-alpha/down") == 1
    yield client
    client.close()
