"""The hands of one device, put together from its parts: what runner.py asks a board for.

Not for decisions: every method hands on what it was given to the part that can do it.
"""

from latchpin import runtime
from latchpin.adapters.mqtt_link import MqttLink


class Hands:
    """topics: where the device listens, and where its state stands (wire/topics.py, "down" and "state"); keys: has
    `async read_key()`; screens: each has `show(view)`; directory: where the journal is."""

    def __init__(self, identity, settings: dict, topics: tuple[str, str], keys, screens, directory: str = "."):
        self._identity = identity
        self._settings = settings
        self._listen, self.state = topics
        self._screens = screens
        self._directory = directory
        self.read_key = keys.read_key
        self._told_s = 0
        from latchpin.adapters import clock

        self._waiting = clock.start(settings)
        runtime.make_room("adapters.clock")
        # Now, while the heap still has three kilobytes in one piece. Where it fails, the link says why.
        from latchpin.adapters import tls_stream

        broker = settings["broker"]
        try:
            broker["context"] = tls_stream.tls_context(broker.get("pin"), broker.get("ca"))
        except (OSError, ValueError, MemoryError):
            pass
        runtime.make_room("adapters.tls_stream")

    def link(self) -> MqttLink:
        """A new connection to the broker, not yet connected. The will says that the device is gone."""
        identity = self._identity
        return MqttLink(
            self._settings["broker"],
            identity.device,
            identity.mqtt_password,
            (self._listen,),
            (self.state, b"0"),
            self._settings["keepalive_s"],
        )

    def load(self) -> bytes | None:
        """What the journal kept."""
        from latchpin.adapters.flash_journal import Journal

        try:
            return Journal(self._directory).load()
        finally:
            runtime.make_room("adapters.flash_journal")

    def store(self, data: bytes) -> None:
        from latchpin.adapters.flash_journal import Journal

        Journal(self._directory).store(data)
        runtime.make_room()

    def erase(self) -> None:
        """Forget what was learned at this place: the networks. They are used until the device starts again."""
        from latchpin.adapters import factory_reset

        factory_reset.forget_networks(self._directory)
        runtime.make_room("adapters.factory_reset")

    def show(self, view) -> None:
        for screen in self._screens:
            screen.show(view)

    async def post(self, url: str, headers: str, body: bytes, hear) -> None:
        from latchpin.adapters import https_post

        try:
            mcp = self._settings["mcp"]
            broker = self._settings["broker"]
            # What proves itself alike is met with one context: three kilobytes in one piece are hard to find by now.
            alike = mcp.get("pin") == broker.get("pin") and mcp.get("ca") == broker.get("ca") and not broker.get("due")
            await https_post.post(url, headers, body, mcp, hear, broker.get("context") if alike else None)
        finally:
            runtime.make_room()

    def hear(self, data: bytes) -> None:
        """What a call's answer says, as it comes: an application that wants more than the first 2 KB overrides this."""

    def answer(self, ok: bool, text: str) -> None:
        """The end of a call: shown by the agent already; an application overrides this."""

    def set_clock(self, now_s: int, sure: bool) -> None:
        """now_s: seconds since 1970; sure: authenticated, else only the least that it can be. From the first sure time on a
        server with pin and CA has to satisfy both."""
        # Every sealed reply tells it: once an hour is enough.
        if sure:
            if 0 <= now_s - self._told_s < 3_600:
                return
            self._told_s = now_s
        from latchpin.adapters import clock

        if clock.set_clock(now_s, sure):
            clock.require_cas(self._waiting)
        runtime.make_room("adapters.clock")
