"""Walks an MqttLink through the steps it is given and tells what came of each. Not a test: test_mqtt_link.py runs it."""

# ruff: noqa: UP041
import asyncio
import json
import sys

from latchpin.adapters.mqtt_link import MqttLink
from latchpin.adapters.stream import LinkError
from latchpin.runtime import ticks_diff, ticks_ms


async def step(link, name, *arguments):
    if name == "connect":
        return await link.connect()
    if name == "publish":
        topic, payload = arguments[:2]
        return await link.publish(topic, payload.encode(), *arguments[2:])
    if name == "publish_many":
        topic, count, size = arguments
        for number in range(count):
            await link.publish(topic, bytes((number,)) * size)
        return count
    if name == "publish_and_give_up":
        try:
            await asyncio.wait_for(link.publish(*arguments[:1], b"x"), 0.3)
        except asyncio.TimeoutError:
            return "given up"
    if name == "receive":
        topic, payload = await asyncio.wait_for(link.receive(), arguments[0] if arguments else 10)
        return [topic, len(payload), payload[:32].decode()]
    if name == "receive_nothing":
        try:
            await asyncio.wait_for(link.receive(), arguments[0])
        except asyncio.TimeoutError:
            return "nothing"
    if name == "alive":
        return link.alive
    if name == "sleep":
        return await asyncio.sleep(arguments[0])
    if name == "close":
        return await link.close()
    raise ValueError(name)


async def main(how):
    came = []
    will = how.get("will")
    link = MqttLink(
        how["broker"],
        how["device"],
        how["password"],
        how.get("subscribe", ()),
        will and (will[0], will[1].encode()),
        how.get("keepalive_s", 30),
        how.get("timeout_s", 5),
    )
    assert how["password"] not in repr(link)
    for one in how["steps"]:
        began = ticks_ms()
        try:
            came.append(await step(link, *one))
        except LinkError as error:
            text = str(error)
            assert how["password"] not in text
            came.append({"code": error.code, "reason": error.reason, "text": text, "ms": ticks_diff(ticks_ms(), began)})
    await link.close()
    return came


with open(sys.argv[1]) as given:
    print(json.dumps(asyncio.run(main(json.load(given)))))
