"""A device as the bridge's tests need one: latchpin.wire for handshake and frames, paho-mqtt for the connection.

Not the agent: it does what a test says, also what no device should do.
"""

import contextlib
import json
import os
import queue
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import tomli_w
from paho.mqtt.enums import CallbackAPIVersion

from broker_bridge import bridge_key
from broker_bridge.registry import Registry, hash_mqtt_password
from latchpin.crypto import p256
from latchpin.wire import bridge_side, cbor, edhoc, messages, session, topics
from latchpin.wire.messages import Message
from tests.brokers.running import Running, first_line

LOOPBACK = ["127.0.0.0/8", "::1/128"]
REPLY_S = 30
KID = 2
SILENCE_S = 0.6


class Silence(Exception):
    """Nothing came."""


class Identity:
    """A device's keys, with the bridge that it pins. `enrol` writes the public half down."""

    def __init__(self, bridge_public: bytes, device: str | None = None) -> None:
        self.device = device or "lp-" + secrets.token_hex(4)
        self.kid = b"\x01"
        self.private = p256.new_private(os.urandom)
        self.public = p256.public_key(self.private)
        self.bridges = [(bytes((KID,)), bridge_public)]
        self.password = secrets.token_urlsafe(16)

    def enrol(self, registry: Registry) -> "Identity":
        registry.enrol(self.device, self.public, hash_mqtt_password(self.password.encode()))
        return self


class Talk:
    """The device's half of a conversation, without a network: payloads in, payloads out."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.session: session.Session | None = None
        self.replica = ""
        self._hello: edhoc.Hello | None = None
        self._proof: edhoc.Proof | None = None

    def hello(self) -> bytes:
        self._hello = edhoc.Hello(self.identity, self.identity.bridges, os.urandom)
        return bridge_side.pack_step(1, self._hello.message_1)

    @property
    def request_id(self) -> str:
        assert self._hello
        return edhoc.request_id(self._hello.message_1)

    def proof(self, payload: bytes) -> bytes:
        number, parts = edhoc.unpack_step(_list(payload))
        assert number == 2 and self._hello, "no message_2"
        self._proof, self.replica = self._hello.answer(parts[0]), parts[1]
        return bridge_side.pack_step(3, self._proof.message_3)

    def confirm(self, payload: bytes) -> None:
        number, parts = edhoc.unpack_step(_list(payload))
        assert number == 4 and self._proof, "no message_4"
        self.session = self._proof.confirm(parts[0])

    def seal(self, message: Message) -> tuple[bytes, tuple[bytes, bytes]]:
        assert self.session
        return self.session.seal(messages.pack(message))

    def open(self, payload: bytes, *requests: tuple[bytes, bytes]) -> Message:
        assert self.session
        plaintext, _ = self.session.open(session.parse(payload), requests)
        return messages.unpack(plaintext)


def message(kind: str, rid: bytes | None = None, /, **fields: Any) -> Message:
    return Message(kind, {"rid": rid or secrets.token_bytes(8), **fields})


def _list(payload: bytes) -> list[Any]:
    decoded = cbor.decode(payload)
    assert isinstance(decoded, list)
    return decoded


class Device(Talk):
    """A device on a broker. `came` holds what was published on its `down`."""

    def __init__(self, identity: Identity, broker: Running, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(identity)
        self.came: queue.Queue[bytes] = queue.Queue()
        self._ready = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=identity.device, protocol=paho.MQTTv5)
        self.client.username_pw_set(identity.device, identity.password)
        self.client.tls_set_context(tls or ssl.create_default_context(cafile=str(broker.ca)))
        self.client.on_socket_open = _no_delay
        self.client.on_message = lambda client, data, packet: self.came.put(bytes(packet.payload))
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.connect(broker.host, broker.port, keepalive=30)
        self.client.loop_start()
        assert self._ready.wait(30), "the broker does not let the device in"

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe(topics.topic(self.identity.device, "down"), qos=1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def say_hello(self) -> None:
        self.publish(topics.topic(self.identity.device, "hello"), self.hello())

    def say_up(self, payload: bytes) -> None:
        self.publish(topics.topic(self.identity.device, "up", self.replica), payload)

    def hear(self, within_s: float = REPLY_S) -> bytes:
        try:
            return self.came.get(timeout=within_s)
        except queue.Empty:
            raise Silence from None

    def hears_nothing(self, for_s: float = SILENCE_S) -> bool:
        with contextlib.suppress(Silence):
            self.hear(for_s)
            return False
        return True

    def shake(self) -> "Device":
        """A session, unconfirmed until the first request."""
        self.say_hello()
        self.say_up(self.proof(self.hear()))
        self.confirm(self.hear())
        return self

    def ask(self, kind: str, rid: bytes | None = None, /, **fields: Any) -> Message:
        """The reply to one request."""
        frame, request = self.seal(message(kind, rid, **fields))
        self.say_up(frame)
        return self.open(self.hear(), request)


def _no_delay(client: paho.Client, data: Any, connected: Any) -> None:
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Bridge:
    """The real bridge in a process of its own: `replica` once it is ready, `lines` of its log so far."""

    def __init__(self, config: Path, environment: dict[str, str] | None = None) -> None:
        self.lines: list[dict[str, Any]] = []
        self.text: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "broker_bridge", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            ready = first_line(self.process).split()
        except queue.Empty:
            self.process.kill()
            ready = []
        if ready[:1] != ["ready"]:
            self.process.wait(30)
            self._reader.join(5)
            raise AssertionError("the bridge did not start\n" + "".join(self.text))
        self.replica = ready[1]

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.text.append(line)
            with contextlib.suppress(ValueError):
                self.lines.append(json.loads(line))

    def line(self, within_s: float = 30, **members: Any) -> dict[str, Any]:
        """The first line that has these members; waits for it."""
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s:
            for line in list(self.lines):
                if members.items() <= line.items():
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no line with {members} in\n" + "".join(self.text[-20:]))

    def stop(self) -> int:
        """Ends it as Ctrl-C does, without handing anything over; its exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(30)
        self._reader.join(5)
        return code


class Place:
    """A folder with all that a bridge needs: key, registry, secrets; `configure` writes bridge.toml."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = bridge_key.make(folder / "bridge.key")
        self.registry = Registry(folder / "devices.toml")
        (folder / "client.secret").write_text("client-secret-" + "q" * 20)

    def identity(self) -> Identity:
        return Identity(self.key.public).enrol(self.registry)

    def configure(self, broker: Running, issuer: str, resource: str, ca: Path, name: str = "bridge.toml", /, **more: Any) -> Path:
        (self.folder / "broker.password").write_text(broker.bridge_password)
        table: dict[str, Any] = {
            "broker": {
                "url": broker.url,
                "username": broker.bridge_username,
                "password_file": "broker.password",
                "ca": str(broker.ca),
            },
            "authorization_server": {
                "issuer": issuer,
                "client_id": "latchpin-device",
                "client_secret_file": "client.secret",
                "ca": str(ca),
                "private_networks": LOOPBACK,
            },
            "resources": [
                {
                    "uri": resource,
                    "scopes": ["led:read", "led:read led:write"],
                    "ca": str(ca),
                    "private_networks": LOOPBACK,
                }
            ],
            "identity": {"key_file": "bridge.key", "kid": KID},
            "registry": {"file": "devices.toml"},
        }
        for section, changes in more.items():
            table[section] = {**table[section], **changes} if isinstance(changes, dict) and section in table else changes
        path = self.folder / name
        path.write_text(tomli_w.dumps(table))
        return path


@contextlib.contextmanager
def running(config: Path, environment: dict[str, str] | None = None) -> Iterator[Bridge]:
    bridge = Bridge(config, environment)
    try:
        yield bridge
    finally:
        if bridge.process.poll() is None:
            bridge.stop()


def until(met: Callable[[], bool], within_s: float = 30) -> None:
    """Waits until `met()`; an AssertionError if it never is."""
    end_s = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < end_s, "it did not come to pass"
        time.sleep(0.02)
