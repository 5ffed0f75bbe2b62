"""Who sits at a browser: the cookie, who is signed in behind it, and the proof that a form is one of our own pages'.

Not for pages: account_pages.py asks for the password. The cookie is random; only its keyed hash is stored.

One cookie for a browser, before and after signing in: a form's CSRF field is its keyed hash, so that the sign-in form is
guarded like any other. Signing in and out replace it.
"""

import hmac
import re
import secrets
from collections.abc import Mapping
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from host_sim.authorization_server.console.refused import Refused
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.storage import Account, SignIn, Transaction

COOKIE = "__Host-latchpin"
CSRF_FIELD = "csrf"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]{0,4095}")  # printable ASCII without the backslash
_SEEN_EVERY_S = 60
_OUT_OF_DATE = "This form is out of date, or it did not come from this site. Go back, load the page again, then send it."


def services_of(request: Request) -> Services:
    return request.app.state.services


def signed_in(request: Request) -> Account | None:
    """Who is signed in at this browser."""
    found = _found(request)
    return found[0] if found else None


def signed_in_since(request: Request) -> int | None:
    """When the password was last asked for in this browser, in epoch seconds: `auth_time`."""
    found = _found(request)
    return found[1].created if found else None


def require_account(request: Request) -> Account | Response:
    """Who is signed in, or where to send the browser to sign in first; from a GET it comes back here."""
    account = signed_in(request)
    if account is not None:
        return account
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    where = f"?next={quote(back, safe='/')}" if request.method == "GET" and back != at(request, "/") else ""
    return redirect(request, at(request, "/sign-in") + where)


def at(request: Request, path: str) -> str:
    """`path` as it stands below the issuer's own path."""
    return services_of(request).settings.base_path + path


def redirect(request: Request, path: str | None) -> RedirectResponse:
    """To a path of this site, whoever named it; to the first page where it is none (CWE-601)."""
    settings = services_of(request).settings
    if path is None or not _LOCAL.fullmatch(path) or not path.startswith(settings.base_path + "/"):
        path = settings.base_path + "/"
    return RedirectResponse(settings.origin + path, 303)


def csrf_field(request: Request) -> Markup:
    """The hidden field that every form of ours has."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, _csrf(request, _token(request)))


def check_csrf(request: Request, form: Mapping[str, str]) -> None:
    """Raises Refused: this form was not made by a page of ours for this browser."""
    origin = request.headers.get("origin", services_of(request).settings.origin)
    cookie = request.cookies.get(COOKIE, "")
    expected = _csrf(request, cookie).encode()
    right = hmac.compare_digest(form.get(CSRF_FIELD, "").encode("utf-8", "surrogatepass"), expected)
    if not _TOKEN.fullmatch(cookie) or not right or origin != services_of(request).settings.origin:
        raise Refused(403, _OUT_OF_DATE)


def start(request: Request, response: Response, transaction: Transaction, account: Account, now_s: int) -> None:
    """From now on `account` is signed in at this browser. Its cookie is a new one (session fixation, CWE-384)."""
    end(request, transaction)
    settings = services_of(request).settings
    token = secrets.token_urlsafe(32)
    transaction.add_sign_in(SignIn(_digest(request, token), account.id, now_s, now_s, now_s + settings.sign_in_ttl_s))
    _set_cookie(response, token)


def end(request: Request, transaction: Transaction) -> None:
    """Whoever was signed in at this browser is not any more."""
    transaction.end_sign_in(_digest(request, request.cookies.get(COOKIE, "")))


def forget_cookie(response: Response) -> None:
    response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="lax")


def this_sign_in(request: Request) -> bytes:
    """The digest by which this browser's sign-in is stored."""
    return _digest(request, request.cookies.get(COOKIE, ""))


def keep_cookie(request: Request, response: Response) -> None:
    """Gives the browser the cookie that a form of this page was made for, where it has none yet."""
    if hasattr(request.state, "new_token"):
        _set_cookie(response, request.state.new_token)


def _found(request: Request) -> tuple[Account, SignIn] | None:
    if not hasattr(request.state, "found"):
        request.state.found = _look_up(request)
    return request.state.found


def _look_up(request: Request) -> tuple[Account, SignIn] | None:
    token = request.cookies.get(COOKIE, "")
    if not _TOKEN.fullmatch(token):
        return None
    services = services_of(request)
    now_s, digest = services.now_s(), _digest(request, token)
    with services.storage.transaction() as transaction:
        sign_in = transaction.sign_in(digest)
        if sign_in is None or sign_in.expires <= now_s or sign_in.seen + services.settings.sign_in_idle_s <= now_s:
            return None
        if now_s - sign_in.seen >= _SEEN_EVERY_S:
            transaction.see_sign_in(digest, now_s)
        account = transaction.account(sign_in.account)
        return (account, sign_in) if account else None


def _token(request: Request) -> str:
    """The browser's cookie, or a new one that `keep_cookie` gives it with the answer."""
    token = request.cookies.get(COOKIE, "")
    if _TOKEN.fullmatch(token):
        return token
    if not hasattr(request.state, "new_token"):
        request.state.new_token = secrets.token_urlsafe(32)
    return request.state.new_token


def _csrf(request: Request, token: str) -> str:
    return services_of(request).keys.keyed_hash("csrf", token).hex()


def _digest(request: Request, token: str) -> bytes:
    return services_of(request).keys.keyed_hash("sign-in", token)


def _set_cookie(response: Response, token: str) -> None:
    # RFC 6265bis, section 4.1.3.2: __Host- wants Secure, Path=/ and no Domain. It ends with the browser.
    response.set_cookie(COOKIE, token, secure=True, httponly=True, samesite="lax", path="/")
