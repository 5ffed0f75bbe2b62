"""OpenTelemetry: what a collector is told of a request, decoded by OpenTelemetry's own protobuf classes.

Not for other collectors than this one: a small HTTPS server that keeps what it is sent.
"""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from broker_bridge import settings
from tests.bridge.driver import Bridge, Device, Place, running
from tests.bridge.foreign import Foreign, Said, foreign, prompt
from tests.brokers.running import Running, free_port

CANARY = "CANARY4711"
ERROR = 2  # opentelemetry.proto.trace.v1.Status.STATUS_CODE_ERROR


class Collector:
    """`spans`: name to attributes, with "parent", "trace" and "status", once the bridge has ended."""

    def __init__(self, server: Foreign) -> None:
        server.says("/v1/traces", Said(200, b"", {"Content-Type": "application/x-protobuf"}))
        self._server = server
        self.endpoint = {"traces_endpoint": f"{server.origin}/v1/traces", "traces_ca": str(server.ca)}

    @property
    def raw(self) -> bytes:
        return b"".join(asked.body for asked in self._server.to("/v1/traces"))

    def spans(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for asked in self._server.to("/v1/traces"):
            assert asked.headers["content-type"] == "application/x-protobuf"
            for sent in ExportTraceServiceRequest.FromString(asked.body).resource_spans:
                service = {item.key: item.value.string_value for item in sent.resource.attributes}
                assert service["service.name"] == "latchpin-bridge"
                for scope in sent.scope_spans:
                    for span in scope.spans:
                        said = {item.key: item.value.string_value for item in span.attributes}
                        ids = {"id": span.span_id, "parent": span.parent_span_id, "trace": span.trace_id}
                        assert not span.events and span.end_time_unix_nano >= span.start_time_unix_nano
                        found[said.get("latchpin.request_id", "") or span.name] = said | ids | {"status": span.status.code}
        return found


def test_a_request_is_a_span_and_what_it_asks_another_beneath_it_without_a_secret(
    place: Place, broker: Running, server: Foreign, tmp_path: Path
):
    tokens = {"access_token": CANARY + "a", "token_type": "DPoP", "refresh_token": CANARY + "r", "auth_session": CANARY + "s"}
    server.says("/challenge", prompt(CANARY + "1"), Said(400, {"error": CANARY, "error_description": CANARY}))
    server.says("/token", Said(200, tokens))
    with foreign(tmp_path / "collector") as collecting:
        collector = Collector(collecting)
        config = place.configure(broker, server.issuer, server.resource, server.ca, operations=collector.endpoint)
        with running(config) as bridge:
            device = Device(place.identity(), broker).shake()
            answers = {"auth_session": CANARY + "2", "answers": {"pin": "47114711"}, "dpop": f"{CANARY}.{CANARY}.{CANARY}"}
            rids = [bytes((number,)) * 8 for number in (1, 2, 3)]
            device.ask("CHALLENGE", rids[0], resource=0, scope=1, code_challenge="c" * 43)
            device.ask("CHALLENGE", rids[1], resource=0, scope=1, **answers)
            device.ask("TOKEN", rids[2], resource=0, code=CANARY + "c", code_verifier=CANARY + "v" * 43)
            device.close()
            assert bridge.stop() == 0
        spans = collector.spans()
    first, second, third = (spans[rid[:4].hex()] for rid in rids)
    assert first["latchpin.outcome"] == "prompt" and first["latchpin.device"] == device.identity.device and not first["status"]
    assert (second["latchpin.outcome"], second["latchpin.code"], second["status"]) == ("internal", "as_error_unknown", ERROR)
    assert third["latchpin.outcome"] == "tokens" and not third["parent"]
    upstream = spans["authorization_server"]
    assert upstream["parent"] in {span["id"] for span in (first, second, third)}
    assert upstream["trace"] in {span["trace"] for span in (first, second, third)}
    assert CANARY.encode() not in collector.raw and b"47114711" not in collector.raw
    assert CANARY not in "".join(bridge.text)


def test_a_collector_that_is_away_costs_nothing_but_spans(place: Place, broker: Running, server: Foreign):
    server.says("/challenge", prompt())
    gone = {"traces_endpoint": f"http://127.0.0.1:{free_port()}/v1/traces"}
    with running(place.configure(broker, server.issuer, server.resource, server.ca, operations=gone)) as bridge:
        device = Device(place.identity(), broker).shake()
        assert device.ask("CHALLENGE", resource=0, scope=1, code_challenge="c" * 43).name == "PROMPT"
        device.close()
        bridge.process.send_signal(signal.SIGINT)
        assert bridge.process.wait(30) == 0, "the exporter by itself would try for 90 s"


def test_without_an_endpoint_nothing_of_it_is_imported():
    code = "import sys, broker_bridge.app; print([name for name in sys.modules if 'opentelemetry' in name or name == 'requests'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_without_its_packages_the_operator_is_told_which(place: Place, broker: Running, server: Foreign, tmp_path: Path):
    (tmp_path / "opentelemetry.py").write_text("raise ImportError")
    gone = {"traces_endpoint": "https://collector.example/v1/traces"}
    config = place.configure(broker, server.issuer, server.resource, server.ca, operations=gone)
    with pytest.raises(AssertionError, match=r"pip install 'latchpin\[otel\]'"):
        Bridge(config, {"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"})


@pytest.mark.parametrize("url", ["http://collector.example/v1/traces", "ftp://127.0.0.1/", "https://u:p@collector.example/", "x"])
def test_traces_go_by_https_or_to_a_collector_beside_the_bridge(url: str):
    with pytest.raises(ValueError, match="https://"):
        settings.Operations.model_validate({"traces_endpoint": url})
    assert settings.Operations.model_validate({"traces_endpoint": "http://127.0.0.1:4318/v1/traces"})
