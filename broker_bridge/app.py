"""The bridge: broker, devices, exchange, authorization server and relay, wired together.

Not for any of their work. What flows through here is named, never looked into.
"""

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from random import SystemRandom
from typing import Any, NamedTuple

from broker_bridge import bridge_key, life, logs, profile, traces
from broker_bridge.answering import Answering, Wanted, safely
from broker_bridge.as_client import PROBE_EVERY_S, AsClient
from broker_bridge.broker_client import BrokerClient, Login
from broker_bridge.configuration import ConfigurationError
from broker_bridge.devices import Devices, Opened, Plain, down, parse
from broker_bridge.exchange import Call, Discover, World
from broker_bridge.handshake import Responder
from broker_bridge.https_client import HttpsClient
from broker_bridge.inventory import Inventory
from broker_bridge.operations import Metrics, Number, Operations, ServiceManager
from broker_bridge.refusals import Refused
from broker_bridge.registry import Registry
from broker_bridge.relay import Relay
from broker_bridge.settings import Https, RegistrySource, Settings
from latchpin.wire import bridge_side
from latchpin.wire.messages import Message

FRAME_EXPIRY_S = 10  # a device waits 5 s for a reply, asks once more, and then takes the replica for dead
REGISTRY_EVERY_S = 2
HAND_OVER_S = 10.0


def login(settings: Settings) -> Login:
    """How `settings` say to reach the broker. The client id is the username where they give none: brokers that keep
    devices apart demand it (use_username_as_clientid), so that every replica has an account of its own."""
    broker = settings.broker
    tls = ssl.create_default_context(cafile=str(broker.ca) if broker.ca else None)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    if broker.client_certificate and broker.client_private_key:
        try:
            tls.load_cert_chain(broker.client_certificate, broker.client_private_key, password="")
        except (OSError, ssl.SSLError):
            text = "broker.client_certificate and client_private_key: are no pair in PEM without a password"
            raise ConfigurationError(text) from None
    secret = broker.secret()
    password = secret.get_secret_value().encode() if secret else None
    client_id = broker.client_id or broker.username
    return Login(broker.host, broker.port, tls, client_id, broker.username, password, broker.keep_alive_s, broker.receive_maximum)


def inventory_of(configured: RegistrySource) -> Inventory | None:
    """The inventory that is to be asked who may speak; None where the registry is a file."""
    if configured.url is None:
        return None
    certificate, key, token = configured.client_certificate, configured.client_private_key, configured.secret_of("token")
    identity = certificate.read_bytes() + b"\n" + key.read_bytes() if certificate and key else None
    https = HttpsClient(configured.ca, configured.private_networks, identity)
    bearer = token.get_secret_value() if token else None
    return Inventory(configured.url, bearer, configured.ttl_s, https, time.monotonic, logs.line)


def new_replica() -> str:
    """A name that no replica had before: what is meant for a dead one then reaches nobody."""
    return "r-" + os.urandom(6).hex()


class Arrived(NamedTuple):
    """A frame, and what lets its PUBACK go."""

    topic: str
    payload: bytes
    admit: Callable[[], None]


class App:
    """One replica. `announce` is called once, with the replica's name, as soon as devices can reach it."""

    def __init__(self, settings: Settings, announce: Callable[[str], None]) -> None:
        self._settings = settings
        self._announce: Callable[[str], None] | None = announce
        self.replica = settings.replica or new_replica()
        key = bridge_key.load(settings.identity.key_file)
        server = settings.authorization_server
        chosen = profile.load(server.profile)
        self._world = World(server.client_id, settings.resources, chosen)
        self._clients: dict[tuple[object, ...], HttpsClient] = {}
        self._as_client = AsClient(server, chosen, time.monotonic, self._https(server))
        self._relay = Relay()
        responder = Responder(settings.identity.kid, key.private, key.public)
        self._inventory = inventory_of(settings.registry)
        registry = self._inventory or Registry(settings.registry.file or "")
        self._devices = Devices(registry, responder, self.replica, settings.limits, os.urandom, logs.line)
        if self._inventory is not None:
            self._inventory.on_asked = lambda device: self._devices.follow((device,))
        filters = [bridge_side.SHARED_HELLO, bridge_side.replica_filter(self.replica)]
        self._broker = BrokerClient(login(settings), filters, self._on_publish, SystemRandom(), self._on_ready)
        self._came = life.Turn(self._take)
        self._asking: set[asyncio.Task[None]] = set()
        self._unadmitted: deque[Callable[[], None]] = deque()
        self._metrics = Metrics(self._numbers)
        self._tracer = traces.tracer(settings.operations, self.replica)
        ways = (self._fetch, self._nonce, self._publish, self._devices.farewell)
        self._answering = Answering(self._world, *ways, self._metrics, self._tracer, self._admit)
        self._service_manager = ServiceManager()

    async def run(self) -> None:
        """Serves until SIGTERM, then hands its devices over to other replicas; Ctrl-C or a second SIGTERM ends it at once."""
        loop = asyncio.get_running_loop()
        stop, at_once = life.told_to_stop()
        with contextlib.suppress(NotImplementedError, AttributeError):
            loop.add_signal_handler(signal.SIGHUP, self._devices.follow_registry)
        listen = self._settings.operations.listen
        async with contextlib.AsyncExitStack() as open_things:
            if listen:
                await open_things.enter_async_context(Operations(listen, self._missing, self._metrics).serving())
            rooms = [asyncio.ensure_future(part) for part in self._parts()]
            stopping = asyncio.ensure_future(stop.wait())
            try:
                await asyncio.wait([stopping, *rooms], return_when=asyncio.FIRST_COMPLETED)
                self._service_manager.tell("STOPPING=1")
                if stopping.done():
                    await self._hand_over(at_once)
            finally:
                # The broker's room says goodbye when it is cancelled, after the last reply.
                everything = [*self._asking, *rooms, stopping]
                for part in everything:
                    part.cancel()
                await asyncio.gather(*self._answering.cancel(), return_exceptions=True)
                results = await asyncio.gather(*everything, return_exceptions=True)
                for client in (*self._clients.values(), *([self._inventory] if self._inventory else [])):
                    await client.close()
                await asyncio.to_thread(self._tracer.close)
            for result in results:
                if isinstance(result, Exception):
                    raise result
        logs.line("stopped", replica=self.replica)

    async def _hand_over(self, at_once: asyncio.Event) -> None:
        """No new session comes, what runs ends, and each device that asks opens its next session elsewhere."""
        logs.line("stopping", replica=self.replica, count=self._devices.live)
        self._devices.handing_over = True
        self._broker.unsubscribe(bridge_side.SHARED_HELLO)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HAND_OVER_S):
                while self._broker.connected and not at_once.is_set():
                    if not (self._answering.under_way or self._asking or self._devices.speaking or self._broker.unsubscribing):
                        break
                    await asyncio.sleep(0.02)

    def _parts(self) -> list[Coroutine[None, None, None]]:
        parts: list[Coroutine[None, None, None]] = [self._broker.run(), self._housekeeping(), self._watch_server()]
        every_s = self._service_manager.every_s
        return parts if every_s is None else [*parts, self._watchdog(every_s)]

    async def _watchdog(self, every_s: float) -> None:
        # From the loop that does the work: where that hangs, nothing comes, and systemd starts the bridge again.
        while True:
            self._service_manager.tell("WATCHDOG=1")
            await asyncio.sleep(every_s)

    def _https(self, server: Https) -> HttpsClient:
        way = (server.ca, *server.private_networks)
        if way not in self._clients:
            self._clients[way] = HttpsClient(server.ca, server.private_networks)
        return self._clients[way]

    def _on_ready(self) -> None:
        logs.line("broker", outcome="connected", replica=self.replica)
        if self._announce is not None:
            self._announce(self.replica)
            self._announce = None
            self._service_manager.tell("READY=1")

    def _on_publish(self, topic: str, payload: bytes, admit: Callable[[], None]) -> None:
        parsed = parse(topic) if self._inventory is not None else None
        if self._inventory is None or parsed is None or self._inventory.ask_ahead(parsed[0]):
            self._came.add(Arrived(topic, payload, admit))
        else:
            task = asyncio.ensure_future(self._take_after_asking(self._inventory, parsed[0], topic, payload, admit))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _take_after_asking(
        self, inventory: Inventory, device: str, topic: str, payload: bytes, admit: Callable[[], None]
    ) -> None:
        await inventory.ask(device)
        self._came.add(Arrived(topic, payload, admit))

    def _take(self, frames: list[Arrived]) -> None:
        now_s = time.monotonic()
        for came in [safely(self._devices.take, frame.topic, frame.payload, now_s) for frame in frames]:
            safely(self._hear, came)
        self._unadmitted.extend(frame.admit for frame in frames)
        self._admit()

    def _hear(self, came: tuple[str, bytes] | Plain | None) -> None:
        said = self._devices.read(came) if isinstance(came, Plain) else came
        if isinstance(said, Opened):
            self._answering.begin(said)
        elif said is not None:
            self._publish(*said)

    def _admit(self) -> None:
        while self._unadmitted and len(self._answering.under_way) < self._settings.limits.in_flight:
            self._unadmitted.popleft()()

    def _fetch(self, wanted: Wanted, request_id: str) -> tuple[str, Coroutine[Any, Any, Any]]:
        if isinstance(wanted, Call):
            return "resource", self._relay.call(wanted, self._https(wanted.resource), request_id)
        if isinstance(wanted, Discover):
            found = self._as_client.discovered(wanted.resource, self._https(wanted.resource), request_id)
            return "authorization_server", found
        return "authorization_server", self._as_client.post(wanted, request_id)

    def _nonce(self, message: Message) -> str | None:
        if message.name != "CALL":
            return self._as_client.nonce
        called, known = message["resource"], self._settings.resources
        return self._relay.nonces.get(known[called].uri) if called < len(known) else None

    def _publish(self, device: str, payload: bytes) -> None:
        self._broker.publish(down(device), payload, FRAME_EXPIRY_S)

    async def _housekeeping(self) -> None:
        seconds = 0
        while True:
            await asyncio.sleep(1)
            seconds += 1
            self._devices.sweep(time.monotonic())
            if seconds % REGISTRY_EVERY_S == 0:
                self._devices.follow_registry()

    async def _watch_server(self) -> None:
        told: str | None = None
        while True:
            code = ""
            try:
                await self._as_client.probe()
            except Refused as refusal:
                code = refusal.why
            if code != told:
                outcome = "unusable" if code else "reachable"
                logs.line("authorization_server", logging.ERROR if code else logging.INFO, outcome=outcome, code=code or None)
                told = code
            await asyncio.sleep(PROBE_EVERY_S)

    def _missing(self) -> str:
        if self._devices.handing_over:
            return "stopping"
        if not self._broker.connected:
            return "broker"
        return "" if self._as_client.reachable and not self._as_client.given_up else "authorization_server"

    def _numbers(self) -> Iterable[Number]:
        yield Number("latchpin_mqtt_connected", self._broker.connected)
        yield Number("latchpin_sessions_active", self._devices.live)
        yield Number("latchpin_bridge_authorization_server_reachable", self._as_client.reachable)
        yield Number("latchpin_bridge_authorization_server_given_up", self._as_client.given_up)
        yield Number("latchpin_bridge_handshakes_pending", self._devices.pending)
        yield Number("latchpin_bridge_requests_running", len(self._answering.under_way))
        for name, count in (*self._devices.counts.items(), *self._broker.counts.items()):
            kind, _, reason = name.partition("_")
            if kind in ("dropped", "ended"):
                yield Number(f"latchpin_bridge_{'frames' if kind == 'dropped' else 'sessions'}_{kind}_total", count, reason)
            else:
                yield Number(f"latchpin_bridge_{'' if name in self._devices.counts else 'mqtt_'}{name}_total", count)
