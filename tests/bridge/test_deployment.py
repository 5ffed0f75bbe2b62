"""The files of broker_bridge/deployment/, as far as they can be held without containers: parsed, verified, loaded, compared.

Not a deployment: no container is started here, and DEPLOYMENT.md says so.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker_bridge import bridge_key, command, settings
from broker_bridge.operations import Metrics
from broker_bridge.registry import Registry
from host_sim import mcp_server
from host_sim.authorization_server import settings as as_settings

HERE = Path(settings.__file__).parent / "deployment"


def parsed(name: str) -> Any:
    return yaml.safe_load((HERE / name).read_text())


def expressions() -> list[str]:
    rules = [rule["expr"] for group in parsed("alerts.yml")["groups"] for rule in group["rules"]]
    panels = json.loads((HERE / "grafana-dashboard.json").read_text())["panels"]
    return rules + [target["expr"] for panel in panels for target in panel["targets"]]


def test_alerts_and_dashboard_ask_for_metrics_that_the_bridge_has():
    metrics = Metrics(lambda: [])
    has = set(re.findall(r"^# TYPE (\S+)", metrics.text(), re.M))
    has |= {f"{name}_{part}" for name in list(has) for part in ("bucket", "count", "sum")}
    app = (HERE.parent / "app.py").read_text()
    has |= set(re.findall(r'Number\("(latchpin_\w+)"', app)) | {"latchpin_bridge_frames_dropped_total"}
    asked = {name for text in expressions() for name in re.findall(r"latchpin_\w+", text.replace("latchpin-bridge", ""))}
    assert asked and asked <= has, asked - has


def test_no_alert_and_no_panel_has_a_label_that_the_bridge_does_not_give():
    given = {"op", "outcome", "result", "reason", "upstream", "le", "job"}
    for text in expressions():
        inside = " ".join(re.findall(r"\{([^}]*)\}", text))
        assert set(re.findall(r"(\w+)\s*=", inside)) <= given, text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
def test_promtool_accepts_the_rules_and_the_configuration():
    for arguments in (["rules", "alerts.yml"], ["config", "--syntax-only", "prometheus.yml"]):
        done = subprocess.run(["promtool", "check", *arguments], cwd=HERE, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


# alert: (series that make it fire, series that do not), in promtool's notation, a value a minute for two hours.
BAD_AND_GOOD: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "LatchpinBridgeDown": ({'up{job="latchpin-bridge"}': "0x120"}, {'up{job="latchpin-bridge"}': "1x120"}),
    "LatchpinBrokerLost": ({"latchpin_mqtt_connected": "0x120"}, {"latchpin_mqtt_connected": "1x120"}),
    "LatchpinAuthorizationServerLost": (
        {"latchpin_bridge_authorization_server_reachable": "0x120"},
        {"latchpin_bridge_authorization_server_reachable": "1x120"},
    ),
    "LatchpinAuthorizationServerGivenUp": (
        {"latchpin_bridge_authorization_server_given_up": "1x120"},
        {"latchpin_bridge_authorization_server_given_up": "0x120"},
    ),
    "LatchpinLockoutBurst": ({"latchpin_pin_lockouts_total": "0+1x120"}, {"latchpin_pin_lockouts_total": "0+0.3x120"}),
    "LatchpinReplayBurst": (
        {
            "latchpin_replays_served_total": "0+120x120",
            'latchpin_bridge_requests_total{op="token",outcome="tokens"}': "0+300x120",
        },
        {
            "latchpin_replays_served_total": "0+120x120",
            'latchpin_bridge_requests_total{op="token",outcome="tokens"}': "0+1200x120",
        },
    ),
    "LatchpinPinsExpire": (
        {'latchpin_pin_attempts_total{result="expired"}': "0+1x120", 'latchpin_pin_attempts_total{result="code"}': "0+2x120"},
        {'latchpin_pin_attempts_total{result="expired"}': "0+1x120", 'latchpin_pin_attempts_total{result="code"}': "0+9x120"},
    ),
    "LatchpinUpstreamFailing": (
        {
            'latchpin_bridge_upstream_duration_seconds_count{upstream="resource",result="failed"}': "0+1x120",
            'latchpin_bridge_upstream_duration_seconds_count{upstream="resource",result="answered"}': "0+5x120",
        },
        {
            'latchpin_bridge_upstream_duration_seconds_count{upstream="resource",result="failed"}': "0+1x120",
            'latchpin_bridge_upstream_duration_seconds_count{upstream="resource",result="answered"}': "0+50x120",
        },
    ),
    "LatchpinServerInTrouble": (
        {
            'latchpin_bridge_requests_total{op="challenge",outcome="try_later"}': "0+1x120",
            'latchpin_bridge_requests_total{op="challenge",outcome="prompt"}': "0+5x120",
        },
        {
            'latchpin_bridge_requests_total{op="challenge",outcome="try_later"}': "0+1x120",
            'latchpin_bridge_requests_total{op="challenge",outcome="prompt"}': "0+50x120",
        },
    ),
    "LatchpinBacklog": ({"latchpin_bridge_requests_running": "256x120"}, {"latchpin_bridge_requests_running": "100x120"}),
}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
def test_each_alert_fires_when_it_should_and_not_otherwise(tmp_path: Path):
    rules = {rule["alert"]: rule for group in parsed("alerts.yml")["groups"] for rule in group["rules"]}
    assert set(rules) == set(BAD_AND_GOOD)
    tests = []
    for alert, cases in BAD_AND_GOOD.items():
        for fires, series in zip((True, False), cases, strict=True):
            given = [{"series": name, "values": values} for name, values in series.items()]
            tests.append({"interval": "1m", "input_series": given, "promql_expr_test": [], "alert_rule_test": [
                {"eval_time": "100m", "alertname": alert, "exp_alerts": _expected(rules[alert], series) if fires else []}
            ]})  # fmt: skip
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": [str(HERE / "alerts.yml")], "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", str(tmp_path / "tests.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _expected(rule: dict[str, Any], series: dict[str, str]) -> list[dict[str, Any]]:
    labels = dict(re.findall(r'(job|upstream)="([^"]*)"', " ".join(series)))
    upstream = labels.get("upstream", "")
    told = {name: text.replace("{{ $labels.upstream }}", upstream) for name, text in rule["annotations"].items()}
    return [{"exp_labels": {**rule["labels"], **labels}, "exp_annotations": told}]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze: apt-get install systemd")
def test_systemd_accepts_the_unit_and_finds_little_exposed(tmp_path: Path):
    unit = tmp_path / "latchpin-bridge.service"
    unit.write_text((HERE / unit.name).read_text().replace("/usr/lib/latchpin/bin/python", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert done.returncode == 0 and unit.name not in done.stderr, done.stderr
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True)
    level = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level and float(level[1]) < 2.0, done.stdout


def test_the_unit_has_what_keeps_a_bridge_small():
    lines = (HERE / "latchpin-bridge.service").read_text().splitlines()
    for line in ("Type=notify", "User=latchpin", "ProtectSystem=strict", "NoNewPrivileges=yes", "Restart=on-failure"):
        assert line in lines
    assert any(line.startswith("WatchdogSec=") for line in lines)
    assert sum(line.startswith("LoadCredential=") for line in lines) == 3


def test_each_container_is_read_only_without_root_and_without_capabilities():
    compose = parsed("compose.yaml")
    assert set(compose["services"]) == {"broker", "as", "mcp", "bridge", "prometheus"}
    for name, service in compose["services"].items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["user"].startswith("${LATCHPIN_USER:?") and "privileged" not in service, name
        assert "environment" not in service, "no secret in an environment"
    assert "USER 10001:10001" in (HERE / "Containerfile").read_text().splitlines()


@pytest.mark.skipif(os.name != "posix", reason="containers run as a Unix user")
def test_prepare_writes_configurations_that_load_and_passwords_that_nobody_had(tmp_path: Path):
    found = []
    for name in ("one", "two"):
        done = subprocess.run(
            [sys.executable, str(HERE / "prepare.py"), name], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        folder = tmp_path / name
        loaded = settings.load(folder / "bridge" / "bridge.toml", {})
        key = bridge_key.load(loaded.identity.key_file)
        assert done.stdout == f"devices pin 1 {key.public.hex()}\n"
        as_settings.load(folder / "as" / "as.toml", {})
        mcp_server.load(folder / "mcp" / "mcp.toml")
        assert Registry(loaded.registry.file).all() == []
        secret = loaded.authorization_server.secret()
        assert secret is not None
        found += [loaded.broker.secret().get_secret_value(), secret.get_secret_value(), key.public.hex()]
        stored = (folder / "broker" / "passwords").read_text()
        assert stored.startswith("bridge:$7$") and found[-3] not in stored
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert not any(path.stat().st_mode & 0o077 for path in files), "for its owner alone"
        assert done.stdout.find(found[-2]) == -1 and "LATCHPIN_USER=" in (folder / ".env").read_text()
    assert len(set(found)) == 6
    again = subprocess.run([sys.executable, str(HERE / "prepare.py"), "one"], cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 1 and "choose another" in again.stderr


def test_the_guide_names_every_broker_and_the_command_that_prints_its_file():
    text = (HERE / "DEPLOYMENT.md").read_text()
    for broker in command.BROKERS:
        assert broker in text.replace(f"docs.{broker}", "")
    assert "latchpin bridge acl --broker mosquitto" in text and "latchpin bridge acl --broker emqx" in text
