"""The registry and the command line that writes it: what is refused, what survives, and that mosquitto reads the same hashes.

Not for brokers at work: those stand in test_isolation.py and beside it.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest

from broker_bridge.registry import Device, Key, Registry, RegistryError, hash_mqtt_password, verify_mqtt_password
from tests.brokers.conftest import a_point

PASSWORD_HASH = hash_mqtt_password(b"door")


@pytest.fixture(params=["devices.toml", "devices.sqlite"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """Each test runs with both forms of the file, unless it names one."""
    return Registry(tmp_path / request.param)


toml = pytest.mark.parametrize("registry", ["devices.toml"], indirect=True)
sqlite = pytest.mark.parametrize("registry", ["devices.sqlite"], indirect=True)


def test_an_enrolled_device_is_read_back_by_another_reader(registry: Registry):
    public = a_point()
    registry.enrol("lp-7f3k2m", public, PASSWORD_HASH, "kitchen door")
    found = Registry(registry.path).get("lp-7f3k2m")
    assert found is not None
    assert (found.alias, found.public_key(1), found.public_key(2), found.revoked) == ("kitchen door", public, None, False)
    assert found.mqtt_password_hash == PASSWORD_HASH


def test_a_revoked_device_is_gone_for_a_reader_that_reloads(registry: Registry):
    registry.enrol("lp-7f3k2m", a_point(), PASSWORD_HASH)
    reader = Registry(registry.path)
    assert reader.get("lp-7f3k2m") and not reader.reload()
    registry.revoke("lp-7f3k2m")
    assert reader.reload()
    assert reader.get("lp-7f3k2m") is None
    assert [entry.revoked for entry in reader.all()] == [True]
    with pytest.raises(RegistryError):
        registry.enrol("lp-7f3k2m", a_point(), PASSWORD_HASH)
    registry.enrol("lp-7f3k2m", a_point(), PASSWORD_HASH, replace=True)
    assert registry.get("lp-7f3k2m")


@pytest.mark.parametrize(
    "device",
    ["", "abc", "a" * 24, "-abcd", "abcd-", "Abcd", "ab+d", "ab#d", "ab/d", "$sys", "a\0bcd", "ab cd", "äbcd", "abcd\n",
     "bridge", "bridge-2", "latchpin-bridge"],
)  # fmt: skip
def test_an_id_that_is_not_safe_in_a_topic_or_means_the_bridge_is_refused(registry: Registry, device: str):
    with pytest.raises(RegistryError):
        registry.enrol(device, a_point(), PASSWORD_HASH)
    assert not registry.path.exists()


def test_keys_that_are_no_points_and_hashes_of_another_form_are_refused(registry: Registry):
    good = a_point()
    off_curve = good[:63] + bytes([good[63] ^ 1])
    for public in (b"", good[:63], good + b"\0", bytes(64), off_curve, b"\xff" * 64):
        with pytest.raises(RegistryError):
            registry.enrol("lp-7f3k2m", public, PASSWORD_HASH)
    for stored in (
        "",
        "door",
        "$6$x$y",
        PASSWORD_HASH + "=",
        PASSWORD_HASH + "\nbridge:",
        PASSWORD_HASH.replace("$101$", "$100001$"),
    ):
        with pytest.raises(RegistryError):
            registry.enrol("lp-7f3k2m", good, stored)
    for alias in ("a" * 65, "two\nlines", "\x1b[31m"):
        with pytest.raises(RegistryError):
            registry.enrol("lp-7f3k2m", good, PASSWORD_HASH, alias)
    for kid in (-1, 256):
        with pytest.raises(RegistryError):
            registry.enrol("lp-7f3k2m", good, PASSWORD_HASH, kid=kid)


def test_two_devices_cannot_have_one_key(registry: Registry):
    public = a_point()
    registry.enrol("lp-first", public, PASSWORD_HASH)
    with pytest.raises(RegistryError):
        registry.enrol("lp-second", public, PASSWORD_HASH)


@toml
def test_a_broken_file_is_refused_and_what_was_read_stays_in_force(registry: Registry):
    registry.enrol("lp-7f3k2m", a_point(), PASSWORD_HASH)
    good = registry.path.read_text()
    for broken in ("[devices", "x = 1", good.replace("kid = 1", 'kid = "1"'), good.replace("revoked = false", "revoked = 0"),
                   good.replace("lp-7f3k2m", "LP"), good + "\nx = 1\n", "\udcff"):  # fmt: skip
        registry.path.write_bytes(broken.encode("utf-8", "surrogateescape"))
        with pytest.raises(RegistryError) as refusal:
            registry.reload()
        assert "lp-7f3k2m" not in str(refusal.value)
        assert registry.get("lp-7f3k2m")
        with pytest.raises(RegistryError):
            Registry(registry.path)


def _enrol_some(path: Path, name: str) -> None:
    registry = Registry(path)
    for number in range(10):
        registry.enrol(f"{name}-{number}", a_point(), PASSWORD_HASH)


@pytest.mark.parametrize("name", ["devices.toml", "devices.sqlite"])
def test_writers_at_the_same_time_lose_nothing(tmp_path: Path, name: str):
    path = tmp_path / name
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_enrol_some, args=(path, f"writer-{name}")) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(Registry(path).all()) == 40
    assert {file.name for file in tmp_path.iterdir()} <= {name, f"{name}.lock"}


@sqlite
def test_a_broken_sqlite_file_is_refused_and_what_was_read_stays_in_force(registry: Registry):
    registry.enrol("lp-7f3k2m", a_point(), PASSWORD_HASH)
    good = registry.path.read_bytes()
    for broken in (b"not a database, surely not", good[:5000], good[:100] + bytes(len(good) - 100)):
        registry.path.write_bytes(broken)
        with pytest.raises(RegistryError, match="last good"):
            registry._seen = None
            registry.reload()
        assert registry.get("lp-7f3k2m")
        with pytest.raises(RegistryError):
            Registry(registry.path)
    registry.path.write_bytes(good)
    with contextlib.closing(sqlite3.connect(registry.path)) as connection, connection:
        connection.execute("UPDATE keys SET public = 'ab'")
    with pytest.raises(RegistryError, match="device number 1") as refusal:
        registry.reload()
    assert "lp-7f3k2m" not in str(refusal.value)


@sqlite
def test_a_reader_that_may_not_write_reads_sqlite_too(registry: Registry):
    """The bridge is a user of its own; the file belongs to whoever enrols."""
    registry.enrol("lp-7f3k2m", a_point(), PASSWORD_HASH)
    folder = registry.path.parent
    folder.chmod(0o555)
    registry.path.chmod(0o444)
    try:
        reader = Registry(registry.path)
        assert reader.get("lp-7f3k2m") and not reader.reload()
    finally:
        folder.chmod(0o755)
        registry.path.chmod(0o640)


def test_many_devices_are_enrolled_as_one_change_or_not_at_all(registry: Registry):
    entries = [Device(f"lp-{number:04}", "", (Key(1, a_point()),), PASSWORD_HASH) for number in range(100)]
    registry.enrol_all(entries[:50])
    for wrong, text in (
        (entries[0], "--replace"),
        (entries[60], "twice"),
        (dataclasses.replace(entries[70], device="X"), "id is"),
    ):
        with pytest.raises(RegistryError, match=text) as refusal:
            registry.enrol_all([*entries[50:], wrong])
        assert refusal.value.device == wrong.device and len(Registry(registry.path).all()) == 50
    assert registry.enrol_all(entries, replace=True) == 100 and Registry(registry.path).all() == entries


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_a_new_file_has_the_group_of_a_folder_that_hands_it_on(registry: Registry):
    """So that a bridge of another user reads it: the folder is setgid, and the file is the group's to read."""
    folder = registry.path.parent
    group = next((group for group in os.getgroups() if group != os.getgid()), os.getgid())
    os.chown(folder, -1, group)
    folder.chmod(0o2750)
    for name in ("lp-one", "lp-two"):
        registry.enrol(name, a_point(), PASSWORD_HASH)
        status = registry.path.stat()
        assert status.st_gid == group and status.st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name == "nt", reason="POSIX users")
@pytest.mark.parametrize("name", ["devices.toml", "devices.sqlite"])
def test_a_bridge_of_the_folders_group_reads_what_root_wrote_and_a_stranger_does_not(name: str):
    """As DEPLOYMENT.md says: the folder is root's with mode 2750 and the bridge's group. Only root can try another user."""
    user = group = 64_111
    folder = Path(tempfile.mkdtemp())
    try:
        if os.geteuid() != 0:
            group = os.getgid()
        os.chown(folder, -1, group)
        folder.chmod(0o2750)
        registry = Registry(folder / name)
        registry.enrol("lp-7f3k2m", a_point(), PASSWORD_HASH)
        registry.revoke("lp-7f3k2m")
        status = registry.path.stat()
        assert (status.st_gid, status.st_mode & 0o777) == (group, 0o640) and folder.stat().st_mode & 0o7777 == 0o2750
        if os.geteuid() == 0:
            assert [_read_as(who, registry.path) for who in ((user, group), (user, user + 1))] == [1, None]
    finally:
        shutil.rmtree(folder)


def _read_as(who: tuple[int, int], path: Path) -> int | None:
    """How many devices a process of that user and group reads; None if it may not."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(who[1])
            os.setuid(who[0])
            os._exit(len(Registry(path).all()))
        except BaseException:
            os._exit(111)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == 111 else code


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_the_mode_of_the_file_survives_a_change(registry: Registry):
    registry.enrol("lp-first", a_point(), PASSWORD_HASH)
    registry.path.chmod(0o600)
    registry.enrol("lp-second", a_point(), PASSWORD_HASH)
    assert registry.path.stat().st_mode & 0o777 == 0o600


def test_a_password_is_verified_and_neither_it_nor_its_hash_prints(registry: Registry):
    stored = hash_mqtt_password(b"open sesame")
    assert stored != hash_mqtt_password(b"open sesame")
    assert verify_mqtt_password(stored, b"open sesame")
    assert not verify_mqtt_password(stored, b"open sesame ")
    assert not verify_mqtt_password("$7$101$x$y", b"open sesame")
    assert stored not in repr(registry.enrol("lp-7f3k2m", a_point(), stored))


@pytest.mark.skipif(not shutil.which("mosquitto_passwd"), reason="needs mosquitto_passwd: apt-get install mosquitto")
def test_a_hash_that_mosquitto_passwd_made_is_understood(tmp_path: Path):
    file = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", file, "lp-7f3k2m", "open sesame"], check=True)
    name, stored = file.read_text().strip().split(":")
    assert name == "lp-7f3k2m"
    assert verify_mqtt_password(stored, b"open sesame")
    assert not verify_mqtt_password(stored, b"open sesam")
