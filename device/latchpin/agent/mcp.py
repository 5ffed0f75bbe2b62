"""One MCP call as the POSTs that it takes: one in 2026-07-28, a handshake before it in 2025-11-25 and earlier.

Not for sending, nor for reading answers (answer.py), and no object: a call is a dict of plain values, so that this module can
leave a small heap between two pieces of an answer.

`server` is what is known of the server: {} until a handshake was needed, {"version", "session"} from then on.
"""

import binascii
import json

from latchpin.agent import answer
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


def begin(call: dict) -> None:
    """Of {"tool", "arguments"?}, {"uri"} or {}, as an application wants it, make a call: tools/call, resources/read, tools/list."""
    tool, uri = call.get("tool"), call.get("uri")
    call["method"] = call["stage"] = "tools/call" if tool else "resources/read" if uri else "tools/list"
    call["name"] = tool or uri or ""
    call["shaken"] = False


def body(server: dict, call: dict) -> bytes:
    """The JSON-RPC message to send now; what was read of an answer before is forgotten."""
    call["reader"] = answer.new()
    call["text"] = bytearray()
    call["size"] = call["taken"] = 0
    stage = call["stage"]
    params = {}
    if stage == "notifications/initialized":
        return json.dumps({"jsonrpc": "2.0", "method": stage}).encode()
    if stage == "initialize":
        params = {"protocolVersion": _LEGACY, "capabilities": {}, "clientInfo": {"name": "latchpin", "version": "1"}}
    elif stage == "tools/call":
        params = {"name": call["name"], "arguments": call.get("arguments") or {}}
    elif stage == "resources/read":
        params = {"uri": call["name"]}
    if stage != "initialize" and not server:
        params["_meta"] = {_META + "protocolVersion": _VERSION, _META + "clientCapabilities": {}}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": stage, "params": params}).encode()


def relayed(server: dict, call: dict) -> dict:
    """What a CALL says beside the body, for the bridge to make the headers of `headers`."""
    fields = {"method": call["stage"]}
    if call["stage"] == "initialize":
        fields["protocol_version"] = ""
    elif server:
        fields["protocol_version"] = server["version"]
        if server["session"]:
            fields["mcp_session"] = server["session"]
    elif call["name"]:
        fields["name"] = call["name"]
    return fields


def headers(server: dict, call: dict) -> str:
    """The header lines of a request (basic/transports: content negotiation, protocol version, standard request headers)."""
    lines = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    if call["stage"] == "initialize":
        return lines
    if server:
        lines += "MCP-Protocol-Version: " + server["version"] + "\r\n"
        return lines + "Mcp-Session-Id: " + server["session"] + "\r\n" if server["session"] else lines
    lines += "MCP-Protocol-Version: " + _VERSION + "\r\nMcp-Method: " + call["stage"] + "\r\n"
    return lines + "Mcp-Name: " + _value(call["name"]) + "\r\n" if call["name"] else lines


def hear(server: dict, call: dict, status: int, challenge: str, session: str | None, piece: bytes, last: bool) -> tuple:
    """(what follows, the bytes of text that are new) after a piece of an answer.

    challenge, session: the headers WWW-Authenticate and Mcp-Session-Id. What follows: "block", the next piece; "go", the next
    request; "use_dpop_nonce"; "renew", the token is refused; "step_up", the server wants what call["wanted"] says; "said", the
    end, and call["reader"]["failed"] tells how; "refused". Raises PeerError: this is not MCP.
    """
    stage = call["stage"]
    if status == 401 and "use_dpop_nonce" in challenge:
        return "use_dpop_nonce", b""
    # RFC 6750, section 3.1; RFC 9470, section 3.
    lacks_scope = status == 403 and "insufficient_scope" in challenge
    if lacks_scope or (status == 401 and "insufficient_user_authentication" in challenge):
        call["wanted"] = _wanted(challenge)
        return "step_up", b""
    if status == 401:
        return "renew", b""
    if stage == "notifications/initialized":
        call["stage"] = call["method"]
        return "go" if 200 <= status < 300 else "refused", b""
    reader = call["reader"]
    call["taken"] += len(piece)
    if call["taken"] > _MOST_BYTES:
        return "refused", b""
    try:
        fresh = answer.feed(reader, piece)
    except (PeerError, ValueError):
        if status == 200:
            raise PeerError
        fresh = b""
    if not last and status == 200:
        call["size"] += len(fresh)
        call["text"].extend(fresh[: _MOST_TEXT - len(call["text"])])
        return "block", fresh
    if status == 200:
        if not reader["done"]:
            raise PeerError
        if stage != "initialize":
            call["size"] += len(fresh)
            call["text"].extend(fresh[: _MOST_TEXT - len(call["text"])])
            return "said", fresh
        version = reader["agreed"]
        if reader["failed"] or not _plain(version) or not (session is None or _plain(session)):
            raise PeerError
        server["version"] = version
        server["session"] = session
        call["stage"] = "notifications/initialized"
        return "go", b""
    # A session that is over answers 404 (2025-11-25, basic/transports).
    over = server and status == 404
    if call["shaken"] or not (over or (not server and status in _STRANGE and reader["code"] not in _MODERN)):
        return "refused", b""
    server.clear()
    call["shaken"] = True
    call["stage"] = "initialize"
    return "go", b""


def text(call: dict) -> tuple[str, bool]:
    """(the text of the answer, at most 2,048 bytes of it; whether that is all). Raises PeerError: no UTF-8."""
    kept = call["text"]
    end = len(kept)
    whole = end == call["size"]
    if not whole:
        # Not in the middle of a character (RFC 3629, section 3).
        while end and kept[end - 1] & 0xC0 == 0x80:
            end -= 1
        if end and kept[end - 1] & 0x80:
            end -= 1
    try:
        return str(kept[:end], "utf-8"), whole
    except ValueError:
        raise PeerError


def _wanted(challenge):
    # {"scope"?, "acr_values"?, "max_age"?} of a WWW-Authenticate, as quoted strings or tokens (RFC 9110, section 11.2).
    found = {}
    for name in ("scope", "acr_values", "max_age"):
        at = challenge.find(" " + name + "=")
        if at < 0:
            at = challenge.find("," + name + "=")
        if at >= 0:
            value = challenge[at + len(name) + 2 :]
            found[name] = value[1:].split('"')[0] if value[:1] == '"' else value.split(",")[0].strip()
    return found


def _plain(value):
    return 0 < len(value) <= 256 and not [1 for sign in value if not "!" <= sign <= "~"]


def _value(name):
    # What a header cannot hold goes as base64 (basic/transports, Mcp-Name).
    if _plain(name.replace(" ", "_")) and name[:2] != "=?" and name.strip() == name:
        return name
    return "=?base64?" + binascii.b2a_base64(name.encode()).decode().strip() + "?="
