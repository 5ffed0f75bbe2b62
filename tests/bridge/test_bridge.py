"""The whole bridge in a process of its own, between a real broker and servers that say what the test wants.

Not the reference AS: test_with_the_reference_as.py has that.
"""

import base64
import http.client
import math
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from broker_bridge.devices import REFUSAL
from broker_bridge.registry import Registry
from latchpin.wire import bridge_side, messages, session, topics
from latchpin.wire.bridge_side import CODES
from tests.bridge.driver import Bridge, Device, Identity, Place, Talk, message, running, until
from tests.bridge.foreign import Foreign, Said, foreign, hang_up, prompt
from tests.brokers import running as brokers
from tests.brokers.running import Running, free_port

CHALLENGE: dict[str, Any] = {"resource": 0, "scope": 1, "code_challenge": "c" * 43}
CALL: dict[str, Any] = {"resource": 0, "method": "tools/call", "name": "whoami", "access_token": "token", "dpop": "a.b.c"}


class Town(NamedTuple):
    place: Place
    broker: Running
    server: Foreign
    bridge: Bridge
    operations: int

    def device(self) -> Device:
        return Device(self.place.identity(), self.broker)

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.operations, timeout=30)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    (folder / "broker").mkdir()
    place, port = Place(folder), free_port()
    with brokers.embedded(folder / "broker", place.registry) as broker, foreign(folder / "foreign") as server:
        operations = {"listen": f"127.0.0.1:{port}"}
        config = place.configure(broker, server.issuer, server.resource, server.ca, operations=operations, log_level="debug")
        with running(config) as bridge:
            yield Town(place, broker, server, bridge, port)


@pytest.fixture
def town(standing: Town) -> Town:
    """The standing town; its server forgets what the test before said."""
    standing.server.usual()
    return standing


@pytest.fixture
def device(town: Town) -> Iterator[Device]:
    made = town.device().shake()
    assert made.ask("DISCOVER", resource=0).name == "OFFER"
    yield made
    made.close()


def error(reply: Any) -> str:
    assert reply.name == "ERROR", reply
    return CODES[reply["error"]]


# The walk


def test_a_device_pairs_and_calls(town: Town, device: Device):
    server = town.server
    server.says("/challenge", prompt("s1"), Said(200, {"authorization_code": "code-1", "auth_session": "s2"}))
    tokens = {"access_token": "at", "token_type": "DPoP", "expires_in": 300, "refresh_token": "rt", "scope": "led:read"}
    server.says("/token", Said(200, tokens, {"DPoP-Nonce": "nonce-as"}))
    server.says("/mcp", Said(200, {"jsonrpc": "2.0", "id": 1, "result": {}}, {"DPoP-Nonce": "nonce-rs"}))
    offer = device.ask("DISCOVER", resource=0)
    assert (
        offer.name == "OFFER" and offer["issuer"] == server.issuer and offer["challenge_endpoint"] == f"{server.origin}/challenge"
    )
    asked = device.ask("CHALLENGE", **CHALLENGE, dpop="p.r.1")
    assert asked.name == "PROMPT" and asked["inputs"][0]["name"] == "pin"
    code = device.ask("CHALLENGE", resource=0, scope=1, auth_session="s1", answers={"pin": "123456789"}, dpop="p.r.2")
    assert code.name == "CODE" and code["code"] == "code-1"
    reply = device.ask("TOKEN", resource=0, code="code-1", code_verifier="v" * 43, dpop="p.r.3")
    assert reply.name == "TOKENS" and reply["refresh_token"] == "rt" and reply["dpop_nonce"] == "nonce-as"
    result = device.ask("CALL", **CALL, body=b"{}", block=0)
    assert result.name == "RESULT" and result["status"] == 200 and result["dpop_nonce"] == "nonce-rs"
    assert abs(result["now"] - time.time()) < 30
    first, second = server.to("/challenge")
    assert first.form["device_id"] == second.form["device_id"] == device.identity.device
    assert second.form["pin"] == "123456789" and second.headers["dpop"] == "p.r.2"
    assert server.to("/token")[0].form["code_verifier"] == "v" * 43


def test_a_pin_is_never_in_a_url(town: Town, device: Device):
    town.server.says("/challenge", prompt())
    device.ask("CHALLENGE", resource=0, scope=1, auth_session="s1", answers={"pin": "987654321"})
    assert town.server.to("/challenge") and not any("987654321" in asked.path for asked in town.server.asked)
    assert all("?" not in asked.path for asked in town.server.asked)


def test_the_device_that_the_as_hears_of_is_the_one_of_the_session(town: Town, device: Device):
    town.server.says("/challenge", prompt())
    for name in ("device_id", "client_id", "scope"):
        reply = device.ask("CHALLENGE", resource=0, scope=1, auth_session="s1", answers={name: "lp-somebody"})
        assert error(reply) == "invalid"
    assert not town.server.to("/challenge")


# Repetitions


def test_a_repeated_request_is_answered_again_and_asked_once(town: Town, device: Device):
    town.server.says("/challenge", prompt("s1"), prompt("s2"))
    rid = secrets.token_bytes(8)
    replies = [device.ask("CHALLENGE", rid, **CHALLENGE) for _ in range(3)]
    assert [reply["auth_session"] for reply in replies] == ["s1"] * 3
    assert len(town.server.to("/challenge")) == 1


def test_a_request_repeated_while_it_runs_is_asked_once_and_answered_once(town: Town, device: Device):
    def slow(asked: Any) -> Said:
        time.sleep(0.7)
        return prompt("slow")

    town.server.routes["/challenge"] = slow
    request = message("CHALLENGE", **CHALLENGE)
    first, second = device.seal(request), device.seal(request)
    device.say_up(first[0])
    time.sleep(0.2)
    device.say_up(second[0])
    reply = device.open(device.hear(), first[1], second[1])
    assert reply["auth_session"] == "slow" and reply["rid"] == request["rid"]
    assert device.hears_nothing() and len(town.server.to("/challenge")) == 1


def test_a_frame_delivered_twice_is_answered_once(town: Town, device: Device):
    town.server.says("/challenge", prompt())
    frame, request = device.seal(message("CHALLENGE", **CHALLENGE))
    device.say_up(frame)
    device.say_up(frame)
    assert device.open(device.hear(), request).name == "PROMPT"
    assert device.hears_nothing() and len(town.server.to("/challenge")) == 1


def test_a_long_answer_comes_in_blocks_from_one_call(town: Town, device: Device):
    body = b'{"jsonrpc":"2.0","x":"' + os.urandom(5000).hex().encode() + b'"}'
    town.server.says("/mcp", Said(200, body))
    got, blocks, block = b"", 1, 0
    while block < blocks:
        reply = device.ask("CALL", **{**CALL, "dpop": f"a.b.{block}"}, body=b"{}", block=block)
        got, blocks, block = got + reply["body"], reply["blocks"], block + 1
    assert got == body and blocks == 4 and len(town.server.to("/mcp")) == 1


def test_a_slow_as_is_not_asked_more_than_it_bears(place: Place, broker: Running, server: Foreign):
    """Receive Maximum is the backpressure: what is not admitted stays with the broker, and all of it is answered in the end."""
    identities = [place.identity() for _ in range(5)]
    limits, slow = {"in_flight": 1}, {"receive_maximum": 2}
    under_way, most = [0], [0]
    lock = threading.Lock()

    def busy(asked: Any) -> Said:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.4)
        with lock:
            under_way[0] -= 1
        return prompt()

    server.routes["/challenge"] = busy
    config = place.configure(broker, server.issuer, server.resource, server.ca, limits=limits, **{"broker": slow})
    with running(config):
        devices = [Device(identity, broker).shake() for identity in identities]
        assert all(device.ask("DISCOVER", resource=0).name == "OFFER" for device in devices)
        sealed = [device.seal(message("CHALLENGE", **CHALLENGE)) for device in devices]
        for device, (frame, _) in zip(devices, sealed, strict=True):
            device.client.publish(topics.topic(device.identity.device, "up", device.replica), frame, qos=1)
        for device, (_, request) in zip(devices, sealed, strict=True):
            assert device.open(device.hear(), request).name == "PROMPT"
            device.close()
    assert most[0] <= 2


def test_the_walk_is_the_same_over_every_broker(place: Place, any_broker: Any, server: Foreign):
    broker, _ = any_broker
    identity = place.identity()
    broker.reload()
    time.sleep(0.5)
    server.says("/challenge", prompt())
    with running(place.configure(broker, server.issuer, server.resource, server.ca)):
        device = Device(identity, broker).shake()
        assert device.ask("DISCOVER", resource=0).name == "OFFER"
        took = [math.inf]
        while len(took) < 40 and min(took) > 0.04:
            began_s = time.monotonic()
            assert device.ask("CHALLENGE", **CHALLENGE).name == "PROMPT"
            took.append(time.monotonic() - began_s)
        assert len(server.to("/challenge")) == len(took) - 1
        device.close()
    assert min(took) < 0.04, "a delayed acknowledgement costs 44 ms: TCP_NODELAY is not set somewhere"


# Servers that are not well


@pytest.mark.parametrize(
    ("said", "code", "why"),
    [
        (Said(302, {}, {"Location": "https://evil.example"}), "internal", "redirect"),
        (Said(200, b"{}", {"Content-Type": "text/html"}), "internal", "content_type"),
        (Said(400, b'{"error":"a","error":"access_denied"}'), "internal", "json_duplicate_key"),
        (Said(200, b'{"x":"' + bytes(70000) + b'"}'), "internal", "body_too_long"),
        (Said(200, {}), "internal", "as_words"),
        (Said(400, {"error": "brand_new"}), "internal", "as_error_unknown"),
        (Said(404, {"error": "x"}), "internal", "as_404"),
        (
            Said(403, {"error": "insufficient_authorization", "auth_session": "s", "reason": "new"}),
            "internal",
            "as_reason_unknown",
        ),
        (Said(401, {"error": "invalid_client"}), "internal", "invalid_client"),
        (Said(503, b"", {"Retry-After": "77"}), "try_later", "as_503"),
        (Said(write=hang_up), "try_later", "connection_lost"),
    ],
)
def test_an_as_that_is_not_well_is_one_code_for_the_device_and_one_line_for_the_operator(
    town: Town, device: Device, said: Said, code: str, why: str
):
    town.server.says("/challenge", said)
    rid = secrets.token_bytes(8)
    reply = device.ask("CHALLENGE", rid, **CHALLENGE)
    assert error(reply) == code
    line = town.bridge.line(rid=rid[:4].hex(), event="request")
    assert line["device"] == device.identity.device and line["step"] == "challenge" and line["outcome"] == code
    assert line["code"] == why and line["level"] == ("error" if code == "internal" else "warning")
    assert reply.get("retry_after_s") == (77 if why == "as_503" else 10 if code == "try_later" else None)


def test_use_dpop_nonce_brings_the_nonce(town: Town, device: Device):
    town.server.says("/challenge", Said(400, {"error": "use_dpop_nonce"}, {"DPoP-Nonce": "fresh"}))
    reply = device.ask("CHALLENGE", **CHALLENGE, dpop="a.b.c")
    assert error(reply) == "use_dpop_nonce" and reply["dpop_nonce"] == "fresh"


def test_an_as_that_is_down_is_try_later_and_the_bridge_lives(tmp_path: Path, broker: Running, place: Place):
    identity = place.identity()
    with foreign(tmp_path / "gone") as server:
        config = place.configure(broker, server.issuer, server.resource, server.ca)
    with running(config) as bridge:
        device = Device(identity, broker).shake()
        reply = device.ask("DISCOVER", resource=0)
        assert error(reply) == "try_later" and reply["retry_after_s"] > 0
        assert bridge.line(event="authorization_server")["code"] == "connect"
        device.close()


# Who may not speak


def test_an_unknown_device_and_a_wrong_key_are_refused_with_the_request_id_on_both_sides(town: Town, device: Device):
    impostor = Device.__new__(Device)
    impostor.__dict__.update(device.__dict__)
    impostor.identity = Identity(town.place.key.public, device.identity.device)
    impostor.say_hello()
    impostor.say_up(impostor.proof(impostor.hear()))
    assert impostor.hear() == REFUSAL
    assert town.bridge.line(rid=impostor.request_id, code="wrong_key")["device"] == device.identity.device
    assert device.ask("DISCOVER", resource=0).name == "OFFER"


def test_a_revoked_device_is_ended(town: Town, device: Device):
    assert device.ask("DISCOVER", resource=0).name == "OFFER"
    town.place.registry.revoke(device.identity.device)
    town.bridge.process.send_signal(signal.SIGHUP)
    town.bridge.line(event="session", device=device.identity.device, code="revoked")
    # A broker that follows the same registry has ended the connection by now: what the bridge says is not heard any more.


def test_a_registry_in_sqlite_serves_broker_and_bridge(place: Place, server: Foreign, tmp_path: Path):
    place.registry = Registry(place.folder / "devices.sqlite")
    (tmp_path / "broker").mkdir()
    with brokers.embedded(tmp_path / "broker", place.registry) as broker:
        config = place.configure(broker, server.issuer, server.resource, server.ca, registry={"file": "devices.sqlite"})
        with running(config) as bridge:
            identity = place.identity()
            device = Device(identity, broker).shake()
            assert device.ask("REPORT", event=1).name == "RESULT"
            assert bridge.line(30, event="request", step="report")["code"] == "unpaired"
            place.registry.revoke(identity.device)
            assert bridge.line(30, event="session", device=identity.device)["code"] == "revoked"
            device.close()


def test_a_revoked_devices_next_frame_is_refused_and_its_connection_ended(place: Place, any_broker: Any, server: Foreign):
    """Without a signal to the bridge: it follows its registry. mosquitto ends a connection whose account it no longer has."""
    broker, registry = any_broker
    revoked, other = place.identity(), place.identity()
    broker.reload()
    with running(place.configure(broker, server.issuer, server.resource, server.ca)) as bridge:
        devices = [Device(identity, broker).shake() for identity in (revoked, other)]
        assert [device.ask("DISCOVER", resource=0).name for device in devices] == ["OFFER", "OFFER"]
        gone = threading.Event()
        devices[0].client.on_disconnect = lambda *_: gone.set()
        registry.revoke(revoked.device)
        assert bridge.line(30, event="session", device=revoked.device)["code"] == "revoked"
        if broker.kind == "mosquitto":
            devices[0].say_up(devices[0].seal(message("DISCOVER", resource=0))[0])
            assert devices[0].hear() == REFUSAL
            devices[0].say_hello()
            bridge.line(30, event="handshake", device=revoked.device, code="unknown_device")
            broker.reload()
        assert gone.wait(30)
        assert devices[1].ask("DISCOVER", resource=0).name == "OFFER"
        for device in devices:
            device.close()


def test_a_frame_of_a_session_that_nobody_knows_gets_a_hint(town: Town, device: Device):
    stale = session.Session(bytes(16), bytes(8), b"\x01", b"\x02", device.identity.device, "device")
    frame, _ = stale.seal(messages.pack(message("DISCOVER", resource=0)))
    device.say_up(frame)
    assert device.hear() == REFUSAL
    assert device.ask("DISCOVER", resource=0).name == "OFFER"


def test_two_hellos_lead_to_one_session_and_the_old_one_speaks_until_then(town: Town, device: Device):
    town.server.says("/challenge", prompt())
    newer = Device.__new__(Device)
    newer.__dict__.update(device.__dict__)
    newer.say_hello()
    first = newer.hear()
    assert device.ask("CHALLENGE", **CHALLENGE).name == "PROMPT"
    newer.say_hello()
    second = newer.hear()
    assert first != second
    newer.say_up(newer.proof(second))
    newer.confirm(newer.hear())
    assert device.ask("CHALLENGE", **CHALLENGE).name == "PROMPT"
    assert newer.ask("CHALLENGE", **CHALLENGE).name == "PROMPT"
    device.say_up(device.seal(message("CHALLENGE", **CHALLENGE))[0])
    assert device.hear() == REFUSAL


def test_what_another_replica_keeps_is_not_ours(town: Town, tmp_path: Path, device: Device):
    town.server.says("/challenge", prompt())
    (tmp_path / "second").mkdir()
    changes = {"broker": {"username": brokers.BRIDGES[1]}, "replica": "replica-b"}
    config = town.place.configure(town.broker, town.server.issuer, town.server.resource, town.server.ca, "second.toml", **changes)
    with running(config) as second:
        assert second.replica == "replica-b"
        assert device.ask("CHALLENGE", **CHALLENGE).name == "PROMPT"
        ours, device.replica = device.replica, second.replica
        device.say_up(device.seal(message("CHALLENGE", **CHALLENGE))[0])
        assert device.hear() == REFUSAL
        device.replica = ours
        assert device.ask("CHALLENGE", **CHALLENGE).name == "PROMPT"
        both = set()
        for _ in range(8):
            other = Device.__new__(Device)
            other.__dict__.update(device.__dict__)
            other.say_hello()
            other.proof(other.hear())
            both.add(other.replica)
        assert both <= {ours, second.replica} and len(both) == 2
    assert device.ask("CHALLENGE", **CHALLENGE).name == "PROMPT"


def test_a_retained_hello_is_answered_by_nobody(town: Town, device: Device):
    """The broker's access list refuses it already; test_broker_client.py has a broker that does not."""
    device.publish(topics.topic(device.identity.device, "hello"), Talk(device.identity).hello(), retain=True)
    assert device.hears_nothing()
    assert device.ask("DISCOVER", resource=0).name == "OFFER"


# Operation


def test_health_readiness_and_numbers(town: Town, device: Device):
    device.ask("DISCOVER", resource=0)
    assert town.get("/livez") == (200, "alive\n") and town.get("/readyz") == (200, "ready\n")
    status, text = town.get("/metrics")
    assert status == 200 and 'latchpin_bridge_requests_total{op="discover",outcome="offer"}' in text
    assert "latchpin_mqtt_connected 1.0" in text and device.identity.device not in text
    assert town.get("/")[0] == 404


def test_readiness_names_what_is_missing(place: Place, broker: Running, tmp_path: Path):
    port = free_port()
    with foreign(tmp_path / "gone") as server:
        operations = {"listen": f"127.0.0.1:{port}"}
        config = place.configure(broker, server.issuer, server.resource, server.ca, operations=operations)
    with running(config) as bridge:
        bridge.line(event="authorization_server")
        assert Town(place, broker, server, bridge, port).get("/readyz") == (503, "authorization_server\n")


def test_it_ends_cleanly_while_no_broker_answers(place: Place, broker: Running, server: Foreign):
    config = place.configure(broker, server.issuer, server.resource, server.ca, **{"broker": {"url": "mqtts://localhost:9"}})
    process = subprocess.Popen(
        [sys.executable, "-m", "broker_bridge", "--config", str(config)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr and "unreachable" in process.stderr.readline() + process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and out == ""


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]])
def test_it_ends_at_once_when_told_so_even_with_a_request(
    place: Place, broker: Running, server: Foreign, numbers: list[signal.Signals]
):
    identity = place.identity()
    hanging: list[Any] = []
    ended = threading.Event()

    def hang(asked: Any) -> Said:
        hanging.append(asked)
        ended.wait(60)
        return prompt()

    server.routes["/challenge"] = hang
    config = place.configure(broker, server.issuer, server.resource, server.ca)
    with running(config) as bridge:
        device = Device(identity, broker).shake()
        device.say_up(device.seal(message("CHALLENGE", **CHALLENGE))[0])
        until(lambda: bool(hanging), 30)
        for number in numbers:
            bridge.process.send_signal(number)
            bridge.line(30, event="stopping")
        assert bridge.process.wait(30) == 0, "it does not wait for an answer that never comes"
        assert bridge.line(event="stopped")["replica"] == bridge.replica
        ended.set()
        device.close()
    assert "Traceback" not in "".join(bridge.text) and len(bridge.lines) == len(bridge.text)


def test_sigterm_lets_a_request_end_and_sends_the_device_elsewhere_when_it_asks_again(
    place: Place, broker: Running, server: Foreign
):
    identity = place.identity()
    begun: list[Any] = []
    told = threading.Event()

    def slow(asked: Any) -> Said:
        begun.append(asked)
        assert told.wait(60)
        return prompt("in time")

    server.routes["/challenge"] = slow
    with running(place.configure(broker, server.issuer, server.resource, server.ca)) as bridge:
        device = Device(identity, broker).shake()
        frame, request = device.seal(message("CHALLENGE", **CHALLENGE))
        device.say_up(frame)
        until(lambda: bool(begun), 30)
        bridge.process.send_signal(signal.SIGTERM)
        bridge.line(event="stopping")
        told.set()
        assert device.open(device.hear(), request)["auth_session"] == "in time"
        device.say_up(device.seal(message("DISCOVER", resource=0))[0])
        assert device.hear() == REFUSAL
        assert bridge.process.wait(30) == 0
        assert bridge.line(event="session", code="handed_over")["device"] == identity.device
        device.close()


# Secrets


def test_no_secret_is_in_the_log_at_debug_whatever_field_it_is_in(town: Town, device: Device):
    """A canary in every field that messages.py calls secret, in the AS's answers, and in what refuses to be read."""
    canaries: list[str] = []

    def canary(shape: str = "CANARY{}") -> str:
        canaries.append(shape.format(secrets.token_hex(8)))
        return canaries[-1]

    pin = canary("{}").translate(str.maketrans("abcdef", "123456"))[:12]
    canaries[-1] = pin
    server = town.server
    for status, body in (
        (403, prompt(canary(), padding=canary(), error_description=canary()).body),
        (200, {"authorization_code": canary(), "auth_session": canary(), "id_token": canary()}),
        (400, {"error": canary(), "error_description": canary(), "error_uri": canary()}),
        (400, {"error": "access_denied", "error_description": canary()}),
        (200, {"authorization_code": [canary()]}),
        (500, {"error": canary()}),
    ):
        server.says("/challenge", Said(status, body))
        answers = {"pin": pin}
        device.ask("CHALLENGE", resource=0, scope=1, auth_session=canary(), answers=answers, dpop=canary("a.b.CANARY{}"))
    server.says("/challenge", Said(200, canary().encode(), {"Content-Type": canary()}))
    device.ask("CHALLENGE", resource=0, scope=1, auth_session=canary(), answers={"pin": canary()}, dpop=canary())
    device.ask("CHALLENGE", resource=0, scope=1, auth_session=canary(), answers={canary("c{}").lower()[:30]: pin})
    time.sleep(1)
    tokens = {"access_token": canary(), "token_type": "DPoP", "refresh_token": canary(), "auth_session": canary()}
    server.says("/token", Said(200, tokens), Said(400, {"error": "invalid_grant", "error_description": canary()}))
    device.ask("TOKEN", resource=0, code=canary(), code_verifier=canary("v" * 27 + "{}"), dpop=canary("a.b.CANARY{}"))
    device.ask("TOKEN", resource=0, refresh_token=canary(), dpop=canary("a.b.CANARY{}"))
    server.says("/token", Said(200, {"access_token": canary(), "token_type": canary("{}")}))
    device.ask("TOKEN", resource=0, device_code=canary())
    server.says("/revoke", Said(200, b""))
    device.ask("REVOKE", token=canary(), hint=0)
    server.says(
        "/device",
        Said(200, {"device_code": canary(), "user_code": "WDJBMJHT", "verification_uri": "https://x.example", "expires_in": 9}),
    )
    device.ask("DEVICE_CODE", resource=0, scope=0)
    session = {"Mcp-Session-Id": canary()}
    server.says("/mcp", Said(200, {"result": canary()}, session), Said(401, {"error": canary()}, {"X": canary()}))
    fields = {**CALL, "access_token": canary(), "dpop": canary("a.b.CANARY{}")}
    for _ in range(2):
        device.ask("CALL", **fields, body=canary().encode(), block=0)
    device.ask("CALL", **fields, body=b"", block=0, protocol_version="2025-11-25", mcp_session=canary())
    device.ask("CALL", **fields, body=b"", block=0, protocol_version="1", mcp_session=canary())
    reply = device.ask("CALL", **{**fields, "access_token": canary("CANARY {}"), "method": "bad method"}, body=b"", block=0)
    assert error(reply) == "invalid"
    log = "".join(town.bridge.text)
    town.bridge.line(event="request", step="call", outcome="invalid")
    names = [line.split()[1] for line in messages.FIELDS.strip().split("\n")]
    assert all(f"{name}=***" in log for name in names if bridge_side.is_secret(name))
    files = [town.place.folder / name for name in ("client.secret", "broker.password")]
    canaries += [file.read_text().strip() for file in files] + [town.place.key.private.hex()]
    for text in canaries:
        raw = text.encode()
        for form in (text, text.lower(), raw.hex(), base64.b64encode(raw).decode().rstrip("="), repr(raw)[2:-1]):
            assert form not in log
    assert town.get("/metrics")[1].find("CANARY") == -1
