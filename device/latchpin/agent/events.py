"""What happens to the agent and what it wants done: values that compare, and print no secret.

Not for behaviour: a value here has no method of its own.
"""


class Value:
    """Fields by position or name, in the order of FIELDS. Those in HIDDEN print as a dot."""

    NAME = ""
    FIELDS = ()
    HIDDEN = ()

    def __init__(self, *values, **named):
        for name, value in zip(self.FIELDS, values):
            setattr(self, name, value)
        for name in self.FIELDS[len(values) :]:
            setattr(self, name, named.get(name))

    def __eq__(self, other):
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in self.FIELDS)

    def __repr__(self):
        shown = ["." if name in self.HIDDEN else repr(getattr(self, name)) for name in self.FIELDS]
        return self.NAME + "(" + ", ".join(shown) + ")"


def _value(name, fields="", hidden=""):
    return type(name, (Value,), {"NAME": name, "FIELDS": fields.split(), "HIDDEN": hidden.split()})


# Events: what happened.

# The device has booted.
Started = _value("Started")
# The broker accepted the connection and the subscription.
LinkUp = _value("LinkUp")
# The connection is gone or did not come about. code: as adapters/mqtt_link.py lists them; reason: MQTT 5 number or None.
LinkDown = _value("LinkDown", "code reason")
# A payload arrived on the device's `down` topic.
Received = _value("Received", "payload")
# One key: a character; "*" deletes, "#" submits.
KeyPressed = _value("KeyPressed", "key", "key")
# Time has passed: `Agent.deadline_ms` is reached.
Tick = _value("Tick")
# The application wants a tool called. arguments: what `json.dumps` takes.
Call = _value("Call", "tool arguments")
# The answer to a Post. headers: lower-case names.
HttpAnswered = _value("HttpAnswered", "status headers body", "body")
# A Post got no answer. code: as adapters/https_post.py lists them.
HttpFailed = _value("HttpFailed", "code")

# Effects: what to do.

# Open the link to the broker after so many milliseconds.
Connect = _value("Connect", "after_ms")
# Publish at QoS 1. expiry_s: how long anybody will wait for it.
Publish = _value("Publish", "topic payload expiry_s")
# What the person sees. code: stable, for lamps and tests; entry: what was typed, masked.
Show = _value("Show", "code title text entry")
# Write this to the journal before the next effect.
Store = _value("Store", "data", "data")
# POST to the MCP server over HTTPS; answer with HttpAnswered or HttpFailed. headers: lines, each with its CR LF.
Post = _value("Post", "url headers body", "headers body")
# The end of a Call. ok: the tool itself says it worked; text: what it said, or why not.
Answer = _value("Answer", "ok text")
# The authenticated time, in seconds since 1970, from a sealed reply.
SetClock = _value("SetClock", "now_s")
