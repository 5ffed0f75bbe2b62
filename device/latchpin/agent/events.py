"""What happens to the agent and what it wants done: values that compare, and print no secret.

Not for behaviour, and one class for all of them: a class for each would cost the chip six kilobytes of heap.

Events, what happened:

    Started                             the device has booted
    LinkUp                              the broker accepted the connection and the subscription
    LinkDown      code, reason          no connection; code as adapters/mqtt_link.py lists them, reason of MQTT 5 or None
    Received      payload               a payload arrived on the device's `down` topic
    KeyPressed    key                   one key: a character; "*" deletes, "#" submits
    Tick                                time has passed: `Agent.deadline_ms` is reached
    Call          tool, arguments       the application wants a tool called; arguments: what `json.dumps` takes
    Call          uri                   it wants a resource read; with neither, the tools listed
    Unpair        reset                 a person wants the device free; reset: and as it was when it was provisioned
    HttpAnswered  status, headers, body, last   a piece of the answer to a Post; headers: lower-case names
    HttpFailed    code                  a Post got no answer; code as adapters/https_post.py lists them

Effects, what to do:

    Connect       after_ms              open the link to the broker after so many milliseconds
    Publish       topic, payload        publish at QoS 1; nobody waits for it longer than the runner says
    Show          code, title, text, entry, qr   what the person sees; code: stable, for lamps and tests; entry: masked; qr: what
                                        a display that can shows as a QR code, or ""
    Store         data                  write this to the journal before the next effect
    Post          url, headers, body    POST to the MCP server; headers: lines, each with its CR LF
    Part          data                  the next bytes (UTF-8) of what a Call's answer says, however long it is
    Answer        ok, text, whole       the end of a Call; ok: the tool says it worked; text: what it said, or why not; whole:
                                        that is all of it, and not the first 2 KB
    SetClock      now_s, sure           seconds since 1970; sure: the authenticated time, from a sealed reply; else a floor
    Erase                               forget what was learned at this place: the networks
"""


class Event:
    """One row of the tables above: `Event("KeyPressed", key="4")`, read as `event.name` and `event.key`. Prints no value."""

    def __init__(self, name: str, **fields):
        self.name = name
        self.fields = fields

    def __getattr__(self, field):
        if field in self.fields:
            return self.fields[field]
        raise AttributeError(field)

    def get(self, field: str, default=None):
        return self.fields.get(field, default)

    def __eq__(self, other):
        return isinstance(other, Event) and self.name == other.name and self.fields == other.fields

    def __repr__(self):
        return self.name + "(.)"
