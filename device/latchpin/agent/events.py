"""What happens to the agent and what it wants done: values that compare, and print no secret.

Not for behaviour: a value here has no method of its own.
"""


class _Value:
    """Fields by position or name, in the order of FIELDS. Those in HIDDEN print as a dot."""

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
        return type(self).__name__ + "(" + ", ".join(shown) + ")"


# Events: what happened.


class Started(_Value):
    """The device has booted."""


class LinkUp(_Value):
    """The broker accepted the connection and the subscription."""


class LinkDown(_Value):
    """The connection is gone or did not come about. code: as adapters/mqtt_link.py lists them; reason: MQTT 5 number or None."""

    FIELDS = ("code", "reason")


class Received(_Value):
    """A payload arrived on the device's `down` topic."""

    FIELDS = ("payload",)


class KeyPressed(_Value):
    """One key: a character; "*" deletes, "#" submits."""

    FIELDS = ("key",)
    HIDDEN = ("key",)


class Tick(_Value):
    """Time has passed: `Agent.deadline_ms` is reached."""


class Call(_Value):
    """The application wants a tool called. arguments: what `json.dumps` takes."""

    FIELDS = ("tool", "arguments")


class HttpAnswered(_Value):
    """The answer to a Post. headers: lower-case names."""

    FIELDS = ("status", "headers", "body")
    HIDDEN = ("body",)


class HttpFailed(_Value):
    """A Post got no answer. code: as adapters/https_post.py lists them."""

    FIELDS = ("code",)


# Effects: what to do.


class Connect(_Value):
    """Open the link to the broker after so many milliseconds."""

    FIELDS = ("after_ms",)


class Publish(_Value):
    """Publish at QoS 1. expiry_s: how long anybody will wait for it."""

    FIELDS = ("topic", "payload", "expiry_s", "retain")


class Show(_Value):
    """What the person sees. code: stable, for lamps and tests; entry: what was typed, masked."""

    FIELDS = ("code", "title", "text", "entry")


class Store(_Value):
    """Write this to the journal before the next effect."""

    FIELDS = ("data",)
    HIDDEN = ("data",)


class Post(_Value):
    """POST to the MCP server over HTTPS; answer with HttpAnswered or HttpFailed."""

    FIELDS = ("url", "headers", "body")
    HIDDEN = ("headers", "body")


class Answer(_Value):
    """The end of a Call. ok: the tool itself says it worked; text: what it said, or why not."""

    FIELDS = ("ok", "text")


class SetClock(_Value):
    """The authenticated time, in seconds since 1970, from a sealed reply."""

    FIELDS = ("now_s",)
