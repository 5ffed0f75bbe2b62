"""`latchpin bridge` as an operator types it.

Not for serving: test_bridge.py does that.
"""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from broker_bridge import bridge_key
from latchpin.crypto import p256
from tests.bridge.driver import Place, until
from tests.bridge.foreign import Foreign, Said
from tests.brokers import running as brokers
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


ITEMS = "key registry profile broker.tls broker.login broker.publish broker.acl broker.subscriptions broker.anonymous "
ITEMS += "as.metadata as.offers as.clock as.client as.challenge resource.0"


def checked(config: Path, environment: dict[str, str] | None = None) -> tuple[int, dict[str, dict[str, str]]]:
    """(exit code, items by name) of `check --json`."""
    done = bridge("check", "--json", "--config", config, environment=environment)
    assert "Traceback" not in done.stderr, done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] == (done.returncode == 0) and [item["item"] for item in told["items"]] == ITEMS.split()
    return done.returncode, {item["item"]: item for item in told["items"]}


def outcomes(items: dict[str, dict[str, str]], outcome: str) -> set[str]:
    return {name for name, item in items.items() if item["outcome"] == outcome}


@pytest.fixture
def good(server: Foreign) -> Foreign:
    """An authorization server that knows its client and not our made-up session."""
    server.says("/challenge", Said(400, {"error": "invalid_session"}))
    server.says("/token", Said(400, {"error": "invalid_grant"}))
    return server


def test_check_says_ok_item_by_item(place: Place, any_broker: Any, good: Foreign):
    broker, _ = any_broker
    place.identity()
    config = place.configure(broker, good.issuer, good.resource, good.ca)
    code, items = checked(config)
    assert code == 0 and outcomes(items, "ok") == set(ITEMS.split()), items
    done = bridge("check", "--config", config)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[-1] == "everything works"
    assert [line[:6] for line in lines[:-1]] == ["ok    "] * 15
    asked = next(asked for asked in good.to("/token") if asked.method == "POST")
    assert asked.form["code"] == "made-up" and asked.headers["authorization"].startswith("Basic ")


def test_check_names_every_failing_item_with_the_next_step(place: Place, broker: Running, good: Foreign):
    good.metadata["issuer"] = good.issuer + "/"
    config = place.configure(broker, good.issuer, good.resource, good.ca, authorization_server={"profile": "refrence"})
    (place.folder / "bridge.key").chmod(0o644)
    (place.folder / "broker.password").write_text("wrong")
    code, items = checked_loosely(config)
    assert code == 1 and outcomes(items, "fail") == {"key", "registry", "profile", "broker.login"}
    config = place.configure(broker, good.issuer, good.resource, good.ca)
    (place.folder / "broker.password").write_text("wrong")
    _, items = checked(config)
    assert outcomes(items, "fail") == {"key", "registry", "broker.login", "as.metadata"}
    assert "chmod 600" in items["key"]["next"] and "latchpin device enrol" in items["registry"]["next"]
    assert "broker.password_file" in items["broker.login"]["next"] and "byte for byte" in items["as.metadata"]["next"]
    after = {"broker.publish", "broker.acl", "broker.subscriptions"}
    after |= {"as.offers", "as.clock", "as.client", "as.challenge", "resource.0"}
    assert outcomes(items, "skip") == after
    done = bridge("check", "--config", config)
    assert done.returncode == 1 and done.stdout.splitlines()[-1] == "4 of 15 to mend"
    assert done.stdout.count("\n      next: ") == 4


def checked_loosely(config: Path) -> tuple[int, dict[str, dict[str, str]]]:
    done = bridge("check", "--json", "--config", config)
    return done.returncode, {item["item"]: item for item in json.loads(done.stdout)["items"]}


def test_check_reaches_nobody_and_says_so(place: Place, broker: Running, good: Foreign):
    place.identity()
    config = place.configure(broker, good.issuer, good.resource, good.ca)
    nobody = {
        "LATCHPIN_BRIDGE__BROKER__URL": "mqtts://localhost:9",
        "LATCHPIN_BRIDGE__AUTHORIZATION_SERVER__ISSUER": "https://localhost:9",
    }
    _, items = checked(config, nobody)
    assert items["broker.tls"]["found"] == items["as.metadata"]["found"] == "connect"
    swapped = {"LATCHPIN_BRIDGE__BROKER__CA": str(good.ca), "LATCHPIN_BRIDGE__AUTHORIZATION_SERVER__CA": str(broker.ca)}
    _, items = checked(config, swapped)
    assert items["broker.tls"]["found"] == items["as.metadata"]["found"] == "tls"
    _, items = checked(config, {"LATCHPIN_BRIDGE__AUTHORIZATION_SERVER__PRIVATE_NETWORKS": "10.0.0.0/8"})
    assert "private_networks" in items["as.metadata"]["next"] and outcomes(items, "fail") == {"as.metadata"}


def test_check_sees_what_an_as_lacks(place: Place, broker: Running, good: Foreign):
    place.identity()
    config = place.configure(broker, good.issuer, good.resource, good.ca)
    del good.metadata["authorization_challenge_endpoint"], good.metadata["device_authorization_endpoint"]
    good.resource_metadata["authorization_servers"] = ["https://other.example"]
    good.says("/token", Said(401, {"error": "invalid_client"}))
    _, items = checked(config)
    assert outcomes(items, "fail") == {"as.offers", "as.client", "resource.0"} and outcomes(items, "skip") == {"as.challenge"}
    assert "client_secret_file" in items["as.client"]["next"] and "RFC 9728" in items["resource.0"]["next"]
    good.usual()
    good.metadata["dpop_signing_alg_values_supported"] = []
    good.says("/token", Said(400, {"error": "invalid_grant"}, {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}))
    good.says("/challenge", Said(401, {"error": "shoe_size_required"}))
    code, items = checked(config)
    assert code == 1 and outcomes(items, "warn") == {"as.offers", "as.clock"} and outcomes(items, "fail") == {"as.challenge"}
    assert "profile" in items["as.challenge"]["next"]
    good.says("/.well-known/oauth-authorization-server", Said(200, b"<html>", {"Content-Type": "text/html"}))
    _, items = checked(config)
    assert items["as.metadata"]["found"] == "content_type"


def test_check_says_of_an_as_with_the_device_grant_alone_that_devices_show_a_code(place: Place, broker: Running, good: Foreign):
    place.identity()
    config = place.configure(broker, good.issuer, good.resource, good.ca)
    del good.metadata["authorization_challenge_endpoint"]
    code, items = checked(config)
    assert code == 0 and outcomes(items, "skip") == {"as.challenge"}, items
    assert all("show a code" in items[item]["found"] for item in ("as.offers", "as.challenge"))
    asked = next(asked for asked in good.to("/token") if asked.method == "POST")
    assert asked.form["device_code"] == "made-up" and not good.to("/device"), "no code was shown to nobody"
    good.says("/token", Said(400, {"error": "unauthorized_client"}))
    _, items = checked(config)
    assert outcomes(items, "fail") == {"as.client"} and "device grant" in items["as.client"]["next"]


def test_check_sees_a_broker_without_an_acl_and_one_that_lets_anybody_in(place: Place, good: Foreign, tmp_path: Path):
    if not brokers.have_mosquitto():
        pytest.skip(brokers.MISSING)
    place.identity()
    folder = tmp_path / "broker"
    folder.mkdir()
    with brokers.mosquitto(folder, place.registry) as broker:
        conf = folder / "mosquitto.conf"
        port, dropped = brokers.free_port(), ("acl_file", "allow_anonymous", "use_username_as_clientid")
        lines = [line for line in conf.read_text().splitlines() if not line.startswith(dropped)]
        conf.write_text("\n".join([*lines, "allow_anonymous true"]).replace(f"listener {broker.port}", f"listener {port}"))
        with subprocess.Popen([brokers.installed("mosquitto"), "-c", str(conf)], stderr=subprocess.DEVNULL) as open_broker:
            try:
                until(lambda: listens(port))
                wide = dataclasses.replace(broker, port=port)
                code, items = checked(place.configure(wide, good.issuer, good.resource, good.ca))
            finally:
                open_broker.terminate()
    assert code == 1 and outcomes(items, "warn") == {"broker.acl"} and outcomes(items, "fail") == {"broker.anonymous"}


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_check_asks_an_inventory_for_a_device_that_there_is_not(place: Place, broker: Running, good: Foreign):
    config = place.configure(broker, good.issuer, good.resource, good.ca)
    source = f'url = "{good.origin}/stock"\nca = "{good.ca}"\nprivate_networks = ["127.0.0.0/8"]'
    config.write_text(config.read_text().replace('file = "devices.toml"', source))
    assert checked(config)[1]["registry"]["outcome"] == "ok"
    good.says("/stock/bridge-check", Said(401, {"error": "x"}))
    assert "token_file" in checked(config)[1]["registry"]["next"]
