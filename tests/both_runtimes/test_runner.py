"""The loop between agent and hands: what overtakes what, and what nobody waits for any more.

Not what the agent decides (test_agent*.py): here it does as the script says.
"""

import asyncio

from bridge_side import BridgeSide, Identity

from latchpin.agent.events import Event
from latchpin.runner import Runner


class Script:
    """An agent that answers each event by the effects of a function, and keeps what it met."""

    deadline_ms = None

    def __init__(self, react):
        self._react = react
        self.met = []

    def handle(self, event, now_ms):
        self.met.append(event)
        return self._react(event)


class Hands:
    """A board without keys and link, whose POSTs say what `posts` has by URL: the pieces, or an error at the end."""

    state = "state"

    def __init__(self, posts):
        self._posts = posts

    def load(self):
        return None

    async def read_key(self):
        await asyncio.Event().wait()

    async def post(self, url, headers, body, hear):
        for piece in self._posts[url]:
            if isinstance(piece, OSError):
                raise piece
            await hear(200, {}, piece, False)
        await hear(200, {}, b"", True)


def post(url):
    return Event("Post", url=url, headers=(), body=b"")


def played(react, hands, over=lambda event: event.name == "HttpAnswered" and event.last):
    """Events that a scripted agent met until `over(event)`."""

    async def main():
        hands.runner = runner = Runner(hands, Identity(BridgeSide()), {})
        done = asyncio.Event()

        def watched(event):
            if over(event):
                done.set()
            return react(event)

        runner.agent = agent = Script(watched)
        task = asyncio.create_task(runner.run())
        await asyncio.wait_for(done.wait(), 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return agent.met

    return asyncio.run(main())


def bodies(met):
    return [event.body for event in met if event.name == "HttpAnswered"]


def test_the_pieces_of_an_answer_come_in_order_and_the_last_says_so():
    met = played(lambda event: [post("one")] if event.name == "Started" else [], Hands({"one": [b"a", b"b", b"c"]}))
    assert bodies(met) == [b"a", b"b", b"c", b""]


def test_what_an_abandoned_post_still_brings_is_the_answer_to_nothing():
    # The first piece of "one" leads to "two", while "one" goes on and fails in the end.
    def react(event):
        if event.name == "Started":
            return [post("one")]
        return [post("two")] if event.name == "HttpAnswered" and event.body == b"a" else []

    met = played(react, Hands({"one": [b"a", b"b", OSError()], "two": [b"x"]}))
    assert bodies(met) == [b"a", b"x", b""] and "HttpFailed" not in [event.name for event in met]


def test_a_piece_that_waits_in_the_queue_goes_with_its_post():
    # A call of the application's comes just before the first piece of "one", and leads to "two".
    class Hurried(Hands):
        async def post(self, url, headers, body, hear):
            if url == "one":
                self.runner.put(Event("Call", tool="whoami", arguments={}))
            await Hands.post(self, url, headers, body, hear)

    starts = {"Started": "one", "Call": "two"}
    met = played(
        lambda event: [post(starts[event.name])] if event.name in starts else [], Hurried({"one": [b"a"], "two": [b"x"]})
    )
    assert bodies(met) == [b"x", b""]


def test_a_post_that_fails_is_told_with_its_code():
    met = played(
        lambda event: [post("one")] if event.name == "Started" else [],
        Hands({"one": [OSError()]}),
        lambda event: event.name == "HttpFailed",
    )
    assert [event.code for event in met if event.name == "HttpFailed"] == ["closed"]
