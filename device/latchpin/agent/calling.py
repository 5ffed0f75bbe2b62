"""Deeds of a call to the MCP server: by the bridge's relay or straight over HTTPS, with a new token or more where it is wanted.

Not MCP's words (mcp.py, answer.py).
"""

from latchpin.agent import mcp
from latchpin.agent.events import Event
from latchpin.wire.errors import PeerError


def call(agent, when, cause):
    agent.forget_answers()
    agent.call = mcp.begin(agent.call)
    agent.show("calling", mcp.title(agent.call))
    send_call(agent, when, cause)


def send_call(agent, when, cause):
    """The next POST of the call."""
    uri = agent.offer.resource_uri
    fields = {"access_token": agent.tokens.access_token, "body": mcp.body(agent.server, agent.call)}
    if agent.settings.get("route") == "direct":
        fields["headers"] = mcp.headers(agent.server, agent.call)
        agent.ask_signed("Post", fields, uri)
    elif agent.offer.dpop_supported:
        fields.update(mcp.relayed(agent.server, agent.call))
        fields["block"] = 0
        agent.ask_signed("CALL", fields, uri)
    else:
        # Whoever relays a bearer token could use it (PROTOCOL section 5): straight over HTTPS only.
        agent.fire(*_ended("mcp_refused", "nothing: no bearer here"))


def send_block(agent, when, block):
    """The same call, so that the bridge finds its answer. The server hears nothing of it, so there is nothing to prove."""
    fields = agent.signed[1]
    fields.pop("dpop", None)
    fields["block"] = block
    agent.ask("CALL", fields)


def report(agent, when, answer):
    code, ok, text, whole = answer
    agent.call = agent.next
    agent.next = None
    agent.wake_ms = agent.tokens.renew_at_ms
    agent.show(code, text)
    agent.effects.append(Event("Answer", ok=ok, text=text, whole=whole))
    if agent.call is not None:
        return agent.keyed("call")
    # Whoever was asked meanwhile is asked again.
    return "asked" if agent.prompt is not None else "shown" if agent.tokens.shown else None


def hear_result(agent, reply):
    """What follows a RESULT, a block of the answer that the bridge holds, and with which cause."""
    following = reply.block + 1
    if following >= reply.blocks:
        following = 0
    return _hear(agent, reply.status, reply.get("www_authenticate", ""), reply.get("mcp_session"), reply.body, following)


def hear_post(agent, event):
    """What follows a piece of the answer to a Post, or that there is none."""
    if event.name == "HttpFailed":
        return _ended("mcp_failed", event.code)
    headers = event.headers
    agent.nonces[1] = headers.get("dpop-nonce", agent.nonces[1])
    following = 0 if event.last else None
    return _hear(agent, event.status, headers.get("www-authenticate", ""), headers.get("mcp-session-id"), event.body, following)


def _hear(agent, status, challenge, session, piece, following):
    # following: the block to ask for next, 0 after the last, None where more comes by itself.
    call = agent.call
    try:
        word, found = mcp.hear(agent.server, call, status, challenge, session, piece, following == 0)
        said = mcp.said(call) if word == "said" else ()
    except PeerError:
        return _ended("mcp_failed", "not MCP")
    if word in ("block", "said") and found:
        agent.effects.append(Event("Part", data=bytes(found)))
    if word == "block":
        return "block" if following else None, following
    if word == "said":
        return "answer", ("answer",) + said
    if word == "renew":
        agent.tokens.drop_access_token()
        return agent.renewal(), None
    if word == "step_up":
        # MCP authorization, step-up flow: the union of scopes; RFC 9470, section 4: acr_values and max_age as they came.
        agent.show("step_up")
        agent.more = found
        return "pair" if agent.offer.get("challenge_endpoint") else "grant", None
    if word == "refused":
        return _ended("mcp_refused", str(status))
    return word, None


def _ended(code, why):
    return "answer", (code, False, why, True)
