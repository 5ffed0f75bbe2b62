"""Deeds of the device grant (RFC 8628): a code and a URL on the screen, for a person with a browser somewhere else; then polls.

Not for servers with a challenge endpoint, but those that send the client to the web (FiPA-04, section 5.2.2.1.1).
"""

from latchpin.runtime import const

_POLL_S = const(5)  # section 3.2: where the server names no interval; section 3.5: what slow_down adds


def authorize(agent, when, cause):
    """Section 3.1."""
    agent.tokens.shown = None
    agent.show("asking")
    fields = {"scope": agent.settings.get("scope", 0)}
    for name in ("more_scope", "acr_values"):
        if name in agent.more:
            fields[name] = agent.more[name]
    agent.ask_signed("DEVICE_CODE", fields, agent.offer.device_authorization_endpoint)


def show_code(agent, when, reply):
    """Section 3.3. What is shown outlives a power cut: a person may have it in hand."""
    if when == "show":
        uri = reply.verification_uri
        ends_s = agent.epoch_s(agent.now_ms) + reply.ttl_s
        complete = reply.get("verification_uri_complete", uri)
        agent.tokens.shown = [reply.device_code, reply.user_code, uri, complete, reply.interval_s or _POLL_S, ends_s]
        agent.store()
    agent.wait_s = 0
    shown = agent.tokens.shown
    agent.wake_ms = agent.now_ms + shown[4] * 1000
    if when == "show" or when == "shown":
        agent.show("user_code", shown[1], shown[2], agent.utc(shown[5]), qr=shown[3])


def slow_down(agent, when, reply):
    """Section 3.5, for good; a server that is busy is given as much."""
    agent.tokens.shown[4] += _POLL_S
    show_code(agent, when, reply)


def poll(agent, when, cause):
    """Section 3.4."""
    agent.ask_signed("TOKEN", {"device_code": agent.tokens.shown[0]}, agent.offer.token_endpoint)
