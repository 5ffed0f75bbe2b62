"""What a person reads: a title and the next step for every code.

Not for decisions: which code is shown when stands in authorization.py.
"""

# code|title|text. `{}` takes a value. At the end "@" stands for code, step and request id, which the bridge's log names too, and
# "#" for the key that tries again. Titles fit a display of 16 columns. One text, for the bytes.
TEXTS = """
offline|Offline|no broker ({}), again in {} s
connecting|Connecting|to the bridge
refused|Not accepted|by the bridge: is this key enrolled? Again in {} s@
silence|No answer|from the bridge, again in {} s@
asking|One moment|asking the server
waiting|PIN?|{}; until {} UTC
user_code|Enter the code|{} at {}; until {} UTC
typo|Typing error|wrong check digit. No attempt was spent, type it again
short|Too short|go on typing; # ends it
wrong_answer|Wrong|{} tries left, type it again@
expired|Expired|ask for a new PIN and type it@
locked|Locked|until {1} UTC: ask who issues PINs. # looks sooner@
invalid_session|Start again|ran out: ask for a new PIN@
try_later|Busy|the server cannot be reached, again in {} s@
denied|Denied|the owner said no@#
needs_browser|Needs browser|the server wants one, none here@#
not_first_party|Not admitted|client not on the server's list@#
unknown_device|Not known|enrol it at the server@#
invalid|Refused|a wrong request: see the bridge's log@#
internal|Failed|bridge or server: see the bridge's log@#
invalid_grant|Revoked|access taken away, or handed on: pairing again@
step_up|More is asked|by the MCP server@
unpaired|Unpaired|free for its next owner
sure|Unpair?|# frees it, another key does not
sure_reset|Factory reset?|# does it, another key does not
bearer_only|Unsafe server|no DPoP, and settings.json lacks allow_bearer#
ready|Ready|holding a token. # calls the tool
calling|Calling|{}
answer|Answer|{}
mcp_refused|MCP refused|the MCP server answered {}: see its log@#
mcp_failed|MCP failed|no answer from it ({})@#
"""


def text(code: str, step: str | None, request_id: str | None, *values) -> tuple[str, str]:
    """(title, text) of a code with its values filled in. step: what was asked last, by its name on the wire."""
    if ("\n" + code + "|") not in TEXTS:
        code = "internal"
    at = TEXTS.find("\n" + code + "|") + len(code) + 2
    title, template = TEXTS[at : TEXTS.find("\n", at)].split("|")
    ending = ""
    if template[-1] == "#":
        template = template[:-1]
        ending = ". # tries again"
    if template[-1] == "@":
        template = template[:-1]
        ending += " [" + code + " " + step + " " + request_id + "]" if step and request_id else ""
    return title, template.format(*[_printable(str(value)) for value in values]) + ending


def _printable(value):
    # What came from outside must not drive the terminal.
    raw = bytearray(value.encode())
    for at, byte in enumerate(raw):
        if byte < 32 or byte == 127:
            raw[at] = 32
    return " ".join(str(raw, "utf-8").split())
