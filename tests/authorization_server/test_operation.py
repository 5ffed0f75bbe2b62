"""The AS as a process: its files, its log, its console, its end, and what survives a kill -9.

Not its protocol.
"""

import base64
import json
import random
import signal
import stat
import subprocess
import sys
import threading
import time
import tomllib
from urllib.parse import urlsplit

import httpx2
import pytest
import tomli_w

from broker_bridge.configuration import ConfigurationError
from host_sim.authorization_server.settings import load
from host_sim.authorization_server.storage import Storage
from tests.authorization_server import running
from tests.authorization_server.parties import Party, wrong_pin
from tests.requirements import proves

# kill -9


@proves("PROTOCOL-5-i")
def test_every_step_of_a_pairing_survives_a_kill_before_the_next(tmp_path):
    with running.server(tmp_path) as server:
        party = Party(server)
        party.start()
        server.kill_and_restart()
        pin = server.issue_pin(party.device)
        server.kill_and_restart()
        assert party.follow(pin=wrong_pin(pin)).json()["tries_left"] == 4
        server.kill_and_restart()
        code = party.follow(pin=pin).json()["authorization_code"]
        server.kill_and_restart()
        tokens = party.redeem(code).json()
        server.kill_and_restart()
        successor = party.refresh(tokens["refresh_token"]).json()["refresh_token"]
        server.kill_and_restart()
        assert party.refresh(tokens["refresh_token"]).json()["refresh_token"] == successor
        assert party.redeem(code).json()["error"] == "invalid_grant"
        server.kill_and_restart()
        assert party.refresh(successor).json()["error"] == "invalid_grant"


@proves("PROTOCOL-5-i", "RFC9449-11.1-a")
def test_a_proof_stays_spent_and_a_lock_stays_locked_after_a_kill(tmp_path):
    with running.server(tmp_path) as server:
        party = Party(server)
        nonce = server.http.get("/livez").headers["dpop-nonce"]
        proof = party.key.sign(f"{server.issuer}/challenge", nonce)
        party.auth_session = party.post("challenge", party.first_fields(), proof=proof).json()["auth_session"]
        for _ in range(5):
            party.follow(pin="123456780")
        server.kill_and_restart()
        assert party.post("challenge", party.first_fields(), proof=proof).json()["error"] == "invalid_dpop_proof"
        assert party.follow().json()["reason"] == "locked"


@proves("PROTOCOL-5-i")
def test_a_kill_at_any_moment_loses_no_refresh_token_that_was_answered(tmp_path):
    source = random.Random(9449)
    with running.server(tmp_path) as server:
        party = Party(server)
        token = party.earn_tokens()["refresh_token"]
        for _ in range(5):
            answered = [token]

            def refresh(answered=answered, http=server.http):
                try:
                    while True:
                        answered.append(party.refresh(answered[-1]).json()["refresh_token"])
                except (httpx2.HTTPError, RuntimeError):
                    pass

            worker = threading.Thread(target=refresh)
            worker.start()
            end_s = time.monotonic() + 60
            while len(answered) < 4 and time.monotonic() < end_s:
                time.sleep(0.01)
            time.sleep(source.random() / 5)
            server.process.kill()
            server.process.wait(30)
            worker.join()
            server.kill_and_restart()
            assert len(answered) >= 4
            response = party.refresh(answered[-1])
            assert response.status_code == 200, response.text
            token = response.json()["refresh_token"]


# Files


def test_keys_database_and_admin_token_are_for_their_owner_alone(server):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in server.state.iterdir()}
    assert {"admin_token", "metrics_token", "pepper", "signing_keys.json", "state.sqlite"} <= set(modes)
    assert {name: oct(mode) for name, mode in modes.items() if mode != 0o600} == {}
    assert stat.S_IMODE(server.state.stat().st_mode) == 0o700


def test_a_key_that_others_can_read_stops_the_start_and_says_what_to_do(tmp_path):
    with running.server(tmp_path) as server:
        server.stop()
        (server.state / "pepper").chmod(0o644)
        done = server.run("serve")
        assert done.returncode == 2
        assert "pepper: can be read by others; chmod 600" in done.stderr


def test_a_database_of_a_later_version_or_none_at_all_is_refused(tmp_path):
    path = tmp_path / "state.sqlite"
    storage = Storage(path)
    storage._connection.execute("PRAGMA user_version = 99")
    storage.close()
    with pytest.raises(ConfigurationError, match="later version"):
        Storage(path)
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(ConfigurationError, match="cannot be used as a database"):
        Storage(path)


@proves("PROTOCOL-5-i")
def test_the_database_waits_for_the_disk_so_that_a_power_cut_loses_nothing_either(tmp_path):
    storage = Storage(tmp_path / "state.sqlite")
    pragmas = [storage._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    storage.close()
    assert pragmas == ["wal", 2]


def test_two_processes_at_their_first_start_agree_on_one_set_of_keys(tmp_path):
    script = "import pathlib, sys; from host_sim.authorization_server.keys import Keys; k = Keys(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", script + "; print(k.published)", str(tmp_path / "state")]
    started = [subprocess.Popen(command, cwd=running.ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({process.communicate()[0] for process in started}) == 1
    made = {path.name for path in (tmp_path / "state").iterdir()}
    assert made == {"admin_token", "metrics_token", "pepper", "signing_keys.json"}


# Secrets


@proves("PROTOCOL-5-j", "PROTOCOL-5-h")
def test_no_secret_stands_in_the_log_or_in_the_database(tmp_path):
    secrets: set[str] = {running.BRIDGE_SECRET}
    with running.server(tmp_path) as server:
        secrets.add(server.admin_token)
        for client in (running.BRIDGE, running.APP):
            party = Party(server, client=client)
            secrets.add(party.verifier)
            secrets.add(party.start().json()["auth_session"])
            older, pin = server.issue_pin(party.name), server.issue_pin(party.name)
            secrets |= {older, pin}
            secrets.add(party.follow(pin=older).json()["auth_session"])
            done = party.follow(pin=pin).json()
            tokens = party.redeem(done["authorization_code"]).json()
            newer = party.refresh(tokens["refresh_token"]).json()
            secrets |= {done["auth_session"], done["authorization_code"], *(tokens[n] for n in ("access_token", "refresh_token"))}
            secrets |= {newer["access_token"], newer["refresh_token"]}
            party.redeem(done["authorization_code"])
            party.refresh("canary-of-no-family")
            party.post("revoke", {"token": newer["refresh_token"]})
        party.post("challenge", {"auth_session": "canary-of-no-session", "pin": "canary-of-no-pin"})
        party.post("token", {"grant_type": "canary-of-no-grant"})
        secrets |= {"canary-of-no-family", "canary-of-no-session", "canary-of-no-pin", "canary-of-no-grant"}
        stored = b"".join(path.read_bytes() for path in server.state.glob("state.sqlite*"))
        secrets.add(json.loads((server.state / "signing_keys.json").read_text())["keys"][0]["d"])
        server.stop()
        assert server.events("token") and server.events("pin_issued")
        for place in (server.log.encode(), stored):
            for secret in secrets:
                raw = secret.encode()
                for form in (raw, raw.hex().encode(), base64.b64encode(raw)[:-4], raw[::-1]):
                    assert form not in place


def test_each_line_of_the_log_is_json_and_carries_the_caller_s_request_id(tmp_path):
    with running.server(tmp_path) as server:
        party = Party(server)
        party.post("challenge", party.first_fields(), headers={"X-Request-Id": "0badcafe"})
        party.post("challenge", party.first_fields(), headers={"X-Request-Id": 'x" evil'})
        server.stop()
        lines = [json.loads(line) for line in server.log.splitlines()]
        assert {"time", "level", "event"} <= set.intersection(*(set(line) for line in lines))
        assert {line.get("request") for line in lines if line["event"] == "challenge"} == {"0badcafe", None}


# The console line and the admin call


def test_the_console_line_issues_a_pin_that_works_and_says_whose_it_is(server):
    party = Party(server)
    words = party.start().json()["binding_word"]
    done = server.run("pin", "issue", "--device", party.device)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout and party.device in done.stdout
    pin = "".join(done.stdout.split()[1:4])
    assert party.follow(pin=pin).status_code == 200


def test_the_console_line_names_the_next_step_when_nobody_waits(server):
    done = server.run("pin", "issue", "--device", "lp-nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert "let it ask first" in done.stderr


def test_several_sessions_of_one_name_are_told_apart_by_their_binding_word(server):
    parties = [Party(server, client=running.APP, device="lp-twice") for _ in range(2)]
    words = [party.start().json()["binding_word"] for party in parties]
    if words[0] == words[1]:
        words[1] = parties[1].start().json()["binding_word"]
    done = server.run("pin", "issue", "--device", "peer-app/lp-twice")
    assert done.returncode == 1 and "binding word" in done.stderr
    assert server.admin("pin", device="peer-app/lp-twice")["error"] == "ambiguous"
    pin = server.admin("pin", device="peer-app/lp-twice", binding_word=words[0])["pin"]
    assert parties[1].follow(pin=pin).status_code == 403
    assert parties[0].follow(pin=pin).status_code == 200


def test_the_lists_name_devices_and_clients(server):
    party = Party(server)
    words = party.start().json()["binding_word"]
    listed = server.run("device", "list").stdout
    assert any(party.device in line and words in line and "waits" in line for line in listed.splitlines())
    clients = server.run("client", "list").stdout
    assert running.BRIDGE in clients and "confidential" in clients and running.BRIDGE_SECRET not in clients


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Bearer", "Basic YTpi", "Bearer \xe9"])
def test_the_admin_call_wants_the_admin_token(server, authorization):
    headers = {"Authorization": authorization.encode("latin-1")} if authorization else {}
    for method, name in (("GET", "waiting"), ("GET", "devices"), ("POST", "pin"), ("POST", "unlock")):
        assert server.http.request(method, f"/admin/{name}", headers=headers).status_code == 401


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"device": 5}', b'{"device": "x", "more": "y"}', b"[" * 9000, b"\xff"])
def test_an_admin_call_that_is_wrong_is_refused(server, body):
    headers = {"Authorization": f"Bearer {server.admin_token}"}
    response = server.http.post("/admin/pin", content=body, headers=headers)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert server.admin("unlock", device="lp-nobody")["error"] == "not_locked"


# Start and end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_ready_once_and_ends_cleanly_beside_an_open_connection(tmp_path, number):
    with running.server(tmp_path) as server:
        server.http.get("/livez")  # keeps a connection open
        process = server.process
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stdout and process.stdout.read() == ""


def test_a_port_that_is_taken_is_named(server):
    done = server.run("serve")
    assert done.returncode == 2
    assert "listen" in done.stderr and "choose another port" in done.stderr


MISTAKES = {
    'isuer = "x"\n': "isuer: is not a setting; did you mean issuer?",
    'issuer = "http://as.example"\n': "issuer: must be an https:// URL",
    'issuer = "https://as.example?x=1"\n': "issuer: must be an https:// URL",
    'listen = "localhost"\n': "listen: must be an IP address and a port",
    'listen = "127.0.0.1:99999"\n': "listen: must be an IP address and a port",
    'certificate = "nowhere.pem"\n': "certificate: names a file that is not there",
    "clients = []\n": "clients:",
    "access_token_ttl_s = 99999\n": "access_token_ttl_s:",
    "session_ttl_s = 1.5\n": "session_ttl_s:",
    'clients = [{ id = "c", secret = "short" }]\n': "the secret is shorter",
    'clients = [{ id = "c", secret = "canary-canary-canary", secret_file = "as.key" }]\n': "not both",
    'clients = [{ id = "c" }, { id = "c" }]\n': "clients: the same one stands there twice",
    'policy = [{ challenges = ["riddle"] }]\n': "challenges: knows knowledge, otp, pairing_code, pin",
    "listen = \n": "not TOML",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_configuration_is_named_with_its_mend_and_no_value(server, mistake):
    usual = tomllib.loads(server.config.read_text())
    config = server.folder / "wrong.toml"
    config.write_text(mistake + tomli_w.dumps({name: usual[name] for name in usual if name != mistake.partition(" ")[0]}))
    with pytest.raises(ConfigurationError) as refused:
        load(config, {})
    text = str(refused.value)
    assert MISTAKES[mistake] in text
    assert not any(value in text for value in ("as.example", "riddle", "canary", "99999", "short,"))


def test_a_configuration_that_cannot_be_used_ends_the_start_with_2_and_a_line(server):
    config = server.folder / "pair.toml"
    config.write_text(server.config.read_text().replace('"as.pem"', '"as.key"'))
    done = server.run("serve", config=config)
    assert done.returncode == 2 and done.stdout == ""
    assert "certificate and private_key must be a pair" in done.stderr and "Traceback" not in done.stderr


def test_the_environment_overrides_the_file(server, tmp_path):
    command = [sys.executable, "-m", "host_sim", "as", "client", "list", "--config", str(server.config)]
    environment = {"LATCHPIN_AS__CLIENTS__1__ID": "renamed-app", "PATH": ""}
    done = subprocess.run(command, cwd=running.ROOT, env=environment, capture_output=True, text=True, timeout=30)
    assert "renamed-app" in done.stdout and running.APP not in done.stdout
    environment = {"LATCHPIN_AS__NO__SUCH": "x"}
    done = subprocess.run(command, cwd=running.ROOT, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "LATCHPIN_AS__NO__SUCH: names no setting" in done.stderr


def test_init_makes_all_that_a_new_server_needs_and_overwrites_nothing(tmp_path):
    config = tmp_path / "new" / "as.toml"
    command = [sys.executable, "-m", "host_sim", "as", "init", "--try-out", "--config", str(config)]
    done = subprocess.run(command, cwd=running.ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "latchpin as user add" in done.stdout, done.stderr
    secret = (config.parent / "bridge.secret").read_text()
    assert len(secret) == 43 and secret not in done.stdout
    private = [config.parent / name for name in ("bridge.secret", "as.key", "as-state/pepper", "as-state/state.sqlite")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert load(config, {}).clients[0].secret_text() == secret
    again = subprocess.run(command, cwd=running.ROOT, capture_output=True, text=True, timeout=60)
    assert again.returncode == 2 and "is there already" in again.stderr
    assert (config.parent / "bridge.secret").read_text() == secret


def test_without_a_configuration_file_it_prints_one_to_start_from(tmp_path):
    command = [sys.executable, "-m", "host_sim", "as", "serve", "--config", str(tmp_path / "as.toml")]
    done = subprocess.run(command, cwd=running.ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "[[clients]]" in done.stderr and urlsplit("https://localhost:9443").netloc in done.stderr
