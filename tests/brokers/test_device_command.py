"""`latchpin device` as a person types it, and the files for mosquitto that come out of the same registry.

Not the registry itself (test_registry.py).
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from broker_bridge import mosquitto
from broker_bridge.registry import Registry, hash_mqtt_password, verify_mqtt_password
from tests.brokers.conftest import a_point, enrolled

HASH = hash_mqtt_password(b"door")


def device(folder: Path, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "host_sim", "device", *words, "--registry", str(folder / "devices.toml")]
    return subprocess.run(command, input=typed, capture_output=True, text=True, check=False, timeout=30)


def said(folder: Path, *words: str, typed: str = "") -> str:
    ended = device(folder, *words, typed=typed)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def refused(folder: Path, *words: str, typed: str = "") -> str:
    ended = device(folder, *words, typed=typed)
    assert ended.returncode == 2 and ended.stdout == "" and ended.stderr.count("\n") == 1, ended
    assert ended.stderr.startswith("latchpin device ")
    return ended.stderr


def test_the_line_that_a_device_prints_is_enrolled_in_every_form(tmp_path: Path):
    points = [a_point() for _ in range(6)]
    said(tmp_path, "enrol", "lp-one", "1", points[0].hex(), HASH, "--alias", "kitchen door")
    said(tmp_path, "enrol", f"lp-two 7 {points[1].hex()} {HASH}")
    said(tmp_path, "enrol", json.dumps({"device": "lp-three", "public": points[2].hex(), "mqtt_password_hash": HASH}))
    (tmp_path / "password").write_text("a-long-random-text\n")
    said(tmp_path, "enrol", "-", "--mqtt-password-file", str(tmp_path / "password"), typed=f"lp-four 1 {points[3].hex()}\n")
    said(tmp_path, "enrol", "-", typed=f"lp-five 1 {points[4].hex()} 0123456789abcdef0123456789abcdef\n")
    said(tmp_path, "enrol", "-", typed=json.dumps({"device": "lp-six", "public": points[5].hex(), "mqtt_password": "p" * 32}))
    registry = Registry(tmp_path / "devices.toml")
    kids = (("lp-one", 1), ("lp-two", 7), ("lp-three", 1), ("lp-four", 1), ("lp-five", 1), ("lp-six", 1))
    found = [registry.get(name) for name, _ in kids]
    assert [entry and entry.public_key(kid) for entry, (_, kid) in zip(found, kids, strict=True)] == points
    for name, secret in (("four", "a-long-random-text"), ("five", "0123456789abcdef" * 2), ("six", "p" * 32)):
        entry = registry.get(f"lp-{name}")
        assert entry and verify_mqtt_password(entry.mqtt_password_hash, secret.encode())
        assert secret not in registry.path.read_text()
    listed = said(tmp_path, "list")
    assert "kitchen door" in listed and listed.count("enrolled") == 6 and HASH not in listed


def test_a_revoked_device_is_listed_as_such_and_comes_back_with_replace(tmp_path: Path):
    enrolled(tmp_path)
    assert "revoked" in said(tmp_path, "revoke", "lp-alpha")
    assert Registry(tmp_path / "devices.toml").get("lp-alpha") is None
    lines = [json.loads(line) for line in said(tmp_path, "list", "--json").splitlines()]
    assert [(line["device"], line["revoked"]) for line in lines] == [("lp-alpha", True), ("lp-bravo", False), ("lp-carol", False)]
    line = f"lp-alpha 1 {a_point().hex()} {HASH}"
    assert "--replace" in refused(tmp_path, "enrol", line)
    said(tmp_path, "enrol", line, "--replace")
    assert Registry(tmp_path / "devices.toml").get("lp-alpha")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("lp-one", "four words"),
        ("lp-one 1 ab $7$x extra", "four words"),
        ("lp-one one {key} {hash}", "four words"),
        ("lp-one 1 {short} {hash}", "128 hexadecimal digits"),
        ("lp-one 1 {off} {hash}", "not a point"),
        ("lp-one 256 {key} {hash}", "one byte"),
        ("lp-one 1 {key} $6$abc", "mosquitto's form"),
        ("lp-one 1 {key} tooshort", "16 to 256"),
        ("lp-one 1 {key}", "--mqtt-password-file"),
        ("LP-ONE 1 {key} {hash}", "device id"),
        ("lp+one 1 {key} {hash}", "device id"),
        ("bridge 1 {key} {hash}", "bridge"),
        ('{{"device": "lp-one"}}', "needs device"),
        ('{{"device": "lp-one", "public": "{key}", "private": "00"}}', "private key on the device"),
        ('{{"device": "lp-one", "public": "{key}", "mqtt_password_hash": 3}}', "nothing else"),
        ('{{"device": ["lp-one"], "public": "{key}", "mqtt_password_hash": "{hash}"}}', "nothing else"),
        ('{{"device"', "needs device"),
    ],
)
def test_a_line_that_cannot_be_used_is_refused_with_the_next_step(tmp_path: Path, line: str, hint: str):
    key = a_point().hex()
    off = key[:-1] + ("0" if key[-1] != "0" else "1")
    text = line.format(key=key, short=key[:-2], off=off, hash=HASH)
    answer = refused(tmp_path, "enrol", "-", typed=text)
    assert hint in answer
    assert not (tmp_path / "devices.toml").exists()
    assert key[:16] not in answer and "lp-one" not in answer and HASH not in answer


def test_duplicates_and_strangers_are_refused(tmp_path: Path):
    point = a_point().hex()
    said(tmp_path, "enrol", f"lp-one 1 {point} {HASH}")
    assert "--replace" in refused(tmp_path, "enrol", f"lp-one 1 {a_point().hex()} {HASH}")
    assert "public key" in refused(tmp_path, "enrol", f"lp-two 1 {point} {HASH}")
    assert "latchpin device list" in refused(tmp_path, "revoke", "lp-two")
    (tmp_path / "password").write_text("short")
    assert "16 to 256" in refused(
        tmp_path, "enrol", f"lp-two 1 {a_point().hex()}", "--mqtt-password-file", str(tmp_path / "password")
    )
    assert "cannot be read" in refused(
        tmp_path, "enrol", "lp-two 1 " + a_point().hex(), "--mqtt-password-file", str(tmp_path / "gone")
    )


def test_a_folder_that_is_not_there_and_an_empty_registry_are_said(tmp_path: Path):
    assert "No such file" in refused(tmp_path / "gone", "enrol", f"lp-one 1 {a_point().hex()} {HASH}")
    assert "enrol --help" in said(tmp_path, "list")
    for words in (("--help",), ("enrol", "--help")):
        shown = subprocess.run(
            [sys.executable, "-m", "host_sim", "device", *words], capture_output=True, text=True, check=True
        ).stdout
        assert "enrol" in shown and "mosquitto" in shown


def test_mosquittos_files_name_no_revoked_device_and_deny_what_the_table_does_not_grant(tmp_path: Path):
    registry = enrolled(tmp_path)
    registry.revoke("lp-carol")
    listener = mosquitto.Listener(8883, tmp_path / "a.pem", tmp_path / "a.key")
    conf = mosquitto.write(tmp_path, registry, listener, {"bridge": HASH, "bridge-2": HASH})
    names = [line.split(":")[0] for line in (tmp_path / "passwords").read_text().splitlines()]
    assert names == ["bridge", "bridge-2", "lp-alpha", "lp-bravo"]
    acl = (tmp_path / "acl").read_text()
    assert "pattern read latchpin/1/%u/down" in acl and "topic read latchpin/1/+/hello" in acl and "user bridge-2" in acl
    assert "%c" not in acl and "#" not in "".join(line for line in acl.splitlines() if not line.startswith("#"))
    for option in (
        "set_tcp_nodelay true",
        "use_username_as_clientid true",
        "per_listener_settings true",
        "allow_anonymous false",
    ):
        assert option in conf.read_text().splitlines()
    assert (tmp_path / "passwords").stat().st_mode & 0o077 == 0
    with pytest.raises(ValueError):
        mosquitto.acl_lines(["bridge\ntopic readwrite #"])
    with pytest.raises(ValueError):
        mosquitto.password_lines(registry, {"lp-alpha": HASH})
