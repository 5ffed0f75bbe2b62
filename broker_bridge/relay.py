"""An MCP call carried for a device without TLS: one POST to a server on the operator's list, in the words of its era.

Not for tokens of the bridge's own, and not for bearer tokens: without the device's DPoP proof a token here is worth nothing.
"""

import base64
import re

from broker_bridge.as_client import nonce_of
from broker_bridge.exchange import Call, Called
from broker_bridge.https_client import HttpsClient
from broker_bridge.refusals import Refused

VERSION = "2026-07-28"

_METHOD = re.compile(r"[a-z][A-Za-z_]*(/[A-Za-z_]+)*")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1
_PLAIN_NAME = re.compile(r"(?!=\?)[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_CHALLENGE = re.compile(r"[\x20-\x7e]{1,512}")
_DATED = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")
_SESSION = re.compile(r"[\x21-\x7e]{1,256}")  # MCP 2025-11-25, basic/transports, session management


class Relay:
    """Carries calls; `nonces` are the newest DPoP nonces by resource."""

    def __init__(self) -> None:
        self.nonces: dict[str, str] = {}

    async def call(self, call: Call, https: HttpsClient, request_id: str = "") -> Called:
        """The server's answer, whatever its status. Raises Refused: the call cannot be made, or what came is no answer to it."""
        if not _METHOD.fullmatch(call.method) or not _TOKEN.fullmatch(call.token):
            raise Refused("invalid", "form_of_call")
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Authorization": f"DPoP {call.token}",
            "DPoP": call.proof,
            **_of_era(call),
        }
        wanted = ("dpop-nonce", "www-authenticate", "mcp-session-id")
        fetched = await https.fetch("POST", call.resource.uri, headers, call.body, wanted, request_id)
        nonce = nonce_of(fetched)
        if nonce is not None:
            self.nonces[call.resource.uri] = nonce
        readable = fetched.media_type in ("application/json", "text/event-stream")
        if fetched.body and not readable and 200 <= fetched.status < 300:
            raise Refused("internal", "mcp_content_type")
        challenge = fetched.headers.get("www-authenticate", "")
        session = fetched.headers.get("mcp-session-id", "")
        return Called(
            fetched.status,
            fetched.body if readable else b"",
            challenge if _CHALLENGE.fullmatch(challenge) else None,
            session if _SESSION.fullmatch(session) else None,
        )


def _of_era(call: Call) -> dict[str, str]:
    """The headers by which a request says which MCP it speaks. Raises Refused."""
    if call.version is None:
        named = {} if call.name is None else {"Mcp-Name": header_name(call.name)}
        return {"MCP-Protocol-Version": VERSION, "Mcp-Method": call.method, **named}
    if call.version and not _DATED.fullmatch(call.version):
        raise Refused("invalid", "form_of_protocol_version")
    if call.session is not None and not _SESSION.fullmatch(call.session):
        raise Refused("invalid", "form_of_mcp_session")
    session = {} if call.session is None else {"Mcp-Session-Id": call.session}
    return {**({"MCP-Protocol-Version": call.version} if call.version else {}), **session}


def header_name(name: str) -> str:
    """`name` as the value of Mcp-Name: plain where a header can hold it, otherwise =?base64?..?= (basic/transports)."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    return f"=?base64?{base64.b64encode(name.encode()).decode()}?="
