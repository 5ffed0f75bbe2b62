"""`latchpin bridge acl`: mosquitto takes what it prints, the other brokers' files grant the same, and mistakes are named.

Not for isolation itself: tests/brokers/test_isolation.py tries the rules on running brokers. None of the others runs here: their
files are read as text.
"""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from broker_bridge import mosquitto
from broker_bridge.registry import hash_mqtt_password
from latchpin.wire import bridge_side
from tests.brokers import running
from tests.brokers.clients import Paho
from tests.brokers.conftest import a_point, enrolled, password

NOT_AUTHORIZED = 0x87  # MQTT 5.0, section 2.4


def acl(*words: object, returns: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "broker_bridge", "acl", *map(str, words)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == returns and "Traceback" not in done.stderr, done.stderr
    return done


def granted_by_mosquitto(text: str) -> set[tuple[str, str, str]]:
    """(who, access, topic) of an ACL file; who is `*` where the name is in the topic."""
    found, user = set(), ""
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "user":
            user = rest
        elif kind in ("pattern", "topic"):
            access, _, topic = rest.partition(" ")
            found.add(("*" if kind == "pattern" else user, access, topic))
    return found


def granted_by_emqx(text: str) -> set[tuple[str, str, str]]:
    lines = [line for line in text.splitlines() if line and not line.startswith("%%")]
    assert lines[-1] == "{deny, all}."
    found = set()
    for line in lines[:-1]:
        rule = re.fullmatch(r'\{allow, (all|\{username, "([a-z0-9-]+)"\}), (publish|subscribe), \[(".+")\]\}\.', line)
        assert rule, line
        for topic in rule[4].split(", "):
            access = {"publish": "write", "subscribe": "read"}[rule[3]]
            found.add((rule[2] or "*", access, topic.strip('"').replace("${username}", "%u")))
    return found


@pytest.mark.mosquitto
@pytest.mark.skipif(not running.have_mosquitto(), reason=running.MISSING)
def test_mosquitto_takes_the_files_and_does_as_they_say(tmp_path: Path):
    registry = enrolled(tmp_path, ("lp-alpha", "lp-bravo"))
    with running.mosquitto(tmp_path, registry) as broker:
        registry.enrol("lp-delta", a_point(), hash_mqtt_password(password("lp-delta").encode()))
        registry.revoke("lp-bravo")
        passwords = tmp_path / "passwords"
        tool = running.installed("mosquitto_passwd")
        subprocess.run([tool, "-b", str(passwords), "south", "a password for one bridge"], check=True)
        done = acl("--registry", registry.path, "--bridge", "south", "--passwords", passwords)
        assert done.stderr == ""
        assert [line.split(":")[0] for line in passwords.read_text().splitlines()] == ["south", "lp-alpha", "lp-delta"]
        (tmp_path / "acl").write_text(done.stdout)
        broker.process.send_signal(signal.SIGHUP)

        log, until = tmp_path / "mosquitto.log", time.monotonic() + 10
        while "Reloading config" not in log.read_text() and time.monotonic() < until:
            time.sleep(0.02)

        # mosquitto grants every subscription, and holds back what may not be read.
        south, alpha = Paho(broker, "south", "a password for one bridge"), Paho(broker, "lp-alpha", password("lp-alpha"))
        delta = Paho(broker, "lp-delta", password("lp-delta"))
        assert south.subscribe("$share/latchpin/latchpin/1/+/hello") == south.subscribe("latchpin/1/+/down") == 1
        assert alpha.subscribe("latchpin/1/+/down") == alpha.subscribe("latchpin/1/lp-delta/hello") == 1
        south.publish("latchpin/1/lp-delta/down", b"not alpha's")
        south.publish("latchpin/1/lp-alpha/down", b"alpha's")
        assert delta.publish("latchpin/1/lp-alpha/hello", b"not delta's") == NOT_AUTHORIZED
        assert delta.publish("latchpin/1/lp-delta/hello", b"delta's") == 0
        assert alpha.messages.get(timeout=30).payload == b"alpha's"
        assert south.messages.get(timeout=30).payload == b"delta's"
        assert alpha.messages.empty() and south.messages.empty()
        assert "Error" not in log.read_text().rpartition("Reloading config")[2]
        for client in (south, alpha, delta):
            client.close()


def granted_by_nanomq(text: str) -> set[tuple[str, str, str]]:
    """Its rules are JSON inside HOCON's brackets."""
    rules = [json.loads(line) for line in text.splitlines() if line.startswith("  {")]
    assert rules[-1] == {"permit": "deny"} and text.splitlines()[-1] == "]"
    found = set()
    for rule in rules[:-1]:
        assert rule.keys() <= {"permit", "username", "action", "topics"} and rule["permit"] == "allow"
        access = {"publish": "write", "subscribe": "read"}[rule["action"]]
        found |= {(rule.get("username", "*"), access, topic.replace("${username}", "%u")) for topic in rule["topics"]}
    return found


def granted_by_hivemq(text: str) -> set[tuple[str, str, str]]:
    rbac = ElementTree.fromstring(text)
    assert rbac.tag == "file-rbac" and [child.tag for child in rbac] == ["users", "roles"]
    bridges = [user.findtext("name") or "" for user in rbac.iter("user") if user.findtext("roles/id") == "bridge"]
    found = set()
    for role in rbac.iter("role"):
        for permission in role.iter("permission"):
            access = {"PUBLISH": "write", "SUBSCRIBE": "read"}[permission.findtext("activity") or ""]
            topic = (permission.findtext("topic") or "").replace("${{username}}", "%u")
            found |= {(who, access, topic) for who in (bridges if role.findtext("id") == "bridge" else ["*"])}
    return found


SHARED = {(who, "read", bridge_side.SHARED_HELLO) for who in ("bridge", "bridge-2")}
PLAIN = {(who, "read", "latchpin/1/+/hello") for who in ("bridge", "bridge-2")}
# broker: (its reader, what it grants beside mosquitto's grants, what it does not)
OTHERS: dict[str, tuple[Callable[[str], set[tuple[str, str, str]]], set[tuple[str, str, str]], set[tuple[str, str, str]]]] = {
    "emqx": (granted_by_emqx, set(), set()),
    "nanomq": (granted_by_nanomq, SHARED, set()),
    "hivemq": (granted_by_hivemq, set(), set()),
    "vernemq": (granted_by_mosquitto, SHARED, PLAIN),
}


@pytest.mark.parametrize("broker", OTHERS)
def test_every_broker_grants_what_mosquitto_grants_and_denies_the_rest(broker: str):
    """But for the form of a shared subscription, which some compare as it is and some without its group."""
    bridges = ("--bridge", "bridge", "--bridge", "bridge-2")
    read, more, less = OTHERS[broker]
    granted = read(acl("--broker", broker, *bridges).stdout)
    assert granted == (granted_by_mosquitto(acl("--broker", "mosquitto", *bridges).stdout) | more) - less
    assert {who for who, _, _ in granted} == {"*", "bridge", "bridge-2"}
    assert not any("#" in topic or (who == "*" and "%u" not in topic) for who, _, topic in granted)


def test_what_is_printed_for_mosquitto_is_what_mosquitto_is_started_with():
    assert granted_by_mosquitto(acl().stdout) == granted_by_mosquitto(mosquitto.acl_lines())


def test_vernemqs_parser_gets_no_empty_line_and_an_end():
    text = acl("--broker", "vernemq").stdout
    assert text.endswith("\n") and all(line and line == line.strip() for line in text.splitlines())


def test_the_options_that_go_with_it_are_those_that_latchpin_starts_mosquitto_with():
    told = {line[4:].split("   ")[0].split(" (")[0].strip() for line in acl().stdout.splitlines() if line.startswith("#   ")}
    listener = mosquitto.Listener(8883, Path("a.pem"), Path("a.key"))
    conf = mosquitto.configuration(listener, Path("passwords"), Path("acl")).splitlines()
    by_hand = {"listener 8883", "certfile, keyfile ...", "password_file passwords", "acl_file acl"}
    assert told - by_hand == {line for line in conf if " " in line and not line.startswith("#")} - {
        line
        for line in conf
        if line.startswith(("listener ", "certfile", "keyfile", "password_file", "acl_file", "protocol", "tls_v"))
    }


def test_a_bridge_without_a_line_is_told_how_to_get_one(tmp_path: Path):
    registry = enrolled(tmp_path, ("lp-alpha",))
    done = acl("--registry", registry.path, "--passwords", tmp_path / "passwords")
    assert f"mosquitto_passwd {tmp_path / 'passwords'} bridge" in done.stderr
    assert (tmp_path / "passwords").stat().st_mode & 0o777 == 0o600
    (tmp_path / "passwords").chmod(0o640)
    acl("--registry", registry.path, "--passwords", tmp_path / "passwords")
    assert (tmp_path / "passwords").stat().st_mode & 0o777 == 0o640


def test_mistakes_are_named_with_the_next_step_and_nothing_is_printed(tmp_path: Path):
    registry = enrolled(tmp_path, ("lp-alpha",))
    for words, said in (
        (("--bridge", "bridge\ntopic readwrite #"), "1 to 23"),
        (("--broker", "emqx", "--bridge", 'b"}, all, ["#"]}.'), "1 to 23"),
        (("--registry", registry.path, "--bridge", "lp-alpha"), "give the bridge another one"),
        (("--registry", tmp_path / "gone.toml"), "latchpin device enrol"),
        (("--passwords", tmp_path / "passwords"), "--registry FILE"),
        (("--broker", "emqx", "--registry", registry.path, "--passwords", tmp_path / "passwords"), "mosquitto's file"),
        (("--broker", "hive"), "mosquitto"),
        *(((("--broker", broker, "--bridge", "b\nuser x"), "1 to 23")) for broker in OTHERS),
    ):
        done = acl(*words, returns=2)
        assert said in done.stderr and done.stdout == "", words
    done = acl("--registry", registry.path, "--passwords", tmp_path / "no" / "where", returns=1)
    assert "--passwords" in done.stderr and done.stdout == ""
    assert not (tmp_path / "passwords").exists()
