"""Whatever a device sends: a value stays one value of one form, and a header one header, or nothing is sent at all.

Not for examples of it: test_as_client.py has those. Here hypothesis looks for one that breaks out.
"""

import asyncio
import base64
import contextlib
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker_bridge import profile, translate
from broker_bridge.as_client import AsClient
from broker_bridge.exchange import Call
from broker_bridge.https_client import HttpsClient
from broker_bridge.refusals import Refused
from broker_bridge.relay import Relay
from broker_bridge.settings import AuthorizationServer, Resource
from latchpin.wire.messages import Message
from tests.bridge.driver import LOOPBACK
from tests.bridge.foreign import Asked, Foreign, Said, foreign

PROFILE = profile.load("reference")
HEADERS = {"accept", "content-length", "content-type", "host", "user-agent", "authorization", "dpop"}
NASTY = st.text(st.sampled_from("a&=%+\r\n\0:;,\"'\\ \t#?é\u2028<{[("), max_size=12)
ANY = st.one_of(st.text(max_size=40), NASTY)


def or_good(good: str) -> st.SearchStrategy[str]:
    """Often what the protocol wants, so that more than refusals is tried."""
    return st.one_of(st.just(good), ANY, ANY.map(lambda text: good + text), ANY.map(lambda text: text + good))


CHALLENGES = st.builds(
    lambda **fields: Message("CHALLENGE", {"rid": bytes(8), "resource": 0, "scope": 0, **fields}),
    auth_session=or_good("session-1"),
    answers=st.dictionaries(
        st.one_of(st.sampled_from(["pin", "otp", "username", "client_id"]), ANY), or_good("123456"), max_size=3
    ),
    dpop=or_good("aaa.bbb.ccc"),
)
TOKENS = st.builds(
    lambda **fields: Message("TOKEN", {"rid": bytes(8), "resource": 0, **fields}),
    code=or_good("code-1"),
    code_verifier=or_good("v" * 43),
    dpop=or_good("aaa.bbb.ccc"),
)


class Wire:
    """One loop, one client and one server for all examples: what the server was asked, where it was asked."""

    def __init__(self, server: Foreign) -> None:
        self.server = server
        self._runner = asyncio.Runner()
        configured = {"issuer": server.issuer, "client_id": "latchpin-device", "client_secret": "s", "ca": server.ca}
        self.configured = AuthorizationServer.model_validate(configured)
        self.resource = Resource(uri=server.resource, scopes=["led:read led:write"])
        self.https = HttpsClient(server.ca, [ip_network(network) for network in LOOPBACK])
        self.client = AsClient(self.configured, PROFILE, lambda: 0.0, self.https)
        self.run(self.client.metadata())

    def run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine)

    def asked(self, coroutine: Any) -> list[Asked]:
        self.server.asked.clear()
        with contextlib.suppress(Refused):
            self.run(coroutine)
        return list(self.server.asked)

    def close(self) -> None:
        self.run(self.https.close())
        self._runner.close()


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with foreign(tmp_path_factory.mktemp("foreign")) as server:
        for path in ("/challenge", "/token", "/mcp"):
            server.says(path, Said(400, {"error": "invalid_request"}))
        made = Wire(server)
        yield made
        made.close()


tried = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@tried
@given(message=st.one_of(CHALLENGES, TOKENS))
def test_a_request_is_one_form_of_the_names_that_we_chose_or_it_is_not_sent(wire: Wire, message: Message):
    try:
        ask = translate.to_ask(message, "lp-7f3k2m", "latchpin-device", [wire.resource], PROFILE)
    except Refused as refusal:
        assert refusal.code == "invalid"
        return
    fields = {name: message.get(name) for name in ("auth_session", "code", "code_verifier")}
    wanted = {name: text for name, text in fields.items() if text is not None} | (message.get("answers") or {})
    ours = {"client_id": "latchpin-device", "resource": wire.resource.uri, "scope": "led:read led:write"}
    ours |= {"device_id": "lp-7f3k2m", "grant_type": "authorization_code"}
    (asked,) = wire.asked(wire.client.post(ask))
    assert asked.path in ("/challenge", "/token") and asked.method == "POST"
    assert {name: asked.form[name] for name in wanted} == wanted
    assert set(asked.form) - set(wanted) <= set(ours) and all(
        asked.form[name] == ours[name] for name in set(asked.form) - set(wanted)
    )
    assert set(asked.headers) == HEADERS and asked.headers["dpop"] == message.get("dpop")


@tried
@given(
    method=or_good("tools/call"),
    name=or_good("whoami"),
    token=or_good("token"),
)
def test_a_call_has_the_headers_of_a_call_or_it_is_not_made(wire: Wire, method: str, name: str, token: str):
    call = Call(wire.resource, method, name, b'{"a":1}', token, "aaa.bbb.ccc")
    asked = wire.asked(Relay().call(call, wire.https, "0badcafe"))
    if not asked:
        return
    headers = asked[0].headers
    mcp = {"mcp-protocol-version", "mcp-method", "mcp-name", "x-request-id"}
    assert len(asked) == 1 and asked[0].path == "/mcp" and set(headers) == HEADERS | mcp and asked[0].body == b'{"a":1}'
    assert headers["mcp-method"] == method and headers["authorization"] == f"DPoP {token}" and headers["dpop"] == "aaa.bbb.ccc"
    told = headers["mcp-name"]
    shown = base64.b64decode(told[9:-2]).decode() if told.startswith("=?base64?") else told
    assert shown == name


@tried
@given(text=ANY)
def test_no_text_in_a_header_of_ours_makes_a_second_one(wire: Wire, text: str):
    """Beneath the forms that translate.py demands: what if one of them let too much through?"""
    ask = translate.Ask("challenge", {"pin": text}, text)
    for asked in wire.asked(wire.client.post(ask)):
        assert asked.form == {"pin": text} and set(asked.headers) == HEADERS
        assert not text.isascii() or asked.headers["dpop"].strip(" \t") == text.strip(" \t")
