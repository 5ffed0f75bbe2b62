"""One MCP call as the POSTs that it takes: one in 2026-07-28, a handshake before it in 2025-11-25 and earlier.

Not for sending, nor for reading answers (answer.py), and no object: a call is a list of plain values, so that this module can
leave a small heap between two pieces of an answer.

`server` is what is known of the server: {} until a handshake was needed, {"version", "session"} from then on.
"""

import binascii
import json

from latchpin.runtime import const
from latchpin.wire.errors import PeerError

_VERSION = const("2026-07-28")
_LEGACY = const("2025-11-25")
_META = const("io.modelcontextprotocol/")
_MOST_BYTES = const(65_536)
_MOST_TEXT = const(2_048)
# What a server answers to 2026-07-28 that has never heard of it (basic/transports, backward compatibility).
_STRANGE = const((400, 404, 405, 406, 415))
# ... unless it objects to something else in the new language: then no handshake helps.
_MODERN = const((-32020, -32021, -32022, -32601, -32602))
_MOST_STEPS_UP = const(2)
# A call is a list, for names take room on a chip.
_METHOD = const(0)
_NAME = const(1)  # the tool's, or the resource's URI
_ARGUMENTS = const(2)
_STAGE = const(3)  # the method to send now
_SHAKEN = const(4)  # a handshake was made for this call
_RENEWED = const(5)  # a token was refused
_STEPS_UP = const(6)
_READER = const(7)
_TEXT = const(8)
_SIZE = const(9)  # of all of the text
_TAKEN = const(10)  # of the answer


def begin(want) -> list:
    """The call of {"tool", "arguments"?}, {"uri"} or {}, as an application wants it: tools/call, resources/read, tools/list.
    A call that was begun is begun again, with another token, and remembers what it has tried."""
    if isinstance(want, list):
        want[_STAGE] = want[_METHOD]
        return want
    tool, uri = want.get("tool"), want.get("uri")
    method = "tools/call" if tool else "resources/read" if uri else "tools/list"
    return [method, tool or uri or "", want.get("arguments") or {}, method, False, False, 0, None, None, 0, 0]


def title(call: list) -> str:
    return call[_NAME] or call[_METHOD]


def body(server: dict, call: list) -> bytes:
    """The JSON-RPC message to send now; what was read of an answer before is forgotten."""
    call[_READER] = None
    call[_TEXT] = bytearray()
    call[_SIZE] = call[_TAKEN] = 0
    stage = call[_STAGE]
    params = {}
    if stage == "notifications/initialized":
        return json.dumps({"jsonrpc": "2.0", "method": stage}).encode()
    if stage == "initialize":
        params = {"protocolVersion": _LEGACY, "capabilities": {}, "clientInfo": {"name": "latchpin", "version": "1"}}
    elif stage == "tools/call":
        params = {"name": call[_NAME], "arguments": call[_ARGUMENTS]}
    elif stage == "resources/read":
        params = {"uri": call[_NAME]}
    if stage != "initialize" and not server:
        params["_meta"] = {_META + "protocolVersion": _VERSION, _META + "clientCapabilities": {}}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": stage, "params": params}).encode()


def relayed(server: dict, call: list) -> dict:
    """What a CALL says beside the body, for the bridge to make the headers of `headers`."""
    fields = {"method": call[_STAGE]}
    if call[_STAGE] == "initialize":
        fields["protocol_version"] = ""
    elif server:
        fields["protocol_version"] = server["version"]
        if server["session"]:
            fields["mcp_session"] = server["session"]
    elif call[_NAME]:
        fields["name"] = call[_NAME]
    return fields


def headers(server: dict, call: list) -> str:
    """The header lines of a request (basic/transports: content negotiation, protocol version, standard request headers)."""
    lines = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    if call[_STAGE] == "initialize":
        return lines
    if server:
        lines += "MCP-Protocol-Version: " + server["version"] + "\r\n"
        return lines + "Mcp-Session-Id: " + server["session"] + "\r\n" if server["session"] else lines
    lines += "MCP-Protocol-Version: " + _VERSION + "\r\nMcp-Method: " + call[_STAGE] + "\r\n"
    return lines + "Mcp-Name: " + _value(call[_NAME]) + "\r\n" if call[_NAME] else lines


def hear(server: dict, call: list, status: int, challenge: str, session: str | None, piece: bytes, last: bool) -> tuple:
    """(what follows, with what) after a piece of an answer.

    challenge, session: the headers WWW-Authenticate and Mcp-Session-Id. What follows: "block", the next piece, with the bytes of
    text that are new; "said", the end, with the like; "go", the next request; "use_dpop_nonce"; "renew", the token is refused;
    "step_up", with what the server wants; "refused". Raises PeerError: this is not MCP.
    """
    stage = call[_STAGE]
    asked = status == 200 and stage != "initialize" and stage != "notifications/initialized"
    call[_TAKEN] += len(piece)
    if call[_TAKEN] > _MOST_BYTES:
        return "refused", b""
    from latchpin.agent import answer

    if call[_READER] is None:
        call[_READER] = answer.new()
    try:
        fresh = answer.feed(call[_READER], piece)
    except (PeerError, ValueError):
        if asked:
            raise PeerError
        fresh = b""
    if asked:
        call[_SIZE] += len(fresh)
        call[_TEXT].extend(fresh[: _MOST_TEXT - len(call[_TEXT])])
    if not last:
        return "block", fresh if asked else b""
    if status == 401 or status == 403:
        return _refused(call, status, challenge)
    if stage == "notifications/initialized":
        call[_STAGE] = call[_METHOD]
        return "go" if 200 <= status < 300 else "refused", b""
    done, failed, code, version = answer.found(call[_READER])
    if asked:
        if not done:
            raise PeerError
        return "said", fresh
    if status == 200:
        if failed or not _plain(version) or not (session is None or _plain(session)):
            raise PeerError
        server["version"] = version
        server["session"] = session
        call[_STAGE] = "notifications/initialized"
        return "go", b""
    # A session that is over answers 404 (2025-11-25, basic/transports).
    over = server and status == 404
    if call[_SHAKEN] or not (over or (not server and status in _STRANGE and code not in _MODERN)):
        return "refused", b""
    server.clear()
    call[_SHAKEN] = True
    call[_STAGE] = "initialize"
    return "go", b""


def said(call: list) -> tuple[bool, str, bool]:
    """(it worked, its text or the first 2,048 bytes of that, whether that is all). Raises PeerError: no UTF-8."""
    from latchpin.agent import answer

    kept = call[_TEXT]
    end = len(kept)
    whole = end == call[_SIZE]
    if not whole:
        # Not in the middle of a character (RFC 3629, section 3).
        while end and kept[end - 1] & 0xC0 == 0x80:
            end -= 1
        if end and kept[end - 1] & 0x80:
            end -= 1
    try:
        return not answer.found(call[_READER])[1], str(kept[:end], "utf-8"), whole
    except ValueError:
        raise PeerError


def _refused(call, status, challenge):
    # RFC 9449, section 9; RFC 6750, section 3.1; RFC 9470, section 3.
    if status == 401 and "use_dpop_nonce" in challenge:
        return "use_dpop_nonce", b""
    if (status == 403 and "insufficient_scope" in challenge) or (
        status == 401 and "insufficient_user_authentication" in challenge
    ):
        call[_STEPS_UP] += 1
        return ("step_up", _wanted(challenge)) if call[_STEPS_UP] <= _MOST_STEPS_UP else ("refused", b"")
    if status == 401 and not call[_RENEWED]:
        # One new token for a refused one; a second refusal is the answer.
        call[_RENEWED] = True
        return "renew", b""
    return "refused", b""


def _wanted(challenge):
    # Fields of CHALLENGE, of a WWW-Authenticate with quoted strings or tokens (RFC 9110, section 11.2).
    found = {}
    for name in ("scope", "acr_values", "max_age"):
        at = challenge.find(" " + name + "=")
        if at < 0:
            at = challenge.find("," + name + "=")
        if at >= 0:
            value = challenge[at + len(name) + 2 :]
            value = value[1:].split('"')[0] if value[:1] == '"' else value.split(",")[0].strip()
            if name == "max_age":
                if value.isdigit():
                    found[name] = int(value)
            elif value:
                found["more_scope" if name == "scope" else name] = value
    return found


def _plain(value):
    return 0 < len(value) <= 256 and not [1 for sign in value if not "!" <= sign <= "~"]


def _value(name):
    # What a header cannot hold goes as base64 (basic/transports, Mcp-Name).
    if _plain(name.replace(" ", "_")) and name[:2] != "=?" and name.strip() == name:
        return name
    return "=?base64?" + binascii.b2a_base64(name.encode()).decode().strip() + "?="
