"""Signing in at the console: the cookie, its end, forms of strangers, limits, and where a browser is sent afterwards.

Not what a signed-in person sees.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from tests.authorization_server import running
from tests.authorization_server.browsing import PASSWORD, Browser, account

COOKIE = "__Host-latchpin"


@pytest.fixture(scope="module")
def ada(server: running.Server) -> str:
    return account(server, "ada")


def test_signing_in_and_out(server, ada):
    browser = Browser(server).sign_in(ada)
    assert browser.page.url.path == "/" and ada in browser.text
    browser.send("/sign-out")
    assert browser.page.url.path == "/sign-in" and ada not in browser.text
    assert browser.get("/").url.path == "/sign-in"


def test_the_cookie_is_for_this_host_https_and_no_script(server, ada):
    browser = Browser(server)
    browser.get("/sign-in")
    answer = browser.post("/sign-in", browser.form("/sign-in") | {"name": ada, "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert re.fullmatch(r"__Host-latchpin=[A-Za-z0-9_-]{43}; HttpOnly; Path=/; SameSite=lax; Secure", cookie)


def test_a_cookie_from_before_is_not_the_one_that_is_signed_in(server, ada):
    browser = Browser(server)
    browser.get("/sign-in")
    before = browser.http.cookies[COOKIE]
    browser.send("/sign-in", name=ada, password=PASSWORD)
    after = browser.http.cookies[COOKIE]
    assert after != before
    assert server.http.get("/", headers={"Cookie": f"{COOKIE}={before}"}).status_code == 303


def test_signing_out_ends_the_cookie_wherever_it_was_copied_to(server, ada):
    browser = Browser(server).sign_in(ada)
    stolen = browser.http.cookies[COOKIE]
    browser.send("/sign-out")
    answer = server.http.get("/", headers={"Cookie": f"{COOKIE}={stolen}"})
    assert answer.status_code == 303


def test_the_database_knows_no_cookie_and_the_log_no_name_and_no_password(tmp_path):
    with running.server(tmp_path) as own:
        browser = Browser(own).sign_in(account(own, "canary-name"))
        browser.get("/sign-in")
        Browser(own).get("/sign-in")
        cookie = browser.http.cookies[COOKIE].encode()
        stored = b"".join(path.read_bytes() for path in own.state.glob("state.sqlite*"))
        own.stop()
        assert cookie not in stored and PASSWORD.encode() not in stored
        assert PASSWORD not in own.log and "canary-name" not in own.log and cookie.decode() not in own.log
        assert [event["outcome"] for event in own.events("sign_in")] == ["signed_in"]


def test_a_wrong_password_and_an_unknown_name_get_the_same_page(server, ada):
    pages = []
    for name in (ada, "nil"):
        browser = Browser(server)
        browser.get("/sign-in")
        answer = browser.send("/sign-in", name=name, password="something else")
        assert answer.status_code == 403
        pages.append(re.sub(r'name="csrf" value="[0-9a-f]+"', "", answer.text).replace(f'value="{name}"', ""))
    assert pages[0] == pages[1]


def test_ten_wrong_passwords_close_a_name_for_a_while_known_or_not(server):
    name = account(server, "grace")
    for tried in (name, "nobody-at-all"):
        browser = Browser(server)
        browser.get("/sign-in")
        form = browser.form("/sign-in") | {"name": tried, "password": "something else"}
        with ThreadPoolExecutor(4) as pool:
            tries = list(pool.map(lambda _, form=form, browser=browser: browser.post("/sign-in", form), range(14)))
        assert sorted(answer.status_code for answer in tries) == [403] * 10 + [429] * 4
        answer = browser.post("/sign-in", form | {"password": PASSWORD})
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0


def test_a_right_password_clears_the_count(server):
    name = account(server, "edsger")
    browser = Browser(server)
    for _ in range(2):
        browser.get("/sign-in")
        form = browser.form("/sign-in") | {"name": name}
        assert {browser.post("/sign-in", form | {"password": "something else"}).status_code for _ in range(9)} == {403}
        assert browser.post("/sign-in", form | {"password": PASSWORD}).status_code == 303
        browser.get("/")
        browser.send("/sign-out")


# Forms of strangers (CSRF)


@pytest.mark.parametrize("field", ["", "0" * 64, None])
def test_a_form_without_its_field_is_refused_before_and_after_signing_in(server, ada, field):
    for browser, action in ((Browser(server), "/sign-in"), (Browser(server).sign_in(ada), "/sign-out")):
        browser.get("/sign-in")
        fields = {"name": ada, "password": PASSWORD} | ({} if field is None else {"csrf": field})
        answer = browser.post(action, fields)
        assert answer.status_code == 403 and "out of date" in answer.text


def test_a_form_of_another_browser_is_refused(server, ada):
    one, other = Browser(server), Browser(server)
    one.get("/sign-in"), other.get("/sign-in")
    answer = one.post("/sign-in", other.form("/sign-in") | {"name": ada, "password": PASSWORD})
    assert answer.status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost"])
def test_a_form_that_comes_from_another_origin_is_refused(server, ada, origin):
    browser = Browser(server)
    browser.get("/sign-in")
    answer = browser.post("/sign-in", browser.form("/sign-in") | {"name": ada, "password": PASSWORD}, Origin=origin)
    assert answer.status_code == 403


def test_a_form_that_cannot_be_read_is_refused_with_a_page(server):
    answer = server.http.post("/sign-in", content=b"%zz", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 400 and "text/html" in answer.headers["content-type"]


# Where to (open redirects)


def test_after_signing_in_the_browser_is_where_it_wanted_to_be(server, ada):
    browser = Browser(server)
    browser.get("/?before=5&x=a%20b")
    assert browser.page.url.path == "/sign-in"
    answer = browser.post("/sign-in", browser.form("/sign-in") | {"name": ada, "password": PASSWORD})
    assert answer.headers["location"] == server.issuer + "/?before=5&x=a%20b"


ELSEWHERE = ("https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "evil")


@pytest.mark.parametrize("back", [*ELSEWHERE, "/\t/evil.example", "/x\r\nSet-Cookie: a=b", "/\u00e4", "", "/" + "a" * 5000])
def test_a_browser_is_never_sent_to_another_site(server, ada, back):
    browser = Browser(server)
    browser.get("/sign-in?next=" + quote(back))
    answer = browser.post("/sign-in", browser.form("/sign-in") | {"name": ada, "password": PASSWORD, "next": back})
    assert (answer.status_code, answer.headers["location"]) == (303, server.issuer + "/")
    browser.get("/")
    answer = browser.http.get("/sign-in?next=" + quote(back))
    assert answer.headers["location"] == server.issuer + "/"


# Headers


def test_every_page_is_closed_to_scripts_frames_and_caches_of_others(server, ada):
    browser = Browser(server)
    for page in (browser.get("/sign-in"), browser.sign_in(ada).page, browser.post("/sign-out", {})):
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
        assert "form-action 'self'" in policy and "unsafe" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "same-origin"
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"<script>|<style|style=|onclick=", page.text)
    for link in set(re.findall(r'(?:src|href)="(/static/[^"]+)"', browser.get("/sign-in").text)):
        answer = server.http.get(link)
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
    assert server.http.get("/static/..%2fpage.py").status_code == 404


def test_a_site_behind_a_path_keeps_its_pages_below_it(tmp_path):
    with running.server(tmp_path, issuer="https://localhost:PORT/auth") as own:
        name = account(own, "ada")
        origin = own.issuer.removesuffix("/auth")
        browser = Browser(own)
        browser.http.base_url = origin
        browser.get("/auth/")
        assert browser.page.url.path == "/auth/sign-in"
        form = browser.form("/auth/sign-in") | {"name": name, "password": PASSWORD}
        answer = browser.post("/auth/sign-in", form, Origin=origin)
        assert answer.headers["location"] == own.issuer + "/"
        answer = browser.http.get("/auth/sign-in?next=/outside")
        assert answer.headers["location"] == own.issuer + "/"
