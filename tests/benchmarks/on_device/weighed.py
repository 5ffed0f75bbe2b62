"""boards/UNIX with a balance under it: bytes of heap in use around every event, and what of them lives on.

Not for time: it collects garbage before and after every event. On MicroPython only.
"""

import gc
import json
import sys

import main

from latchpin.agent.agent import Agent

weighed = []
handle = Agent.handle


def weigh(self, event, now_ms):
    gc.collect()
    before = gc.mem_alloc()
    state = self.state
    effects = handle(self, event, now_ms)
    # Nothing was collected in between where the heap is large: all that the event allocated is still there.
    reached = gc.mem_alloc()
    gc.collect()
    weighed.append([state, event.name, before, reached, gc.mem_alloc()])
    if [True for effect in effects if effect.name == "Answer"]:
        sys.stderr.write("bench " + json.dumps(weighed) + "\n")
    return effects


Agent.handle = weigh

if __name__ == "__main__":
    sys.exit(main.main(sys.argv[1:]))
