"""/metrics: who may read it, and that its numbers are those of what happened.

Not how a Prometheus is set up: the README of the AS says that.
"""

from prometheus_client.parser import text_string_to_metric_families

from tests.authorization_server import running
from tests.authorization_server.browsing import Browser, account
from tests.authorization_server.parties import Party, wrong_pin


def scraped(server: running.Server) -> dict[tuple[str, ...], float]:
    """(name, label values in order of their names...) -> value"""
    token = (server.state / "metrics_token").read_text()
    answer = server.http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    return {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value for sample in samples}


def test_the_numbers_are_those_of_what_happened(tmp_path):
    with running.server(tmp_path) as server:
        before = scraped(server)
        assert before["latchpin_as_waiting_sessions",] == 0
        party = Party(server)
        party.start()
        pin = server.issue_pin(party.device)
        assert scraped(server)["latchpin_as_waiting_sessions",] == 1
        party.follow(pin=wrong_pin(pin))
        party.redeem(party.follow(pin=pin).json()["authorization_code"])
        party.refresh("of no family")
        Browser(server).sign_in(account(server, "ada"))
        server.http.get("/no/such/place")
        after = scraped(server)
    assert after["latchpin_as_outcomes_total", "prompted", "challenge"] == 1
    assert after["latchpin_as_outcomes_total", "wrong_answer", "challenge"] == 1
    assert after["latchpin_as_outcomes_total", "code", "challenge"] == 1
    assert after["latchpin_as_outcomes_total", "granted", "token"] == 1
    assert after["latchpin_as_outcomes_total", "invalid_grant", "token"] == 1
    assert after["latchpin_as_outcomes_total", "signed_in", "sign_in"] == 1
    assert after["latchpin_as_requests_total", "challenge", "403"] == 2
    assert after["latchpin_as_requests_total", "unknown", "404"] == 1
    assert after["latchpin_as_request_duration_seconds_count", "token"] >= 2
    now = {
        name: after[f"latchpin_as_{name}",] for name in ("devices", "accounts", "signed_in", "live_families", "waiting_sessions")
    }
    assert now == {"devices": 1, "accounts": 1, "signed_in": 1, "live_families": 1, "waiting_sessions": 0}


def test_no_label_holds_what_came_from_outside(tmp_path):
    with running.server(tmp_path) as server:
        party = Party(server, device="canary-device")
        party.start()
        server.http.get("/canary-path")
        server.http.request("CANARY", "/challenge")
        assert not any("canary" in part.lower() for key in scraped(server) for part in key)


def test_only_the_metrics_token_opens_it_and_it_opens_nothing_else(server):
    token = (server.state / "metrics_token").read_text()
    for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {server.admin_token}"}):
        assert server.http.get("/metrics", headers=wrong).status_code == 401
    assert server.http.get("/admin/waiting", headers={"Authorization": f"Bearer {token}"}).status_code == 401
