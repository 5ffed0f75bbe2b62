"""The console without JavaScript: what a signed-in person sees, and what becomes of devices by it.

Not signing in (test_sign_in.py), and not how it looks (test_console_in_chromium.py).
"""

import re

import jwt
import pytest

from host_sim.authorization_server.console import words
from tests.authorization_server import running, web
from tests.authorization_server.browsing import PASSWORD, Browser, account, card, issue_pin
from tests.authorization_server.parties import Party, basic, wrong_pin


@pytest.fixture(scope="module")
def ada(server: running.Server) -> Browser:
    return Browser(server).sign_in(account(server, "ada.console"))


@pytest.fixture(scope="module")
def grace(server: running.Server) -> Browser:
    return Browser(server).sign_in(account(server, "grace.console"))


def pair(browser: Browser, party: Party) -> dict:
    """Tokens of a device that `browser` lets in."""
    party.start(scope="led:read led:write")
    done = party.follow(pin=issue_pin(browser, party.name))
    return party.redeem(done.json()["authorization_code"]).json()


def claims(tokens: dict) -> dict:
    return jwt.decode(tokens["access_token"], options={"verify_signature": False})


def account_id(browser: Browser) -> str:
    return claims(pair(browser, Party(browser.server)))["sub"]


# Who waits, and letting in


def test_a_waiting_device_is_shown_with_its_words_its_scopes_and_where_they_count(server, ada):
    party = Party(server)
    words = party.start(scope="led:read led:write").json()["binding_word"]
    assert card(ada, party.name)
    shown = ada.text
    assert words in shown and party.device in shown and "led:read led:write at " + running.RESOURCE in shown


def test_a_pin_is_shown_once_in_threes_and_lets_the_device_in_as_its_issuer_s(server, ada):
    party = Party(server)
    words = party.start().json()["binding_word"]
    pin = issue_pin(ada, party.name)
    assert words in ada.text and f"{pin[:3]} {pin[3:6]} {pin[6:]}" in ada.text and "10 minutes" in ada.text
    session = re.search(r"/waiting/([0-9a-f]+)", ada.page.text)[1]
    assert pin not in ada.get("/").text and "PIN issued" in ada.text and pin not in ada.get(f"/waiting/{session}").text
    tokens = party.redeem(party.follow(pin=pin).json()["authorization_code"]).json()
    assert claims(tokens)["device_id"] == party.device
    assert re.fullmatch("ac-[0-9a-f]{16}", claims(tokens)["sub"])
    assert "It is paired" in ada.get(f"/waiting/{session}").text
    assert "Has access" in ada.get(f"/devices/{party.device}").text
    assert card(ada, party.name) is None


def test_a_refused_device_hears_no_and_is_gone_from_the_list(server, ada):
    party = Party(server)
    party.start()
    session = card(ada, party.name)
    pin = issue_pin(ada, party.name)
    card(ada, party.name)
    assert "Refused" in ada.send(f"/waiting/{session}/refuse").text
    assert party.follow(pin=pin).json()["error"] == "access_denied"
    assert party.follow().json()["error"] == "access_denied"
    assert party.post("challenge", party.first_fields()).json()["error"] == "access_denied"
    assert card(ada, party.name) is None
    assert ada.get(f"/waiting/{session}").status_code == 200 and "It was refused" in ada.text
    again = Party(server, device=party.device)
    assert again.start().status_code == 403 and card(ada, again.name)


def test_whoever_issues_the_pin_has_the_device_and_others_see_it_no_more(server, ada, grace):
    party = Party(server)
    party.start()
    session = card(grace, party.name)
    grace_form = grace.form(f"/waiting/{session}/pin")
    pin = issue_pin(ada, party.name)
    assert card(grace, party.name) is None
    assert grace.post(f"/waiting/{session}/pin", grace_form).status_code == 404
    assert grace.post(f"/waiting/{session}/refuse", grace_form).status_code == 404
    assert "does not wait any more" in grace.get(f"/waiting/{session}").text
    assert party.follow(pin=pin).status_code == 200


def test_an_owned_device_asks_its_owner_alone(server, ada, grace):
    party = Party(server)
    first = pair(ada, party)
    again = Party(server, device=party.device)
    again.start()
    assert card(grace, again.name) is None
    assert grace.get(f"/devices/{party.device}").status_code == 404
    second = again.redeem(again.follow(pin=issue_pin(ada, again.name)).json()["authorization_code"]).json()
    assert claims(second)["sub"] == claims(first)["sub"]


def test_the_operator_s_pin_leaves_the_owner_as_it_is(server, ada):
    party = Party(server)
    tokens = pair(ada, party)
    again = Party(server, device=party.device)
    assert claims(again.earn_tokens())["sub"] == claims(tokens)["sub"]
    unowned = Party(server)
    assert claims(unowned.earn_tokens())["sub"] == unowned.device


def test_an_operator_s_pin_after_an_owner_s_takes_its_place_and_makes_nobody_an_owner(server, ada):
    party = Party(server)
    party.start()
    void = issue_pin(ada, party.name)
    pin = server.issue_pin(party.device)
    assert party.follow(pin=void).status_code == 403
    tokens = party.redeem(party.follow(pin=pin).json()["authorization_code"]).json()
    assert claims(tokens)["sub"] == party.device
    assert ada.get(f"/devices/{party.device}").status_code == 404


def test_a_pin_in_advance_makes_the_device_its_issuer_s_and_nobody_may_issue_one_for_a_stranger_s_device(server, ada, grace):
    party = Party(server)
    ada.get("/")
    page = ada.send("/installer", device=party.device)
    pin = re.search(r'class="unseen">([0-9 ]{17})<', page.text)[1].replace(" ", "")
    assert "1 day" in ada.text
    party.start()
    assert party.follow(pin=pin).status_code == 200
    assert ada.get(f"/devices/{party.device}").status_code == 200
    grace.get("/")
    assert grace.send("/installer", device=party.device).status_code == 409
    grace.get("/")
    assert grace.send("/installer", device="no such id").status_code == 400


def test_what_an_application_gets_in_one_s_name_is_on_the_account_page_and_can_be_taken_away(server, ada):
    app = Party(server, client=running.APP)
    app.start()
    assert "not proved" in (card(ada, app.name) and ada.text)  # type: ignore[operator]
    tokens = app.redeem(app.follow(pin=issue_pin(ada, app.name)).json()["authorization_code"]).json()
    assert claims(tokens)["sub"] == account_id(ada) and "device_id" not in claims(tokens)
    page = ada.get("/account").text
    assert running.APP in page
    ada.send(re.search(r"/account/applications/[0-9a-f]+/revoke", page)[0])
    assert running.APP not in ada.text
    assert app.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"


# What one owns


def test_a_device_gets_a_name_and_a_place_and_shows_them_when_it_asks_again(server, ada):
    party = Party(server)
    pair(ada, party)
    ada.get(f"/devices/{party.device}")
    ada.send(f"/devices/{party.device}/describe", name=" Kitchen \u202edoor ", place="<b>ground floor</b>")
    assert "<h1>Kitchen door</h1>" in ada.page.text and "<b>" not in ada.page.text
    again = Party(server, device=party.device)
    again.start()
    ada.get("/")
    assert "Kitchen door" in ada.text and "&lt;b&gt;ground floor" in ada.page.text


def test_the_list_says_what_a_device_may_and_when_it_was_seen(server, ada):
    party = Party(server)
    pair(ada, party)
    ada.get("/")
    row = re.search(rf'<a href="/devices/{party.device}">(.*?)</a>', ada.page.text, re.S)[1]
    assert "led:read led:write" in row and re.search("seen (just now|[0-9])", row) and "Has access" in row


def test_revoked_a_device_holds_nothing_and_stays_its_owner_s(server, ada, grace):
    party = Party(server)
    tokens = pair(ada, party)
    ada.get(f"/devices/{party.device}")
    assert "No access" in ada.send(f"/devices/{party.device}/revoke").text
    assert party.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert party.follow().json()["error"] == "invalid_session"  # which would have given a fresh code
    again = Party(server, device=party.device)
    again.start()
    assert card(grace, again.name) is None and card(ada, again.name)


def test_an_unredeemed_code_ends_with_a_revocation_too(server, ada):
    party = Party(server)
    party.start()
    code = party.follow(pin=issue_pin(ada, party.name)).json()["authorization_code"]
    ada.get(f"/devices/{party.device}")
    ada.send(f"/devices/{party.device}/revoke")
    assert party.redeem(code).json()["error"] == "invalid_grant"


def test_what_was_approved_and_not_fetched_yet_ends_with_a_revocation_too(server, ada):
    party = Party(server)
    wanted = {"scope": "led:read", "resource": running.RESOURCE, "device_id": party.device}
    shown = party.post("device_authorization", wanted).json()
    ada.get("/device")
    ada.send("/device", user_code=shown["user_code"])
    ada.send("/device", decision="allow")
    ada.get(f"/devices/{party.device}")
    ada.send(f"/devices/{party.device}/unpair")
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": shown["device_code"]}
    assert party.post("token", grant).json()["error"] == "expired_token"


def test_unpaired_a_device_is_anybody_s_again(server, ada, grace):
    party = Party(server)
    tokens = pair(ada, party)
    ada.get("/")
    ada.send("/installer", device=party.device)
    prepared = re.search(r'class="unseen">([0-9 ]{17})<', ada.page.text)[1].replace(" ", "")
    ada.get(f"/devices/{party.device}")
    ada.send(f"/devices/{party.device}/describe", name="Kitchen door")
    ada.send(f"/devices/{party.device}/unpair")
    assert ada.get(f"/devices/{party.device}").status_code == 404
    assert party.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    again = Party(server, device=party.device)
    again.start()
    assert again.follow(pin=prepared).status_code == 403
    assert card(grace, again.name) and "Kitchen door" not in grace.text
    second = again.redeem(again.follow(pin=issue_pin(grace, again.name)).json()["authorization_code"]).json()
    assert claims(second)["sub"] != claims(tokens)["sub"]


def test_a_device_goes_to_another_account_when_both_say_so(server, ada, grace):
    party = Party(server)
    tokens = pair(ada, party)
    here = f"/devices/{party.device}"
    ada.get(here)
    ada.send(here + "/offer", account="Grace.Console")
    assert "Offered to grace.console" in ada.text
    assert party.refresh(tokens["refresh_token"]).status_code == 200
    grace.get("/")
    assert "ada.console offers you this device" in grace.text
    grace.send(f"/offers/{party.device}/take")
    assert grace.get(here).status_code == 200 and ada.get(here).status_code == 404
    assert party.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    for browser, who in ((ada, "grace.console"), (grace, "You")):
        browser.get("/activity")
        assert f"{who} Taken over: {party.device}" in browser.text


def test_an_offer_can_be_withdrawn_or_declined_and_then_not_be_taken(server, ada, grace):
    party = Party(server)
    pair(ada, party)
    here = f"/devices/{party.device}"
    ada.get(here)
    ada.send(here + "/offer", account="grace.console")
    grace.get("/")
    taking = grace.form(f"/offers/{party.device}/take")
    ada.send(here + "/withdraw")
    assert grace.post(f"/offers/{party.device}/take", taking).status_code == 404
    ada.send(here + "/offer", account="grace.console")
    grace.get("/")
    grace.send(f"/offers/{party.device}/decline")
    assert grace.post(f"/offers/{party.device}/take", taking).status_code == 404
    assert "Name of the other account" in ada.get(here).text


def test_an_offer_tells_nobody_which_accounts_there_are(server, ada):
    pages = []
    party = Party(server)
    pair(ada, party)
    for name in ("grace.console", "nobody.at.all"):
        ada.get(f"/devices/{party.device}")
        if "Withdraw" in ada.text:
            ada.send(f"/devices/{party.device}/withdraw")
        pages.append(ada.send(f"/devices/{party.device}/offer", account=name).text.replace(name, "NAME"))
    assert re.sub(r"<time.*?</time>", "", pages[0]) == re.sub(r"<time.*?</time>", "", pages[1])
    ada.send(f"/devices/{party.device}/withdraw")
    assert ada.send(f"/devices/{party.device}/offer", account="ada.console").status_code == 400


def test_an_owner_unlocks_what_wrong_answers_have_locked(server, ada):
    party = Party(server)
    pair(ada, party)
    again = Party(server, device=party.device)
    again.start()
    pin = issue_pin(ada, again.name)
    for _ in range(5):
        again.follow(pin=wrong_pin(pin))
    assert "Locked" in ada.get(f"/devices/{party.device}").text
    ada.send(f"/devices/{party.device}/unlock")
    assert again.follow(pin=issue_pin(ada, again.name)).status_code == 200
    assert "Somebody at the device Locked after wrong answers: " + party.device in (ada.get("/activity") and ada.text)


@pytest.mark.parametrize("deed", ["describe", "revoke", "unpair", "unlock", "offer", "withdraw"])
def test_nobody_does_anything_to_a_stranger_s_device(server, ada, grace, deed):
    party = Party(server)
    tokens = pair(ada, party)
    grace.get("/")
    fields = grace.form("/installer") | {"name": "mine", "account": "somebody"}
    assert grace.post(f"/devices/{party.device}/{deed}", fields).status_code == 404
    assert ada.get(f"/devices/{party.device}").status_code == 200 and "mine" not in ada.text
    assert party.refresh(tokens["refresh_token"]).status_code == 200


@pytest.mark.parametrize("path", ["/", "/devices/lp-x", "/waiting/00", "/activity", "/account"])
def test_every_page_wants_an_account_first(server, path):
    stranger = Browser(server)
    assert stranger.get(path).url.path == "/sign-in"


def test_who_loses_the_way_is_told_in_the_words_that_they_read(server):
    page = server.http.get("/no/such/page", headers={"Accept": "text/html,*/*"})
    assert page.status_code == 404 and "There is no such page here." in page.text
    assert server.http.get("/no/such/page").json()["error"] == "invalid_request"


def test_every_deed_wants_an_account_and_a_form_of_ours(server, ada):
    deeds = ["/waiting/00/pin", "/waiting/00/refuse", "/installer", "/devices/x/revoke", "/offers/x/take", "/account/password"]
    stranger = Browser(server)
    stranger.get("/sign-in")
    for path in deeds:
        answer = stranger.post(path, stranger.form("/sign-in"))
        assert (answer.status_code, answer.headers["location"]) == (303, server.issuer + "/sign-in")
        assert ada.post(path, {"csrf": "x"}).status_code == 403


# The account


def test_a_password_is_changed_by_whoever_knows_it_and_signs_the_others_out(server):
    name = account(server, "barbara")
    one, other = Browser(server).sign_in(name), Browser(server).sign_in(name)
    new = "a new and longer password"
    one.get("/account")
    refused = ({"password": "not it", "new": new, "again": new}, {"password": PASSWORD, "new": new, "again": new + "?"})
    for fields in (*refused, {"password": PASSWORD, "new": "short", "again": "short"}):
        assert one.send("/account/password", **fields).status_code in (400, 403)
    assert one.send("/account/password", password=PASSWORD, new=new, again=new).status_code == 200
    assert "is changed" in one.text and one.get("/").url.path == "/"
    assert other.get("/").url.path == "/sign-in"
    Browser(server).sign_in(name, new)


# The log of who did what


def test_the_log_says_who_did_what_and_never_a_secret(tmp_path):
    with running.server(tmp_path) as own:
        browser = Browser(own).sign_in(account(own, "ada"))
        party = Party(own)
        party.start()
        pin = issue_pin(browser, party.name)
        done = party.follow(pin=pin).json()
        tokens = party.redeem(done["authorization_code"]).json()
        browser.get(f"/devices/{party.device}")
        browser.send(f"/devices/{party.device}/revoke")
        browser.get("/activity")
        said = [f"You PIN issued for {party.device}", f"You Paired {party.device}", f"You Access revoked: {party.device}"]
        assert all(line in browser.text for line in [*said, "You Signed in ada", "You Account created ada"])
        again = Party(own, device=party.device)
        again.start()
        prepared = own.issue_pin(party.device)
        browser.get("/activity")
        assert f"The operator PIN issued for {party.device}" in browser.text
        secrets = [pin, prepared, done["auth_session"], done["authorization_code"], tokens["refresh_token"], PASSWORD]
        stored = b"".join(path.read_bytes() for path in own.state.glob("state.sqlite*"))
        own.stop()
        for secret in secrets:
            assert secret not in browser.page.text and secret not in own.log and secret.encode() not in stored


def test_a_long_log_is_turned_page_by_page(server):
    browser = Browser(server).sign_in(account(server, "turner"))
    party = Party(server)
    pair(browser, party)
    for number in range(60):
        browser.get(f"/devices/{party.device}")
        browser.send(f"/devices/{party.device}/describe", name=f"Door {number}")
    browser.get("/activity")
    seen = browser.page.text.count("Renamed")
    older = re.search(r'href="(/activity\?before=[0-9]+)"', browser.page.text)[1]
    browser.get(older)
    assert seen == 50 and browser.page.text.count("Renamed") == 10 and "Account created" in browser.text
    assert browser.get("/activity?before=x").status_code == 200


# A code on the device's screen


def test_the_code_on_a_screen_lets_its_device_in_as_the_approver_s_and_no_other_code_does(tmp_path):
    with running.server(tmp_path, policy=[{"challenges": ["pairing_code"]}]) as own:
        one, other = (Browser(own).sign_in(account(own, name)) for name in ("ada", "grace"))
        party, second = Party(own), Party(own)
        code, foreign = party.start().json()["user_code"], second.start().json()["user_code"]
        session = card(one, party.name)
        for wrong in (foreign, "BBBBBBBB", ""):
            card(one, party.name)
            assert one.send(f"/waiting/{session}/approve", code=wrong).status_code == 400
        card(one, party.name)
        assert "Approved" in one.send(f"/waiting/{session}/approve", code=code.lower().replace("-", " ")).text
        assert card(other, party.name) is None
        tokens = party.redeem(party.follow().json()["authorization_code"]).json()
        assert one.get(f"/devices/{party.device}").status_code == 200 and claims(tokens)["sub"].startswith("ac-")
        session = card(other, second.name)
        for _ in range(10):
            card(other, second.name)
            assert other.send(f"/waiting/{session}/approve", code="BBBB-BBBB").status_code == 400
        card(other, second.name)
        assert other.send(f"/waiting/{session}/approve", code=foreign).status_code == 429
        assert second.follow().status_code == 403


def test_an_application_that_was_taken_off_the_account_page_has_to_ask_again(tmp_path):
    with running.server(tmp_path, clients=web.CLIENTS) as own:
        browser = Browser(own).sign_in(account(own, "ada"))
        fields, verifier = web.query()
        web.authorize(browser, fields)
        code = web.came_back(web.decide(browser))["code"]
        grant = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier, "redirect_uri": web.BACK}
        tokens = own.http.post("/token", data=grant, headers={"Authorization": basic(web.WEB, web.SECRET)}).json()
        assert "refresh_token" in tokens
        assert web.authorize(browser, web.query()[0]).status_code == 303  # without a question: it was allowed before
        page = browser.get("/account").text
        browser.send(re.search(r"/account/applications/[0-9a-f]+/revoke", page)[0])  # type: ignore[index]
        assert "asks to act in your name" in web.authorize(browser, web.query()[0]).text


def test_times_and_pins_are_said_as_people_say_them():
    said = [words.ago(0, seconds) for seconds in (59, 60, 7199, 86399, 2 * 86400)]
    assert said == ["just now", "1 minute ago", "1 hour ago", "23 hours ago", "2 days ago"]
    assert [words.span(seconds) for seconds in (1, 90, 600, 86400)] == ["1 second", "1 minute", "10 minutes", "1 day"]
    assert words.moment(1795424400) == '<time datetime="2026-11-23T09:00:00Z">23 Nov 2026, 09:00 UTC</time>'
    assert words.threes("096407021") == ["096", "407", "021"]
