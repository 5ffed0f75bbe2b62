"""`latchpin device` as a person types it, and the files for mosquitto that come out of the same registry.

Not the registry itself (test_registry.py).
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from broker_bridge import mosquitto
from broker_bridge.registry import Device, Key, Registry, hash_mqtt_password, verify_mqtt_password
from host_sim.__main__ import main
from tests.brokers.conftest import a_point, enrolled

HASH = hash_mqtt_password(b"door")


def latchpin_device(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "host_sim", "device", *words]
    return subprocess.run(command, input=typed, capture_output=True, text=True, check=False, timeout=60)


def device(folder: Path, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return latchpin_device(*words, "--registry", str(folder / "devices.toml"), typed=typed)


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


@pytest.mark.parametrize("name", ["devices.toml", "devices.sqlite"])
def test_what_is_exported_is_imported_as_it_was(tmp_path: Path, name: str):
    first = Registry(tmp_path / name)
    two_keys = Device("lp-two", 'a "door", red', (Key(1, a_point()), Key(2, a_point())), HASH)
    first.enrol_all([Device("lp-one", "", (Key(7, a_point()),), HASH), two_keys])
    first.revoke("lp-one")
    registry = ("--registry", str(tmp_path / name))
    exported = latchpin_device("export", *registry).stdout
    assert exported.splitlines()[0] == "device,alias,kid,public,mqtt_password_hash,revoked" and exported.count("\n") == 4
    (tmp_path / "all.csv").write_text(exported)
    for number, source in enumerate(("-", str(tmp_path / "all.csv"))):
        again = tmp_path / f"again{number}.{name}"
        done = latchpin_device("import", source, "--registry", str(again), typed=exported)
        assert (done.returncode, done.stdout, done.stderr) == (0, "imported 2 devices\n", "")
        assert Registry(again).all() == first.all()
    assert "--replace" in latchpin_device("import", str(tmp_path / "all.csv"), *registry).stderr
    assert latchpin_device("import", str(tmp_path / "all.csv"), "--replace", *registry).returncode == 0


def test_passwords_of_a_list_are_hashed(tmp_path: Path):
    said(tmp_path, "import", "-", typed=f"\ufeffpublic,device,mqtt_password\r\n{a_point().hex()},lp-one,{'p' * 32}\r\n")
    found = Registry(tmp_path / "devices.toml").get("lp-one")
    assert found and verify_mqtt_password(found.mqtt_password_hash, b"p" * 32) and (found.alias, found.keys[0].kid) == ("", 1)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", "line 1: its columns"),
        ("device,public,shoe_size\n", "line 1: its columns"),
        ("{head}\n{good}\nlp-two,x,1,{key},{hash}\n", "line 3: it has not as many values"),
        ("{head}\n{good}\nlp-two,x,1,{key},{hash},false,more\n", "line 3: it has not as many values"),
        ("{head}\n{good}\nLP-TWO,x,1,{key},{hash},false\n", "line 3: a device id is"),
        ("{head}\n{good}\nlp-two,x,1,04ab,{hash},false\n", "line 3: public is 128"),
        ("{head}\n{good}\nlp-two,x,999,{key},{hash},false\n", "line 3: a kid is one byte"),
        ("{head}\n{good}\nlp-two,x,1,{key},{hash},perhaps\n", "line 3: revoked is true or false"),
        ("{head}\n{good}\nlp-two,x,1,{key},,false\n", "line 3: it wants either"),
        ("{head}\n{good}\nlp-two,=1+1,1,{key},{hash},false\n", "line 3: an alias"),
        ("{head}\n{good}\nlp-one,other,2,{key},{hash},false\n", "line 3: this device stands above"),
        ("{head}\n{good}\n{good}\n", "each of its keys a kid"),
        ('{head}\n{good}\nlp-two,"x\n', ": not CSV"),
        ("{head}\n{good}\nlp-two,x,1,{same},{hash},false\n", "line 3: another device has this public key"),
        ("device,public,mqtt_password\nlp-one,{key},short\n", "line 2: an MQTT password is 16 to 256"),
        ("{head}\n{good}\n\udcff", "UTF-8"),
    ],
)
def test_a_list_with_a_mistake_is_refused_as_a_whole_and_the_line_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: str, told: str
):
    key = a_point().hex()
    good = f"lp-one,kitchen door,1,{key},{HASH},false"
    text = lines.format(
        head="device,alias,kid,public,mqtt_password_hash,revoked", good=good, key=a_point().hex(), same=key, hash=HASH
    )
    (tmp_path / "list.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert main(["device", "import", str(tmp_path / "list.csv"), "--registry", str(tmp_path / "devices.toml")]) == 2
    answer = capsys.readouterr().err
    assert answer.count("\n") == 1 and told in answer and key[:16] not in answer and "kitchen" not in answer
    assert not (tmp_path / "devices.toml").exists()


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
