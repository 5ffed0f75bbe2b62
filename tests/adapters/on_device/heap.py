"""Tells the heap that an MqttLink takes: compiled, connected, and for a 4,096-byte round trip. Run by test_heap.py."""

import asyncio
import gc
import json
import sys

from latchpin import runtime  # noqa: F401


def live():
    gc.collect()
    return gc.mem_alloc()


async def round_trip(how, seen):
    from latchpin.adapters.mqtt_link import MqttLink

    link = MqttLink(how["broker"], how["device"], how["password"], how["subscribe"])
    await link.connect()
    await asyncio.sleep(0.05)
    seen["connected"] = live()
    payload = bytes(4096)
    before = live()
    gc.disable()
    await link.publish(how["unheard"], payload)
    seen["publish_churn"] = gc.mem_alloc() - before
    gc.enable()
    await link.publish(how["topic"], payload)
    _, echoed = await link.receive()
    seen["echoed"] = len(echoed)
    await link.close()


async def main(how):
    seen = {}
    before = live()
    import latchpin.adapters.mqtt_link  # noqa: F401

    seen["mqtt_link"] = live() - before
    # What asyncio loads late is not the link's.
    late = asyncio.Event, asyncio.StreamWriter, asyncio.wait_for
    idle = live()
    await round_trip(how, seen)
    seen["connected"] -= idle
    await asyncio.sleep(0.1)
    after_first = live()
    for _ in range(4):
        await round_trip(how, {})
        await asyncio.sleep(0.1)
    seen["left_behind"] = live() - after_first
    return seen if late else None


with open(sys.argv[1]) as given:
    print(json.dumps(asyncio.run(main(json.load(given)))))
