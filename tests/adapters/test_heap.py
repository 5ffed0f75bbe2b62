"""What a link costs on the chip, measured on the x64 `micropython` binary with compiled code (a 32-bit board needs about 62 %).

Not a benchmark: these are limits, and they only go down.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from boards.package import package_files
from tests.adapters.certificates import Certificates
from tests.adapters.mosquitto import Mosquitto
from tests.adapters.support import HERE, command
from tests.adapters.test_mqtt_link import DOWN, STATE, UP, Bridge, how

# Bytes of heap, TLS's own buffers not among them: Mbed TLS takes those from the system. "mqtt_link" has LinkError in it; of
# "connected", 3,000 are the TLS context and 2,400 are names that the code for the opening leaves behind once.
LIMITS = {"mqtt_link": 9_000, "connected": 6_600, "publish_churn": 5_600, "left_behind": 64}


@pytest.fixture
def mosquitto(tmp_path: Path, certificates: Certificates) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "mosquitto", certificates)
    yield broker
    broker.stop()


@pytest.fixture
def echo(mosquitto: Mosquitto, certificates: Certificates) -> Iterator[Bridge]:
    other = Bridge(mosquitto.port, certificates)
    other.client.on_message = lambda client, data, message: (
        client.publish(DOWN, message.payload, qos=1) if message.topic == UP else None
    )
    yield other
    other.stop()


def test_a_link_stays_within_its_heap_and_leaves_nothing_behind(
    mosquitto: Mosquitto, certificates: Certificates, echo: Bridge, tmp_path: Path
):
    for name, data in package_files(False).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    given = tmp_path / "argument.json"
    given.write_text(json.dumps(how(mosquitto.port, certificates, topic=UP, unheard=STATE)))
    done = subprocess.run(
        [*command("micropython", HERE / "on_device" / "heap.py", ("-X", "heapsize=64k")), str(given)],
        env={"MICROPYPATH": f".frozen:{tmp_path / 'lib'}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    print(seen)
    assert seen.pop("echoed") == 4_096
    assert {name: value for name, value in seen.items() if value > LIMITS[name]} == {}
