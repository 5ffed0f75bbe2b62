"""boards/UNIX with a stop-watch on it: how long the device was in each state, and how much of that it was thinking.

Not another device: it imports the board's main.py and stands beside `Agent.state` and `Agent.handle`.
"""

import json
import sys
import time

import main

from latchpin.agent.agent import Agent

if hasattr(time, "ticks_us"):
    now_us, since = time.ticks_us, time.ticks_diff
else:

    def now_us():
        return time.perf_counter_ns() // 1000

    def since(later, earlier):
        return later - earlier


class Watch:
    """spans: [state, microseconds in it, microseconds of those in Agent.handle]."""

    def __init__(self):
        self.spans = []
        self.state = "BOOT"
        self.began = self.entered = now_us()
        self.inside = False
        self.thought = 0

    def change(self, state):
        now = now_us()
        if self.inside:
            self.thought += since(now, self.entered)
            self.entered = now
        self.spans.append([self.state, since(now, self.began), self.thought])
        self.state, self.began, self.thought = state, now, 0


watch = Watch()
handle = Agent.handle


def set_state(self, state):
    self.be = state
    watch.change(state)


def watched_handle(self, event, now_ms):
    watch.inside, watch.entered = True, now_us()
    effects = handle(self, event, now_ms)
    watch.thought += since(now_us(), watch.entered)
    watch.inside = False
    if [True for effect in effects if effect.name == "Answer"]:
        sys.stderr.write("bench " + json.dumps(watch.spans) + "\n")
    return effects


Agent.state = property(lambda self: self.be, set_state)
Agent.handle = watched_handle

if __name__ == "__main__":
    sys.exit(main.main(sys.argv[1:]))
