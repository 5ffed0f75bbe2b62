"""Deeds of a device that loses its owner: what it held is gone at once, and its servers are told when they can be.

Not who owns it: that is the authorization server's to know.
"""

from latchpin.agent.events import Event


def part(agent, when, event):
    """Works without any server. Written twice, for the journal's older slot holds what is to be gone."""
    agent.tokens.part(2 if event.reset else 1)
    agent.forget_answers()
    agent.prompt = None
    agent.more = {}
    agent.server = {}
    agent.call = agent.next = None
    agent.want_call()
    agent.tokens.erasing = event.reset or None
    agent.store()
    if event.reset:
        agent.effects.append(Event("Erase"))
        agent.tokens.erasing = None
    agent.store()
    agent.show("unpaired")


def part_and_greet(agent, when, event):
    part(agent, when, event)
    agent.greet(when, event)


def revoke(agent, when, cause):
    """RFC 7009, where there is something to revoke, and somebody to tell."""
    farewell = agent.tokens.farewell
    agent.show("unpaired")
    if len(farewell) < 3 or not agent.offer.get("revocation_endpoint"):
        return "result"
    agent.ask("REVOKE", {"hint": farewell[1], "token": farewell[2]})


def say_farewell(agent, when, cause):
    agent.ask("REPORT", {"event": agent.tokens.farewell[0]})


def begin_anew(agent, when, cause):
    agent.tokens.farewell = None
    agent.store()
    return agent.renewal()
