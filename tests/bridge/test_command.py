"""`latchpin bridge` as an operator types it.

Not for serving: test_bridge.py does that.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from broker_bridge import bridge_key
from latchpin.crypto import p256
from tests.bridge.driver import Place
from tests.bridge.foreign import Foreign, Said
from tests.brokers.running import Running


def bridge(*words: Any, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "broker_bridge", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(environment or {})},
    )


def test_help_explains_itself_and_latchpin_bridge_is_the_same():
    ours = bridge("--help").stdout
    latchpin = subprocess.run(
        [sys.executable, "-m", "host_sim", "bridge", "--help"], capture_output=True, text=True, timeout=60
    ).stdout
    for text in (ours, latchpin):
        assert "latchpin bridge key --out bridge.key" in text and "LATCHPIN_BRIDGE__BROKER__URL" in text


def test_a_key_is_made_once_and_its_public_half_is_printed(tmp_path: Path):
    path = tmp_path / "bridge.key"
    done = bridge("key", "--out", path, "--kid", 7)
    assert done.returncode == 0 and done.stderr == ""
    kid, public = done.stdout.split()
    made = bridge_key.load(path)
    assert kid == "7" and public == made.public.hex() == p256.public_key(made.private).hex()
    assert path.stat().st_mode & 0o777 == 0o600
    again = bridge("key", "--out", path)
    assert again.returncode == 1 and "never overwritten" in again.stderr and bridge_key.load(path) == made
    assert bridge("key").returncode == 2 and bridge("key", "--out", tmp_path / "x", "--kid", 256).returncode == 2
    assert bridge("key", "--out", tmp_path / "no" / "where").returncode == 1


def test_a_configuration_that_cannot_be_used_ends_it_with_a_line_for_each_mistake(tmp_path: Path):
    done = bridge("--config", tmp_path / "bridge.toml")
    assert done.returncode == 2 and "no such file" in done.stderr and "Traceback" not in done.stderr
    (tmp_path / "bridge.toml").write_text("[broker]\nurl = 'mqtt://x'\nusername = 'u'\n")
    done = bridge("--config", tmp_path / "bridge.toml")
    assert done.returncode == 2 and "broker.url" in done.stderr and "resources: is missing" in done.stderr


def test_check_says_ok_item_by_item(place: Place, broker: Running, server: Foreign):
    place.identity()
    done = bridge("check", "--config", place.configure(broker, server.issuer, server.resource, server.ca))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line[:4] for line in lines[:-1]] == ["ok  "] * 5 and lines[-1] == "everything works"


def test_check_names_every_failing_item_with_the_next_step(place: Place, broker: Running, server: Foreign):
    server.metadata["issuer"] = server.issuer + "/"
    config = place.configure(broker, server.issuer, server.resource, server.ca)
    (place.folder / "bridge.key").chmod(0o644)
    (place.folder / "broker.password").write_text("wrong")
    done = bridge("check", "--config", config)
    assert done.returncode == 1
    told = {line[6:].partition(":")[0]: line for line in done.stdout.splitlines()}
    assert "chmod 600" in told["key"] and "latchpin device enrol" in told["registry"]
    assert "broker.password_file" in done.stdout and "byte for byte" in told["authorization server"]
    assert done.stdout.splitlines()[-1] == "5 of 5 to mend"


def test_check_reaches_nobody_and_says_so(place: Place, broker: Running, server: Foreign, tmp_path: Path):
    place.identity()
    config = place.configure(broker, server.issuer, server.resource, server.ca)
    changes = {
        "LATCHPIN_BRIDGE__BROKER__URL": "mqtts://localhost:9",
        "LATCHPIN_BRIDGE__AUTHORIZATION_SERVER__ISSUER": "https://localhost:9",
    }
    done = bridge("check", "--config", config, environment=changes)
    assert done.returncode == 1 and "no firewall" in done.stdout and "[connect]" in done.stdout
    swapped = {"LATCHPIN_BRIDGE__BROKER__CA": str(server.ca), "LATCHPIN_BRIDGE__AUTHORIZATION_SERVER__CA": str(broker.ca)}
    done = bridge("check", "--config", config, environment=swapped)
    assert done.stdout.count("does not verify") == 3 and "Traceback" not in done.stderr


def test_check_sees_what_an_as_lacks(place: Place, broker: Running, server: Foreign):
    place.identity()
    config = place.configure(broker, server.issuer, server.resource, server.ca)
    del server.metadata["authorization_challenge_endpoint"]
    server.resource_metadata["authorization_servers"] = ["https://other.example"]
    done = bridge("check", "--config", config)
    assert "authorization_challenge_endpoint" in done.stdout and "does not name this issuer" in done.stdout
    server.usual()
    server.metadata["dpop_signing_alg_values_supported"] = []
    assert "without DPoP" in bridge("check", "--config", config).stdout
    server.says("/.well-known/oauth-authorization-server", Said(200, b"<html>", {"Content-Type": "text/html"}))
    assert "[content_type]" in bridge("check", "--config", config).stdout
