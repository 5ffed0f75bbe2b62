"""What a person reads: a title and the next step for every code.

Not for decisions: which code is shown when stands in authorization.py.
"""

# code: (title, text). A text may take what `{}` names; titles fit a display of 16 columns.
TEXTS = {
    "offline": ("Offline", "no broker ({}), trying again in {} s"),
    "connecting": ("Connecting", "to the bridge"),
    "refused": ("Not accepted", "the bridge refused this device: is it enrolled with this key? trying again in {} s"),
    "silent": ("No answer", "the bridge does not answer, trying again in {} s"),
    "asking": ("One moment", "asking the authorization server"),
    "waiting": ("PIN?", "{}; word: {}"),
    "typo": ("Typing error", "that is not a PIN: the check digit is wrong. No attempt was spent, type it again"),
    "short": ("Too short", "go on typing, then press #"),
    "wrong_answer": ("Wrong", "{} tries left, type it again"),
    "expired": ("Expired", "ask for a new PIN and type it"),
    "locked": ("Locked", "until the authorization server says otherwise: call whoever issues the PINs"),
    "invalid_session": ("Start again", "this pairing ran out: ask for a new PIN"),
    "try_later": ("Busy", "the authorization server cannot be reached, trying again in {} s"),
    "denied": ("Denied", "the owner said no. Press # to ask again"),
    "needs_browser": ("Needs browser", "this server wants a browser, which this device has not. Press # to try again"),
    "not_first_party": ("Not admitted", "the server does not know this client: its operator must add it. Press # to try again"),
    "unknown_device": ("Not known", "the server does not know this device: enrol it, then press #"),
    "invalid": ("Refused", "the server found the request wrong: see the bridge's log. Press # to try again"),
    "internal": ("Failed", "the bridge or the server failed: see the bridge's log. Press # to try again"),
    "invalid_grant": ("Revoked", "access was taken away: pairing again"),
    "bearer_only": (
        "Unsafe server",
        "it offers no DPoP; settings.json allows no bearer tokens (allow_bearer). Press # to try again",
    ),
    "ready": ("Ready", "holding a token. Press # to call the tool"),
    "calling": ("Calling", "{}"),
    "answer": ("Answer", "{}"),
    "mcp_refused": ("MCP refused", "the MCP server answered {}: see its log. Press # to try again"),
    "mcp_failed": ("MCP failed", "no answer from the MCP server ({}). Press # to try again"),
}


def text(code: str, *values) -> tuple[str, str]:
    """(title, text) of a code with its values filled in."""
    title, template = TEXTS[code]
    return title, template.format(*[_printable(str(value)) for value in values])


def _printable(value):
    # What came from outside must not drive the terminal.
    return "".join([character if " " <= character != "\x7f" else " " for character in value])
