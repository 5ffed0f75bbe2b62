"""The console in real Chromium: by keyboard, on a phone and a desktop, light and dark, with and without JavaScript.

Pictures of every page are left in test-artefacts/. What the deeds do is in test_console.py.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, expect

from tests.authorization_server import chromium, running, web
from tests.authorization_server.browsing import PASSWORD, account
from tests.authorization_server.parties import Party, wrong_pin

pytestmark = pytest.mark.chromium
AXE = Path(__file__).parents[1] / "peers" / "node_modules" / "axe-core" / "axe.min.js"
POLICY = [{"scope": "led:write", "challenges": ["pairing_code"]}, {"challenges": ["pin"]}]

expect.set_options(timeout=chromium.PATIENCE_MS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Server]:
    chromium.executable()
    with running.server(tmp_path_factory.mktemp("as"), policy=POLICY, clients=web.CLIENTS) as server:
        account(server, "ada")
        yield server


@pytest.fixture(scope="module")
def browser(site: running.Server) -> Iterator[Browser]:
    with chromium.launched(site.folder / "as.pem") as launched:
        yield launched


def opened(browser: Browser, site: running.Server, **options: Any) -> BrowserContext:
    """A browser of its own, with its own cookies."""
    context = browser.new_context(base_url=site.issuer, **({"viewport": chromium.DESKTOP} | options))
    context.set_default_timeout(chromium.PATIENCE_MS)
    return context


def sign_in(context: BrowserContext, name: str = "ada") -> Page:
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()
    return page


def card(page: Page, party: Party):
    return page.get_by_role("article", name=party.name)


def shown_pin(page: Page) -> str:
    return "".join(page.locator(".pin span[aria-hidden]").all_inner_texts())


def test_a_device_that_asks_appears_by_itself_and_its_pin_counts_down_until_it_is_paired(site, browser):
    with opened(browser, site) as context:
        page = sign_in(context)
        party = Party(site)
        words = party.start().json()["binding_word"]
        expect(card(page, party)).to_contain_text(words)
        card(page, party).get_by_role("button", name="Issue a PIN").click()
        expect(page.locator(".countdown")).to_have_text(re.compile("Good once, for (10|[0-9]):[0-5][0-9]"))
        pin = shown_pin(page)
        assert re.fullmatch("[0-9]{9}", pin)
        assert party.follow(pin=pin).status_code == 200
        expect(page.get_by_text("It is paired.")).to_be_visible()
        page.get_by_role("link", name="Give it a name").click()
        expect(page.get_by_role("heading", name=party.device)).to_be_visible()


def test_a_pin_is_gone_from_the_page_when_its_time_is_over_and_when_the_page_is_left(site, browser):
    with opened(browser, site) as context:
        party = Party(site)
        party.start()
        page = sign_in(context)
        page.clock.install()
        card(page, party).get_by_role("button", name="Issue a PIN").click()
        expect(page.locator(".pin")).to_be_visible()
        page.clock.run_for(300_000)
        expect(page.locator(".countdown")).to_have_text(re.compile("Good once, for ([0-4]:[0-5][0-9]|5:00)"))
        page.clock.run_for(301_000)
        expect(page.get_by_text("not good any more")).to_be_visible()
        expect(page.locator(".pin")).to_have_count(0)
        page.goto("/")
        card(page, party).get_by_role("button").first.click()
        expect(page.locator(".pin")).to_be_visible()
        page.get_by_role("link", name="Done").click()
        with contextlib.suppress(Error):  # the answer to a form is not asked for again by itself
            page.go_back()
        expect(page.locator(".pin")).to_have_count(0)


def test_the_code_on_a_screen_is_typed_to_approve_its_device(site, browser):
    with opened(browser, site) as context:
        party = Party(site)
        code = party.start(scope="led:write").json()["user_code"]
        page = sign_in(context)
        card(page, party).get_by_label("Code on its screen").fill("BBBB-BBBB")
        card(page, party).get_by_role("button", name="Approve").click()
        expect(page.get_by_role("alert")).to_contain_text("another code")
        page.goto("/")
        card(page, party).get_by_label("Code on its screen").fill(code.lower())
        card(page, party).get_by_role("button", name="Approve").click()
        expect(page.get_by_text("Approved.")).to_be_visible()
        assert party.follow().status_code == 200
        expect(page.get_by_text("It is paired.")).to_be_visible()


def test_everything_can_be_reached_and_done_by_keyboard(site, browser):
    with opened(browser, site) as context:
        party = Party(site)
        party.start()
        page = context.new_page()
        page.goto("/")
        expect(page.get_by_label("Name")).to_be_focused()
        page.keyboard.type("ada")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        wanted = card(page, party).get_by_role("button", name="Issue a PIN")
        for _ in range(50):
            page.keyboard.press("Tab")
            if wanted.evaluate("element => element === document.activeElement"):
                break
        outline = wanted.evaluate("element => getComputedStyle(element).outlineStyle + getComputedStyle(element).outlineWidth")
        assert outline == "solid3px"
        page.keyboard.press("Enter")
        expect(page.locator(".pin")).to_be_visible()


def test_without_javascript_everything_works_but_the_ticking(site, browser):
    with opened(browser, site, java_script_enabled=False) as context:
        party = Party(site)
        party.start()
        page = sign_in(context)
        card(page, party).get_by_role("button", name="Issue a PIN").click()
        expect(page.get_by_text("Good once, for 10 minutes")).to_be_visible()
        assert party.follow(pin=shown_pin(page)).status_code == 200
        page.get_by_role("link", name="Is it paired?").click()
        page.get_by_role("link", name="Give it a name").click()
        page.get_by_label("Name", exact=True).fill("Shed")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name="Shed")).to_be_visible()
        page.get_by_text("Unpair", exact=True).first.click()
        page.get_by_role("button", name="Unpair").click()
        expect(page.get_by_role("status").filter(has_text="Unpaired")).to_be_visible()


def test_no_other_page_frames_it(site, browser):
    with opened(browser, site) as context:
        page = context.new_page()
        page.set_content(f'<iframe src="{site.issuer}/sign-in"></iframe>')
        frame = page.frames[1]
        frame.wait_for_url("chrome-error://**")
        assert frame.get_by_label("Password").count() == 0


@pytest.fixture(scope="module")
def paths(site: running.Server, browser: Browser) -> dict[str, str]:
    """Accounts and devices in every state that a page has; the path of each page by its name."""
    grace, ada = account(site, "grace"), "ada"
    parties = {name: Party(site, device=f"lp-{name}") for name in ("7f3k2m", "q4w8zt", "n5c6rb", "m2x7ya")}
    with opened(browser, site) as context:
        page = sign_in(context, grace)
        for party in parties.values():
            party.start()
            page.goto("/")
            card(page, party).get_by_role("button", name="Issue").click()
            party.redeem(party.follow(pin=shown_pin(page)).json()["authorization_code"])
        for device, name, place in (("7f3k2m", "Kitchen door", "Kitchen, ground floor"), ("q4w8zt", "Garage light", "Garage")):
            page.goto(f"/devices/lp-{device}")
            page.get_by_label("Name", exact=True).fill(name)
            page.get_by_label("Place", exact=True).fill(place)
            page.get_by_role("button", name="Save").click()
        page.goto("/devices/lp-q4w8zt")
        page.get_by_text("Hand over").click()
        page.get_by_label("Name of the other account").fill(ada)
        page.get_by_role("button", name="Offer it").click()
        locked = Party(site, device="lp-n5c6rb")
        locked.start()
        page.goto("/")
        card(page, locked).get_by_role("button", name="Issue").click()
        pin = shown_pin(page)
        for _ in range(5):
            locked.follow(pin=wrong_pin(pin))
        page.goto("/devices/lp-m2x7ya")
        page.get_by_text("Revoke access").first.click()
        page.get_by_role("button", name="Revoke access").click()
    waits, asks_code, app = Party(site, device="lp-9x2c4v"), Party(site, device="lp-h8d5sg"), Party(site, client=running.APP)
    waits.start(), asks_code.start(scope="led:write led:read"), app.start()
    wanted = {"scope": "led:read", "resource": running.RESOURCE, "device_id": "lp-b3j6kd"}
    grant = Party(site).post("device_authorization", wanted).json()
    return {
        "consent": "/authorize?" + urlencode(web.query()[0]),
        "device-code": f"/device?user_code={grant['user_code']}",
        "devices": "/",
        "device": "/devices/lp-7f3k2m",
        "device-offered": "/devices/lp-q4w8zt",
        "device-locked": "/devices/lp-n5c6rb?done=revoked",
        "activity": "/activity",
        "account": "/account",
        "refused": "/devices/lp-nobody",
    }


@pytest.mark.parametrize(
    ("screen", "viewport", "scheme"), [("phone", chromium.PHONE, "light"), ("desktop", chromium.DESKTOP, "dark")]
)
def test_every_page_is_accessible_fits_its_screen_breaks_no_policy_and_is_pictured(
    site, browser, paths, screen, viewport, scheme
):
    if not AXE.exists():
        pytest.skip("no axe-core: npm install in tests/peers")
    script, complaints = AXE.read_text(encoding="utf-8"), []
    violations = "async () => (await axe.run()).violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' '))"

    def look(page: Page, name: str) -> None:
        chromium.picture(page, f"console-{name}-{screen}-{scheme}")
        page.evaluate(script)
        complaints.extend(f"{name}: {violation}" for violation in page.evaluate(violations))
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            complaints.append(f"{name}: wider than its screen")

    def heard(said: ConsoleMessage) -> None:
        if said.type == "error" and "404 (Not Found)" not in said.text:  # the page of a refusal is one
            complaints.append(said.text)

    with opened(browser, site, viewport=viewport, color_scheme=scheme) as context:
        context.on("console", heard)
        page = context.new_page()
        page.goto("/sign-in")
        look(page, "sign-in")
        page.close()
        page = sign_in(context, "grace")
        for name, path in paths.items():
            page.goto(path)
            for details in page.locator("details:not([open]) > summary").all()[::-1] if name == "device" else []:
                details.click()
            look(page, name)
            if name == "device-code":
                page.get_by_role("button", name="Continue").click()
                look(page, "device-compare")
        page.goto("/")
        card(page, Party(site, device="lp-9x2c4v")).get_by_role("button", name="PIN").click()
        look(page, "pin")
    with opened(browser, site, viewport=viewport, color_scheme=scheme) as context:
        look(sign_in(context), "devices-offered")
    assert complaints == []
