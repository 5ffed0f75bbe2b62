"""Deeds of a call to the MCP server: by the bridge's relay or straight over HTTPS, with a new token or more where it is wanted.

Not MCP's words (mcp.py, answer.py).
"""

from latchpin import runtime
from latchpin.agent import mcp
from latchpin.agent.events import Event
from latchpin.runtime import const
from latchpin.wire.errors import PeerError

_MOST_STEPS_UP = const(2)


def call(agent, when, cause):
    agent.forget_answers()
    mcp.begin(agent.call)
    agent.show("calling", agent.call["name"] or agent.call["method"])
    send_call(agent, when, cause)


def send_call(agent, when, cause):
    """The next POST of the call."""
    token = agent.tokens.access_token
    uri = agent.offer.resource_uri
    body = mcp.body(agent.server, agent.call)
    if agent.settings.get("route") == "direct":
        headers = mcp.headers(agent.server, agent.call)
        if agent.offer.dpop_supported:
            headers += "DPoP: " + agent.proof(uri, agent.nonces[1], token) + "\r\n"
        headers += "Authorization: " + agent.tokens.token_type + " " + token + "\r\n"
        agent.signed = None
        runtime.make_room()
        agent.effects.append(Event("Post", url=uri, headers=headers, body=body))
        return
    if not agent.offer.dpop_supported:
        # Whoever relays a bearer token could use it (PROTOCOL section 5): straight over HTTPS only.
        _finish(agent, "mcp_refused", "nothing: no bearer by relay")
        return
    fields = mcp.relayed(agent.server, agent.call)
    fields["body"] = body
    fields["access_token"] = token
    fields["block"] = 0
    agent.call["sent"] = fields
    agent.ask_signed("CALL", fields, uri)


def send_block(agent, when, block):
    """The same call, so that the bridge finds its answer. The server hears nothing of it, so there is nothing to prove."""
    fields = agent.call["sent"]
    fields.pop("dpop", None)
    fields["block"] = block
    agent.ask("CALL", fields)


def report(agent, when, answer):
    code, ok, text, whole = answer
    agent.call = None
    agent.wake_ms = agent.tokens.renew_at_ms
    agent.show(code, text)
    agent.effects.append(Event("Answer", ok=ok, text=text, whole=whole))
    return "asked" if agent.prompt is not None else None


def hear_result(agent, reply):
    """A RESULT: a block of the answer that the bridge holds."""
    following = reply.block + 1
    if following >= reply.blocks:
        following = 0
    _hear(agent, reply.status, reply.get("www_authenticate", ""), reply.get("mcp_session"), reply.body, following)


def hear_post(agent, event):
    """A piece of the answer to a Post, or that there is none."""
    if event.name == "HttpFailed":
        _finish(agent, "mcp_failed", event.code)
        return
    headers = event.headers
    agent.nonces[1] = headers.get("dpop-nonce", agent.nonces[1])
    following = 0 if event.last else None
    _hear(agent, event.status, headers.get("www-authenticate", ""), headers.get("mcp-session-id"), event.body, following)


def _hear(agent, status, challenge, session, piece, following):
    # following: the block to ask for next, 0 after the last, None where more comes by itself.
    call = agent.call
    try:
        word, fresh = mcp.hear(agent.server, call, status, challenge, session, piece, following == 0)
        said = mcp.text(call) if word == "said" else ("", True)
    except PeerError:
        _finish(agent, "mcp_failed", "not MCP")
        return
    if fresh:
        agent.effects.append(Event("Part", data=bytes(fresh)))
    if word == "block":
        if following:
            agent.fire("block", following)
    elif word == "said":
        agent.fire("answer", ("answer", not call["reader"]["failed"], said[0], said[1]))
    elif word == "renew" and not call.get("renewed"):
        # One new token for a refused one; a second refusal is the answer.
        call["renewed"] = True
        agent.tokens.drop_access_token()
        agent.fire(agent.renewal())
    elif word == "step_up" and call.get("steps", 0) < _MOST_STEPS_UP:
        call["steps"] = call.get("steps", 0) + 1
        _step_up(agent, call["wanted"])
    elif word in ("go", "use_dpop_nonce"):
        agent.fire(word)
    else:
        _finish(agent, "mcp_refused", str(status))


def _step_up(agent, wanted):
    # MCP authorization, step-up flow: the union of scopes; RFC 9470, section 4: acr_values and max_age as they came.
    agent.show("step_up")
    agent.more = {}
    if wanted.get("scope"):
        agent.more["more_scope"] = wanted["scope"]
    if wanted.get("acr_values"):
        agent.more["acr_values"] = wanted["acr_values"]
    if wanted.get("max_age", "").isdigit():
        agent.more["max_age"] = int(wanted["max_age"])
    agent.fire("pair" if agent.offer.get("challenge_endpoint") else "grant")


def _finish(agent, code, why):
    agent.fire("answer", (code, False, why, True))
