"""Tells the heap that an MqttLink takes: compiled, connected, and at the peak of a 4,096-byte round trip. Run by test_heap.py."""

import asyncio
import gc
import json
import sys


def live():
    gc.collect()
    return gc.mem_alloc()


async def main(how):
    before = live()
    from latchpin import runtime  # noqa: F401

    with_runtime = live()
    from latchpin.adapters.mqtt_link import MqttLink

    imported = live()
    link = MqttLink(how["broker"], how["device"], how["password"], how["subscribe"])
    await link.connect()
    connected = live()
    payload = bytes(4096)
    gc.collect()
    before_trip = gc.mem_alloc()
    gc.disable()
    await link.publish(how["topic"], payload)
    published = gc.mem_alloc()
    gc.enable()
    topic, echoed = await link.receive()
    received = live()
    await link.close()
    del link, topic
    closed = live()
    return {
        "runtime": with_runtime - before,
        "mqtt_link": imported - with_runtime,
        "connected": connected - imported,
        "publish_churn": published - before_trip,
        "received": received - connected,
        "closed": closed - imported,
        "echoed": len(echoed),
    }


with open(sys.argv[1]) as given:
    print(json.dumps(asyncio.run(main(json.load(given)))))
