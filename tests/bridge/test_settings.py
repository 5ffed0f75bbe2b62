"""bridge.toml, the environment, and what an operator is told about a mistake in them.

Not for what settings do: the rooms' own tests have that.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import trustme

from broker_bridge import bridge_key, profile, settings
from broker_bridge.configuration import ConfigurationError

CANARY = "CANARY-4711"


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Any]:
    """A good configuration, in whose folder the files lie that it names."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    bridge_key.make(tmp_path / "bridge.key")
    (tmp_path / "broker.password").write_text(CANARY + "\n")
    (tmp_path / "client.secret").write_text(CANARY + "\r\n")
    return {
        "broker": {"url": "mqtts://broker.example", "username": "bridge", "password_file": "broker.password", "ca": "ca.pem"},
        "authorization_server": {
            "issuer": "https://as.example",
            "client_id": "latchpin-device",
            "client_secret_file": "client.secret",
        },
        "resources": [{"uri": "https://mcp.example/mcp", "scopes": ["led:read led:write"]}],
        "identity": {"key_file": "bridge.key"},
        "registry": {"file": "devices.toml"},
    }


def load(table: dict[str, Any], folder: Path, environment: dict[str, str] | None = None) -> settings.Settings:
    path = folder / "bridge.toml"
    path.write_text(tomli_w.dumps(table))
    return settings.load(path, environment or {})


def refused(table: dict[str, Any], folder: Path, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(table, folder, environment)
    return str(caught.value)


def test_a_good_file_loads_with_paths_from_its_own_folder(table: dict[str, Any], tmp_path: Path):
    loaded = load(table, tmp_path)
    assert (loaded.broker.host, loaded.broker.port) == ("broker.example", 8883)
    assert loaded.broker.ca == tmp_path / "ca.pem" and loaded.registry.file == tmp_path / "devices.toml"
    assert loaded.identity.kid == 1 and loaded.authorization_server.profile == "reference"


def test_a_bare_name_is_looked_for_among_systemds_credentials_first(table: dict[str, Any], tmp_path: Path):
    """systemd.exec(5), LoadCredential=."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in ("client.secret", "bridge.key"):
        (credentials / name).write_text("from systemd")
    (tmp_path / "client.secret").unlink()
    table["broker"]["password_file"] = str(tmp_path / "broker.password")
    loaded = load(table, tmp_path, {"CREDENTIALS_DIRECTORY": str(credentials)})
    secret = loaded.authorization_server.secret()
    assert secret and secret.get_secret_value() == "from systemd" and loaded.identity.key_file == credentials / "bridge.key"
    assert loaded.broker.secret().get_secret_value() == CANARY and loaded.broker.ca == tmp_path / "ca.pem"


def test_one_line_break_at_the_end_of_a_secret_file_is_not_part_of_the_secret(table: dict[str, Any], tmp_path: Path):
    loaded = load(table, tmp_path)
    secret = loaded.authorization_server.secret()
    assert loaded.broker.secret().get_secret_value() == CANARY and secret and secret.get_secret_value() == CANARY


def test_the_environment_wins_also_for_secrets_and_lists(table: dict[str, Any], tmp_path: Path):
    del table["broker"]["password_file"]
    (tmp_path / "other").write_text("from-a-file")
    environment = {
        "LATCHPIN_BRIDGE__BROKER__URL": "mqtts://other.example:8884",
        "LATCHPIN_BRIDGE__BROKER__PASSWORD_FILE": "other",
        "LATCHPIN_BRIDGE__RESOURCES__0__URI": "https://other.example/mcp",
        "LATCHPIN_BRIDGE__LIMITS__FRAMES_BURST": "7",
        "LATCHPIN_BRIDGE__REPLICA": "replica-a",
        "LATCHPIN_BROKER__URL": "not for us",
    }
    loaded = load(table, tmp_path, environment)
    assert loaded.broker.port == 8884 and loaded.broker.secret().get_secret_value() == "from-a-file"
    assert loaded.resources[0].uri == "https://other.example/mcp"
    assert loaded.limits.frames_burst == 7 and loaded.replica == "replica-a"


def test_secrets_do_not_print(table: dict[str, Any], tmp_path: Path):
    del table["broker"]["password_file"], table["authorization_server"]["client_secret_file"]
    table["broker"]["password"] = table["authorization_server"]["client_secret"] = CANARY
    loaded = load(table, tmp_path)
    assert loaded.broker.secret().get_secret_value() == CANARY
    assert CANARY not in repr(loaded) + str(loaded) + loaded.model_dump_json()


@pytest.mark.parametrize(
    ("section", "key", "value", "told"),
    [
        ("broker", "url", "mqtt://broker.example", "broker.url: must look like mqtts://"),
        ("broker", "url", "mqtts://user@broker.example", "broker.url: must look like mqtts://"),
        ("broker", "url", None, "broker.url: is missing"),
        ("broker", "ca", "nowhere.pem", "broker.ca: names a file that is not there"),
        ("broker", "ca", "bridge.key", "broker.ca: must name a file with certificates in PEM"),
        ("broker", "password_file", None, "broker: needs either password_file"),
        ("broker", "pasword", "x", "broker.pasword: is not a setting; did you mean password?"),
        ("broker", "keep_alive_s", 1, "broker.keep_alive_s:"),
        ("authorization_server", "issuer", "http://as.example", "authorization_server.issuer: must be an https:// URL"),
        ("authorization_server", "issuer", "https://as.example\\@evil", "authorization_server.issuer: must be an https:// URL"),
        ("authorization_server", "issuer", "https://as.example/?a=b", "authorization_server.issuer: must be an https:// URL"),
        ("authorization_server", "client_secret", "x", "authorization_server: needs either client_secret_file"),
        ("authorization_server", "client_authentication", "none", "leave client_secret and client_secret_file out"),
        ("authorization_server", "client_authentication", "magic", "authorization_server.client_authentication:"),
        ("identity", "kid", 256, "identity.kid:"),
        ("identity", "key_file", "nowhere", "identity.key_file: names a file that is not there"),
        ("operations", "listen", "0.0.0.0:9700", "operations.listen: must be a loopback address"),
        ("operations", "listen", "localhost", "operations.listen: must be a loopback address"),
        ("limits", "frames_per_s", 0, "limits.frames_per_s:"),
    ],
)
def test_a_mistake_is_named_by_its_key_with_the_mend(
    table: dict[str, Any], tmp_path: Path, section: str, key: str, value: Any, told: str
):
    table.setdefault(section, {})
    if value is None:
        del table[section][key]
    else:
        table[section][key] = value
    text = refused(table, tmp_path)
    assert told in text and str(tmp_path / "bridge.toml") in text


def test_a_mistake_is_named_with_its_line_and_one_of_the_environment_with_its_name(table: dict[str, Any], tmp_path: Path):
    load(table, tmp_path)
    path = tmp_path / "bridge.toml"
    lines = path.read_text().replace("mqtts://broker.example", "mqtt://broker.example").splitlines()
    lines.insert(lines.index("[[resources]]") + 1, "scpoes = [")
    lines.insert(lines.index("[[resources]]") + 2, '  "led:read" ]')
    path.write_text("\n".join(line for line in lines if not line.startswith("username")))
    lines = path.read_text().splitlines()

    def told(**environment: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            settings.load(path, environment)
        return str(caught.value).splitlines()

    def at(line: str) -> str:
        return f"{path}:{next(number for number, text in enumerate(lines, 1) if text.startswith(line))}: "

    assert [line.partition(": ")[0] + ": " for line in told()] == [at("url = "), at("[broker]"), at("scpoes")]
    by_environment = told(LATCHPIN_BRIDGE__BROKER__URL="x", LATCHPIN_BRIDGE__IDENTITY__KID="300")
    assert by_environment[0].startswith("environment LATCHPIN_BRIDGE__BROKER__URL: broker.url: must look like mqtts://")
    assert by_environment[-1].startswith("environment LATCHPIN_BRIDGE__IDENTITY__KID: identity.kid: ")


@pytest.mark.parametrize("scopes", [[], [""], ["two  blanks"], ['quo"te'], ["line\nbreak"]])
def test_a_scope_is_one_of_rfc_6749(table: dict[str, Any], tmp_path: Path, scopes: list[str]):
    table["resources"][0]["scopes"] = scopes
    assert "resources.0.scopes" in refused(table, tmp_path)


def test_what_is_told_about_a_mistake_quotes_no_value(table: dict[str, Any], tmp_path: Path):
    table["broker"] |= {"url": CANARY, "password": CANARY, "keep_alive_s": CANARY}
    table["authorization_server"] |= {"client_secret": CANARY, "issuer": CANARY, "client_authentication": CANARY}
    table["replica"] = CANARY
    assert CANARY not in refused(table, tmp_path)


@pytest.mark.parametrize("name", ["BROKER__URL__HOST", "RESOURCES__1__URI", "RESOURCES__X__URI", "NO_SUCH__THING"])
def test_an_environment_variable_that_fits_nothing_is_named(table: dict[str, Any], tmp_path: Path, name: str):
    text = refused(table, tmp_path, {f"LATCHPIN_BRIDGE__{name}": "x"})
    assert name in text or "no_such" in text


def test_broken_toml_is_told_with_its_place_and_a_missing_file_with_the_next_step(tmp_path: Path):
    path = tmp_path / "bridge.toml"
    path.write_text(f"[broker]\nurl = {CANARY}\n")
    with pytest.raises(ConfigurationError, match=r"not TOML \(at line 2"):
        settings.load(path, {})
    with pytest.raises(ConfigurationError, match="README"):
        settings.load(tmp_path / "other.toml", {})


def test_an_issuer_keeps_its_bytes(table: dict[str, Any], tmp_path: Path):
    for issuer in ("https://as.example", "https://as.example/", "https://as.example/t/"):
        table["authorization_server"]["issuer"] = issuer
        assert load(table, tmp_path).authorization_server.issuer == issuer


def test_a_key_is_made_for_its_owner_only_and_never_overwritten(tmp_path: Path):
    path = tmp_path / "bridge.key"
    made = bridge_key.make(path)
    assert path.stat().st_mode & 0o777 == 0o600 and bridge_key.load(path) == made
    assert made.private.hex() not in repr(made)
    with pytest.raises(FileExistsError):
        bridge_key.make(path)
    path.write_text("no key")
    with pytest.raises(ConfigurationError, match="latchpin bridge key"):
        bridge_key.load(path)


def test_a_profile_that_is_not_there_or_not_one_is_told(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="reference"):
        profile.load("refrence")
    for text in ("[challenge", "[challange]\n", "[reasons]\nnone = 'sleep'\n", "[answers]\npin = '['\n"):
        (tmp_path / "p.toml").write_text(text)
        with pytest.raises(ConfigurationError, match=r"authorization_server\.profile"):
            profile.load(os.fspath(tmp_path / "p.toml"))
