"""What an operator's machines see of a running bridge: metrics, readiness, and systemd's notifications.

Not for log lines: test_bridge.py has those.
"""

import contextlib
import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from broker_bridge.as_client import SILENT_REQUESTS
from broker_bridge.operations import ServiceManager
from latchpin import __version__
from tests.bridge.driver import Device, Place, running, until
from tests.bridge.foreign import Foreign, Said, foreign, hang_up, prompt
from tests.brokers import running as brokers
from tests.brokers.running import Running, free_port

ANSWER: dict[str, Any] = {"resource": 0, "scope": 1, "auth_session": "s1", "answers": {"pin": "123456789"}}


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


class Scrape:
    """One scrape, read by the client library's own parser: `value("name", label="...")`, 0 where it is not there."""

    def __init__(self, port: int) -> None:
        _, self.text = get(port, "/metrics")
        self.samples = [sample for family in text_string_to_metric_families(self.text) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        return sum(sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items())


class Town(NamedTuple):
    server: Foreign
    device: Device
    port: int


@pytest.fixture
def town(place: Place, broker: Running, server: Foreign) -> Iterator[Town]:
    port = free_port()
    config = place.configure(broker, server.issuer, server.resource, server.ca, operations={"listen": f"127.0.0.1:{port}"})
    with running(config):
        device = Device(place.identity(), broker).shake()
        device.ask("DISCOVER", resource=0)
        yield Town(server, device, port)
        device.close()


def test_each_metric_counts_what_its_name_says(town: Town):
    server, device = town.server, town.device
    says = [("wrong_answer", "s1"), ("locked", "s1")]
    refusals = [prompt(session, reason=reason) for reason, session in says]
    server.says("/challenge", prompt("s1"), *refusals, Said(200, {"authorization_code": "c"}))
    device.ask("CHALLENGE", b"starting", resource=0, scope=1, code_challenge="c" * 43)
    for _ in range(2):
        device.ask("CHALLENGE", b"starting", resource=0, scope=1, code_challenge="c" * 43)
    for _ in range(3):
        device.ask("CHALLENGE", **ANSWER)
    device.ask("CHALLENGE", resource=0, scope=1, auth_session="s1")
    seen = Scrape(town.port)
    challenges = "latchpin_bridge_challenge_requests_total"
    assert seen.value(challenges, op="start", outcome="prompt") == 1
    assert seen.value(challenges, op="answer") == 3 and seen.value(challenges, op="ask", outcome="code") == 1
    assert [seen.value("latchpin_pin_attempts_total", result=result) for result in ("wrong_answer", "locked", "code")] == [1] * 3
    assert seen.value("latchpin_pin_lockouts_total") == 1
    assert seen.value("latchpin_replays_served_total") == 2
    assert seen.value("latchpin_sessions_active") == 1 and seen.value("latchpin_mqtt_connected") == 1
    assert seen.value("latchpin_build_info", version=__version__) == 1
    took = "latchpin_bridge_request_duration_seconds"
    assert seen.value(took + "_count", op="challenge") == 5 == seen.value("latchpin_bridge_requests_total", op="challenge")
    assert 0 < seen.value(took + "_sum", op="challenge") < 60
    upstream = "latchpin_bridge_upstream_duration_seconds_count"
    assert seen.value(upstream, upstream="authorization_server", result="answered") == 6


def test_an_upstream_that_redirects_is_a_failed_one(town: Town):
    town.server.says("/mcp", Said(302, b"", {"Location": "https://evil.example"}))
    call = {
        "resource": 0,
        "method": "tools/call",
        "name": "whoami",
        "access_token": "t",
        "dpop": "a.b.c",
        "body": b"{}",
        "block": 0,
    }
    assert town.device.ask("CALL", **call).name == "ERROR"
    seen = Scrape(town.port)
    assert seen.value("latchpin_bridge_upstream_duration_seconds_count", upstream="resource", result="failed") == 1


def test_no_metric_has_a_label_that_names_a_device(town: Town):
    town.server.says("/challenge", prompt("s1"))
    town.device.ask("CHALLENGE", **ANSWER)
    seen = Scrape(town.port)
    assert {name for sample in seen.samples for name in sample.labels} <= {
        "op", "outcome", "result", "reason", "upstream", "version", "le",
    }  # fmt: skip
    assert town.device.identity.device not in seen.text and "123456789" not in seen.text


def test_readiness_follows_the_broker_and_the_authorization_server(place: Place, server: Foreign, tmp_path: Path):
    port = free_port()
    (tmp_path / "broker").mkdir()
    operations = {"listen": f"127.0.0.1:{port}"}
    with brokers.embedded(tmp_path / "broker", place.registry) as broker:
        config = place.configure(broker, server.issuer, server.resource, server.ca, operations=operations)
        with running(config):
            until(lambda: get(port, "/readyz") == (200, "ready\n"))
            server.says("/.well-known/oauth-authorization-server", Said(write=hang_up))
            until(lambda: get(port, "/readyz") == (503, "authorization_server\n"), 15)
            server.usual()
            until(lambda: get(port, "/readyz") == (200, "ready\n"), 15)
            broker.process.kill()
            until(lambda: get(port, "/readyz") == (503, "broker\n"))
            assert get(port, "/livez") == (200, "alive\n"), "a restart would mend neither"


def test_an_as_that_is_given_up_is_told_by_readiness_and_metrics_and_to_each_device_at_once(town: Town):
    server, device, port = town
    for path in ("/challenge", "/.well-known/oauth-authorization-server"):
        server.says(path, Said(write=hang_up))
    replies = [device.ask("CHALLENGE", **ANSWER) for _ in range(SILENT_REQUESTS + 2)]
    assert {reply.name for reply in replies} == {"ERROR"} and {reply["retry_after_s"] for reply in replies} == {10}
    assert len(server.to("/challenge")) <= SILENT_REQUESTS, "a probe may have been one of them"
    given_up = "latchpin_bridge_authorization_server_given_up"
    assert Scrape(port).value(given_up) == 1 and get(port, "/readyz") == (503, "authorization_server\n")
    server.usual()
    until(lambda: get(port, "/readyz") == (200, "ready\n"))
    assert Scrape(port).value(given_up) == 0


# systemd


def test_systemd_is_told_ready_alive_and_stopping(place: Place, broker: Running, tmp_path: Path):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening, foreign(tmp_path / "as") as server:
        listening.bind(address)
        listening.settimeout(30)
        config = place.configure(broker, server.issuer, server.resource, server.ca)
        with running(config, {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "4000000"}) as bridge:
            told = [listening.recv(64).decode() for _ in range(3)]
            assert "READY=1" in told and told.count("WATCHDOG=1") >= 1
            while listening.recv(64) != b"WATCHDOG=1":
                pass
            assert bridge.stop() == 0
        last = b""
        while last != b"STOPPING=1":
            last = listening.recv(64)


@pytest.mark.parametrize(
    ("usec", "pid", "every_s"), [("4000000", None, 2.0), ("4000000", "1", None), (None, None, None), ("x", None, None)]
)
def test_the_watchdog_is_fed_twice_in_the_time_that_systemd_waits(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, every_s: float | None
):
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name, raising=False)
    assert ServiceManager().every_s == every_s


def test_a_hanging_bridge_is_silent_to_the_watchdog(place: Place, broker: Running, server: Foreign, tmp_path: Path):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        config = place.configure(broker, server.issuer, server.resource, server.ca)
        with running(config, {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "400000"}) as bridge:
            os.kill(bridge.process.pid, signal.SIGSTOP)
            until(lambda: "\nState:\tT" in Path(f"/proc/{bridge.process.pid}/status").read_text())
            listening.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while listening.recv(64):
                    pass
            time.sleep(0.8)
            with pytest.raises(BlockingIOError):
                listening.recv(64)
            os.kill(bridge.process.pid, signal.SIGCONT)


def test_without_systemd_nobody_is_told_and_a_socket_that_is_gone_stops_nothing(place: Place, broker: Running, server: Foreign):
    config = place.configure(broker, server.issuer, server.resource, server.ca)
    with running(config, {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "100000"}) as bridge:
        time.sleep(0.3)
        assert bridge.process.poll() is None and bridge.stop() == 0
