"""Real Chromium, driven by Playwright: Debian's browser, no download, trusting the one certificate of a test's server.

Not a test. Screenshots go to test-artefacts/, which git ignores.
"""

import base64
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, sync_playwright

ARTEFACTS = Path(__file__).parents[2] / "test-artefacts"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
PATIENCE_MS = 60_000  # only a hang takes so long


def executable() -> str:
    """The path of Chromium, or a skip that says how to get it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    return found


@contextmanager
def launched(certificate: Path) -> Iterator[Browser]:
    """A browser for which this server certificate (PEM) is good, and no other that it would not trust anyway."""
    public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    pin = base64.b64encode(hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()).decode()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable(), args=[f"--ignore-certificate-errors-spki-list={pin}"], timeout=PATIENCE_MS
        )
        try:
            yield browser
        finally:
            browser.close()


def picture(page: Page, name: str) -> None:
    """A screenshot of the whole page, kept for people to look at."""
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)
