"""Every payload that the broker of a world sees: `async with tapped(world) as tap`, then `tap.recorded()`.

Not one of the parties: on mosquitto it is an account that the broker's operator gives himself, as any operator can.
"""

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import AsyncIterator
from typing import Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from broker_bridge.registry import hash_mqtt_password
from host_sim.mqtt_broker import read_tap
from host_sim.world import World

NAME = "operator"
WITHIN_S = 30


class Tap(Protocol):
    def recorded(self) -> list[tuple[str, bytes]]:
        """(topic, payload) of each PUBLISH so far, in the order of the broker."""


class OnTheDemoBroker:
    """Wants a World with `tap=True`."""

    def __init__(self, world: World) -> None:
        self._path = world.folder / "tap.bin"

    def recorded(self) -> list[tuple[str, bytes]]:
        return list(read_tap(self._path))


class OnMosquitto:
    def __init__(self, world: World) -> None:
        password = secrets.token_urlsafe(16)
        with (world.folder / "passwords").open("a") as passwords:
            passwords.write(f"{NAME}:{hash_mqtt_password(password.encode())}\n")
        with (world.folder / "acl").open("a") as acl:
            acl.write(f"\nuser {NAME}\ntopic read latchpin/#\n")
        world.services["broker"].poke(signal.SIGHUP)
        self._came: list[tuple[str, bytes]] = []
        self.subscribed = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=NAME, protocol=paho.MQTTv5)
        self._client.tls_set(str(world.folder / "ca.pem"))
        self._client.username_pw_set(NAME, password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("latchpin/#", 1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = lambda client, data, message: self._came.append((message.topic, bytes(message.payload)))
        _, _, port = world.broker_url.rpartition(":")
        self._client.connect_async("localhost", int(port))
        self._client.loop_start()

    def _on_subscribe(self, *_: object) -> None:
        self.subscribed = True

    def recorded(self) -> list[tuple[str, bytes]]:
        return list(self._came)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.asynccontextmanager
async def tapped(world: World) -> AsyncIterator[Tap]:
    if world.broker == "embedded":
        yield OnTheDemoBroker(world)
        return
    tap = OnMosquitto(world)
    try:
        end_s = time.monotonic() + WITHIN_S
        while not tap.subscribed:
            assert time.monotonic() < end_s, "mosquitto did not let its operator in"
            await asyncio.sleep(0.02)
        yield tap
    finally:
        tap.close()


async def until_recorded(tap: Tap, topic: str, payload: bytes) -> None:
    """Waits until somebody published this."""
    end_s = time.monotonic() + WITHIN_S
    while (topic, payload) not in tap.recorded():
        assert time.monotonic() < end_s, "it was never published"
        await asyncio.sleep(0.02)
