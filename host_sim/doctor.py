"""`latchpin doctor`: goes the device's way step by step, from a PC with the device's files or on the board itself, and names
the step that fails.

Not the device: MQTT is paho's here, a second opinion; the handshake and the first request are the device's own code. The other
half, from the bridge to its servers, is `latchpin bridge check`.
"""

import argparse
import hashlib
import queue
import re
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from boards import serial_board
from latchpin.adapters import settings as adapters_settings
from latchpin.agent.conversation import Conversation
from latchpin.runtime import random_bytes
from latchpin.wire import topics
from latchpin.wire.bridge_side import CODES
from latchpin.wire.errors import PeerError

WAIT_S = 10
CHECKUP = Path(serial_board.__file__).with_name("checkup.py")

# What to do next, by step.
NEXT = {
    "board": "see what `latchpin flash --help` says, and flash it",
    "files": "mend the file that is named, or run `latchpin flash` again",
    "wifi": "look at name and password of the network: `latchpin flash --wifi`",
    "name": "see broker.host in settings.json, and the DNS of this network",
    "connection": "see that the broker runs, that broker.port is right, and that no firewall stands between",
    "certificate": "the broker's certificate does not fit broker.ca, broker.pin or broker.server_name in settings.json",
    "login": "the broker does not know this device, or another password for it: enrol it, and let the broker read its files",
    "subscription": "the broker's ACL does not let the device read its own topic: see `latchpin device enrol`, and the ACL file",
    "hello": "see that the bridge runs (`latchpin bridge check`), and that the broker's ACL lets the device write its topics",
    "handshake": "bridge and device do not fit: enrol this device's key at the bridge, and see that `bridges` in identity.json "
    "names the key that `latchpin bridge key` printed. The bridge's log names the same request id",
    "authorization server": "the bridge is there and its server is not: run `latchpin bridge check` beside the bridge",
}


class Failed(Exception):
    """A step did not work; the text says what was seen."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latchpin doctor`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "DIR holds the device's identity.json and settings.json: the `device` folder of `latchpin demo --state`, or what\n"
        "`mpremote cp :identity.json :settings.json DIR` fetched from a board (it has the device's key: delete it afterwards).\n"
        "The device should be off meanwhile: two clients of one name take each other's connection. No PIN is asked for.\n\n"
        "With --port the board itself goes the way, through its own network, and its key stays where it is."
    )
    parser.add_argument("--port", help="the serial port of a board, say /dev/ttyUSB0: it goes the way itself")
    parser.add_argument("--device", type=Path, metavar="DIR", default=Path(), help="where the device's files are (default: here)")


def run(args: argparse.Namespace) -> int:
    """0 where every step works; 1 at the first that does not."""
    if not (_board_works if args.port else _files_work)(args):
        return 1
    print(
        "The way is free. What comes next is a person: with a PIN from where the authorization server issues them, or at a"
        " browser, with the code that the device shows."
    )
    return 0


def _files_work(args: argparse.Namespace) -> bool:
    checkup = _Checkup(args.device)
    try:
        for step, deed in checkup.steps:
            try:
                seen = deed()
            except (Failed, OSError, adapters_settings.SettingsError) as error:
                said = str(error) if not isinstance(error, OSError) else (error.strerror or type(error).__name__)
                return _say(step, False, said)
            _say(step, True, seen)
    finally:
        checkup.close()
    return True


def _board_works(args: argparse.Namespace) -> bool:
    works = []

    def hear(line: str) -> None:
        step, how, seen = line.split("|", 2)
        if (code := re.fullmatch(r"error (\d+) (.*)", seen)) is not None:
            seen = f"{CODES.get(int(code[1]), 'refused')} {code[2]}"
        works.append(_say(step, how == "ok", seen))

    try:
        with serial_board.SerialBoard(args.port) as board:
            _say("board", True, board.check())
            board.run(CHECKUP.read_text(), on_line=hear)
    except serial_board.BoardError as error:
        return _say("board", False, str(error))
    return bool(works) and all(works)


def _say(step: str, works: bool, seen: str) -> bool:
    print(f"ok    {step}: {seen}" if works else f"FAIL  {step}: {seen}\n      next: {NEXT[step]}")
    return works


class _Checkup:
    """The steps in order; each leaves behind what the next one needs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._client: paho.Client | None = None
        self._inbox: queue.Queue[bytes] = queue.Queue()
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.steps = (
            ("files", self._files),
            ("name", self._name),
            ("connection", self._connection),
            ("certificate", self._certificate),
            ("login", self._login),
            ("subscription", self._subscription),
            ("hello", self._hello),
            ("handshake", self._handshake),
            ("authorization server", self._discover),
        )

    def close(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()

    def _files(self) -> str:
        self._identity, settings = adapters_settings.load(str(self._folder))
        self._settings = settings
        self._broker = settings["broker"]
        return self._identity.device

    def _name(self) -> str:
        found = socket.getaddrinfo(self._broker["host"], self._broker["port"], type=socket.SOCK_STREAM)
        return f"{self._broker['host']} is {found[0][4][0]}"

    def _connection(self) -> str:
        with socket.create_connection((self._broker["host"], self._broker["port"]), WAIT_S):
            return f"port {self._broker['port']} is open"

    def _certificate(self) -> str:
        self._context = (
            ssl.create_default_context() if "ca" not in self._broker else ssl.create_default_context(cadata=self._ca())
        )
        name = self._broker.get("server_name") or self._broker["host"]
        if "ca" not in self._broker:
            raise Failed(
                "broker.pin alone: doctor wants broker.ca too, to speak to the broker with another client than the device's"
            )
        try:
            with (
                socket.create_connection((self._broker["host"], self._broker["port"]), WAIT_S) as raw,
                self._context.wrap_socket(raw, server_hostname=name) as secure,
            ):
                leaf = secure.getpeercert(binary_form=True) or b""
        except ssl.SSLError as error:
            raise Failed(error.reason or "TLS") from None
        pins = self._broker.get("pin", "").lower().split()
        if pins and hashlib.sha256(leaf).hexdigest() not in pins:
            raise Failed("not the pinned one")
        return "verified" + (", and the pinned one" if pins else "")

    def _ca(self) -> str:
        return ssl.DER_cert_to_PEM_cert(Path(self._broker["ca"]).read_bytes())

    def _login(self) -> str:
        client = self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=self._identity.device, protocol=paho.MQTTv5)
        client.tls_set_context(self._context)
        client.username_pw_set(self._identity.device, self._identity.mqtt_password)
        client.on_connect = lambda client, data, flags, reason, properties: self._events.put(("connect", reason))
        client.on_subscribe = lambda client, data, mid, reasons, properties: self._events.put(("subscribe", reasons[0]))
        client.on_message = lambda client, data, message: self._inbox.put(bytes(message.payload))
        client.connect(self._broker["host"], self._broker["port"], keepalive=30)
        client.loop_start()
        reason = self._event("connect")
        if reason.is_failure:
            raise Failed(f"refused: {reason}")
        return "accepted"

    def _subscription(self) -> str:
        assert self._client is not None
        self._client.subscribe(topics.topic(self._identity.device, "down"), qos=1)
        reason = self._event("subscribe")
        if reason.is_failure:
            raise Failed(f"refused: {reason}")
        return "granted"

    def _hello(self) -> str:
        self._talk = Conversation(self._identity, random_bytes)
        heard = self._say(self._talk.greet(_now_ms()))
        if heard != "message_2":
            raise Failed(f"the bridge refused [{self._talk.request_id}]")
        return f"answered, and by the pinned bridge [{self._talk.request_id}]"

    def _handshake(self) -> str:
        heard = self._say(self._talk.prove(_now_ms()))
        if heard != "message_4":
            raise Failed(f"the bridge refused [{self._talk.request_id}]")
        return "keys on both sides"

    def _discover(self) -> str:
        reply = self._say(self._talk.ask("DISCOVER", {"resource": self._settings["resource"]}, _now_ms()))
        if isinstance(reply, str):
            raise Failed("the session was lost")
        if reply.name != "OFFER":
            raise Failed(f"{CODES.get(reply.get('error') or 0, reply.name)} [{self._talk.request_id}]")
        if reply.get("challenge_endpoint"):
            way = "a challenge endpoint"
        elif reply.get("device_authorization_endpoint"):
            way = "the device grant (it asks for no PIN but shows a code)"
        else:
            raise Failed("it offers neither an authorization challenge endpoint nor the device grant: it wants a browser")
        return f"{reply.issuer}, with {way}{' and DPoP' if reply.dpop_supported else ', without DPoP'}"

    def _say(self, effect: Any) -> Any:
        """Publish, and what the conversation makes of the answer: its word, or the reply itself."""
        assert self._client is not None
        self._client.publish(effect.topic, effect.payload, qos=1)
        until_s = time.monotonic() + WAIT_S
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                heard, reply = self._talk.hear(self._inbox.get(timeout=left_s), _now_ms())
            except queue.Empty:
                break
            except PeerError:
                continue
            return heard if reply is None else reply
        raise Failed(f"no answer within {WAIT_S} s [{self._talk.request_id}]")

    def _event(self, kind: str) -> Any:
        try:
            while (event := self._events.get(timeout=WAIT_S))[0] != kind:
                pass
        except queue.Empty:
            raise Failed(f"no answer within {WAIT_S} s") from None
        return event[1]


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
