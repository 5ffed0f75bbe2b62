"""`latchpin bridge check`: talks to broker, authorization server and each resource, and says item by item what to do next.

Not for repair, and not for the bridge's own way of speaking MQTT: paho-mqtt is the second opinion here.
"""

import asyncio
import email.utils
import json
import os
import secrets
import socket
import ssl
import stat
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from broker_bridge import app, bridge_key, profile, translate
from broker_bridge.as_client import AsClient
from broker_bridge.broker_client import Login
from broker_bridge.configuration import ConfigurationError
from broker_bridge.exchange import Discovered
from broker_bridge.https_client import HttpsClient
from broker_bridge.refusals import Refused
from broker_bridge.registry import Registry, RegistryError
from broker_bridge.settings import AuthorizationServer, Resource, Settings
from broker_bridge.translate import Ask
from latchpin.wire import bridge_side
from latchpin.wire.bridge_side import CODES
from latchpin.wire.messages import Message

NOBODY = "bridge-check"  # a name that no device can have
WITHIN_S = 10
MOST_SKEW_S = 60
SOON_DAYS = 14

# What to do next, by the word that names what is wrong.
NEXT = {
    "timeout": "it does not answer in time: see that it runs and that no firewall stands between",
    "connect": "nothing listens there: see that it runs, and that host and port are right",
    "resolve": "the name has no address: see that it is spelt right, and that this machine's resolver knows it",
    "private_address": "the name leads to a private address: if that is right, allow its network in private_networks",
    "tls": "its certificate does not verify: set ca to its authority's PEM file, and use the name that it is made for",
    "metadata_issuer": "the metadata names another issuer: copy its issuer into authorization_server.issuer, byte for byte",
    "metadata_words": "the metadata lacks what RFC 8414 demands (issuer, token_endpoint) or an endpoint is not an https:// URL",
    "endpoint_origin": "an endpoint lies on another origin: if that is right, name it in authorization_server.other_origins",
    "resource_of_another_issuer": "the resource does not name this issuer in authorization_servers (RFC 9728): mend it there",
    "resource_metadata_resource": "the metadata names another resource: copy its `resource` into uri, byte for byte",
    "redirect": "it redirects, and redirects are not followed: use the address that it leads to",
    "content_type": "it does not answer with application/json: is this the right host?",
    "inventory_401": "the inventory refuses us: check registry.token_file or registry.client_certificate",
    "inventory_403": "the inventory refuses us: check registry.token_file or registry.client_certificate",
    "as_error_unknown": "its error code stands neither in our table nor in the profile: add it to [errors] of a profile of yours",
    "as_reason_unknown": "its reason stands not in the profile: add it to [reasons] of a profile of yours",
    "as_asks_nothing_known": "it asks for what the profile does not know: add it to [[asks]] of a profile of yours",
    "unauthorized_client": "the client may not do this: allow it the device grant and refresh tokens, or name another client_id",
    "invalid_client": "it does not take us for its client: check client_id, client_secret_file and client_authentication",
}
OTHER = "it answers in a way that the bridge does not understand: is this the right host?"


class Found(NamedTuple):
    """What came of an item. outcome: ok, warn (works, and should not stay so), FAIL or skip; next: what to do."""

    outcome: str
    text: str
    next: str = ""


class Failed(Exception):
    """An item that failed: what was found, and what to do next."""


Item = Callable[[], Awaitable[str | Found]]


class Report:
    """Tries items and tells each; `bad` counts those to mend."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._items: list[dict[str, str]] = []
        self.bad = 0

    async def item(self, name: str, tried: str, item: Item) -> bool:
        """True unless the item failed."""
        try:
            found = await item()
            found = found if isinstance(found, Found) else Found("ok", found)
        except Failed as failure:
            found = Found("FAIL", *failure.args)
        except (ConfigurationError, RegistryError) as failure:
            found = Found("FAIL", "cannot be used", str(failure))
        except Refused as refusal:
            found = Found("FAIL", refusal.why, NEXT.get(refusal.why, OTHER))
        self._tell(name, tried, found)
        return found.outcome != "FAIL"

    def skip(self, name: str, until: str) -> None:
        self._tell(name, "not tried", Found("skip", f"{until} must be well first"))

    def _tell(self, name: str, tried: str, found: Found) -> None:
        self.bad += found.outcome == "FAIL"
        told = {"item": name, "tried": tried, "outcome": found.outcome.lower(), "found": found.text, "next": found.next}
        self._items.append({key: text for key, text in told.items() if text})
        if not self._as_json:
            print(f"{found.outcome:5} {name}: {tried}: {found.text}", flush=True)
            if found.next:
                print(f"      next: {found.next}", flush=True)

    def end(self) -> int:
        """Says the sum; the exit code."""
        if self._as_json:
            print(json.dumps({"ok": not self.bad, "items": self._items}, indent=2))
        else:
            print("everything works" if not self.bad else f"{self.bad} of {len(self._items)} to mend")
        return 1 if self.bad else 0


async def run(settings: Settings, as_json: bool = False) -> int:
    """Prints what each item found, or all as one JSON object; 0 where nothing is to mend."""
    report = Report(as_json)
    server = settings.authorization_server
    await report.item("key", "read identity.key_file", lambda: _key(settings))
    await report.item("registry", "read it" if settings.registry.file else "asked for a device", lambda: _registry(settings))
    chosen: list[profile.Profile] = []
    await report.item("profile", f"read {server.profile}", lambda: _profile(server, chosen))
    await _broker(report, settings)
    if chosen:
        https = HttpsClient(server.ca, server.private_networks)
        as_client = AsClient(server, chosen[0], time.monotonic, https)
        await _authorization_server(report, as_client, https, settings, chosen[0])
        await https.close()
    return report.end()


async def _key(settings: Settings) -> str:
    path = settings.identity.key_file
    key = bridge_key.load(path)
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise Failed("others can read the file", "chmod 600 it")
    return f"devices pin {settings.identity.kid} {key.public.hex()}"


async def _registry(settings: Settings) -> str:
    inventory = app.inventory_of(settings.registry)
    if inventory is not None:
        try:
            if await inventory.fetched(NOBODY) is not None:
                raise Failed("it knows a device that there is not", "see that registry.url/DEVICE is 404 for an unknown device")
        finally:
            await inventory.close()
        return "a device that there is not is not known"
    devices = Registry(settings.registry.file or "").all()
    if not devices:
        raise Failed("no device is enrolled", "`latchpin device enrol` adds one")
    return f"{sum(not device.revoked for device in devices)} may speak, {sum(device.revoked for device in devices)} revoked"


async def _profile(server: AuthorizationServer, chosen: list[profile.Profile]) -> str:
    chosen.append(profile.load(server.profile))
    return "is one"


# The broker


async def _broker(report: Report, settings: Settings) -> None:
    way: list[Login] = []
    tls = "connected with TLS"
    if await report.item("broker.tls", tls, lambda: _tls(settings, way)):
        talk = _Talk(way[0])
        if await report.item("broker.login", "logged in with MQTT 5", lambda: asyncio.to_thread(talk.login)):
            await report.item("broker.publish", "wrote to a device's down", lambda: asyncio.to_thread(talk.publish))
            await report.item("broker.acl", "wrote to a device's hello", lambda: asyncio.to_thread(talk.overreach))
            # Last: until the connection ends, a device's hello may come here and be lost.
            await report.item("broker.subscriptions", "subscribed as bridges do", lambda: asyncio.to_thread(talk.subscribe))
        else:
            for name in ("publish", "acl", "subscriptions"):
                report.skip(f"broker.{name}", "broker.login")
        talk.close()
        await report.item("broker.anonymous", "logged in as nobody", lambda: asyncio.to_thread(_anonymous, settings))
    else:
        for name in ("login", "publish", "acl", "subscriptions", "anonymous"):
            report.skip(f"broker.{name}", "broker.tls")


async def _tls(settings: Settings, way: list[Login]) -> str | Found:
    way.append(app.login(settings))
    try:
        async with asyncio.timeout(WITHIN_S):
            _, writer = await asyncio.open_connection(way[0].host, way[0].port, ssl=way[0].tls)
    except ssl.SSLError:
        raise Failed("tls", NEXT["tls"]) from None
    except TimeoutError:
        raise Failed("timeout", NEXT["timeout"]) from None
    except socket.gaierror:
        raise Failed("resolve", NEXT["resolve"]) from None
    except OSError:
        raise Failed("connect", NEXT["connect"]) from None
    connection: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate: dict[str, Any] = connection.getpeercert() or {}
    days = int(ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) // 86400
    writer.close()
    text = f"{connection.version()}, its certificate is good for {days} days"
    return Found("warn", text, "renew it") if days < SOON_DAYS else text


class _Talk:
    """One MQTT connection of the bridge's account, by paho-mqtt, step by step."""

    def __init__(self, way: Login) -> None:
        self._answers: dict[str, Any] = {}
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, client_id=way.client_id, protocol=paho.MQTTv5)
        self._way = way
        client.tls_set_context(way.tls)
        client.username_pw_set(way.username, way.password.decode() if way.password else None)
        client.on_connect = lambda client, data, flags, code, properties: self._answers.update(connect=(code, properties))
        client.on_subscribe = lambda client, data, mid, codes, properties: self._answers.update(subscribe=codes)
        client.on_disconnect = lambda client, data, flags, code, properties: self._answers.update(gone=code)
        client.on_publish = lambda client, data, mid, code, properties: self._answers.update(publish=code)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def login(self) -> str | Found:
        try:
            self._client.connect(self._way.host, self._way.port, keepalive=60)
        except OSError:  # TLS 1.3 tells a client certificate that was missed only now
            raise Failed("refused", "check broker.client_certificate, and what the broker's log says") from None
        self._client.loop_start()
        code, properties = self._wait("connect", "refused", "see the broker's log: it wants MQTT 5, or a client certificate")
        if code.is_failure:
            raise Failed(_word(code), "check broker.username and broker.password_file against the broker's accounts")
        lacking = [
            word
            for word, name in (("shared", "SharedSubscriptionAvailable"), ("wildcard", "WildcardSubscriptionAvailable"))
            if getattr(properties, name, 1) == 0
        ]
        if lacking or getattr(properties, "MaximumQoS", 1) == 0:
            raise Failed(f"without {' and '.join(lacking) or 'QoS 1'}", "switch it on at the broker: the bridge needs it")
        if getattr(properties, "MaximumPacketSize", 8192) < 8192:
            return Found("warn", "packets of 8,192 bytes are too large for it", "raise its max_packet_size")
        return "accepted"

    def subscribe(self) -> str:
        filters = [bridge_side.SHARED_HELLO, bridge_side.replica_filter(NOBODY)]
        self._client.subscribe([(pattern, 1) for pattern in filters])
        codes = self._wait("subscribe", "no answer", "see the broker's log")
        if any(code.value != 1 for code in codes):
            raise Failed(_word(next(code for code in codes if code.value != 1)), "give the bridge's account its ACL (`acl`)")
        return "granted, which mosquitto does whatever its ACL says"

    def publish(self) -> str:
        code = self._published(bridge_side.down(NOBODY))
        if code.is_failure:
            raise Failed(_word(code), "give the bridge's account its ACL: `latchpin bridge acl`")
        return "taken"

    def overreach(self) -> str | Found:
        """What a bridge may not: so that an ACL is known to be there."""
        if not self._published(f"latchpin/1/{NOBODY}/hello").is_failure:
            return Found("warn", "taken: the broker has no ACL, or another one", "give it the one of `latchpin bridge acl`")
        return "refused, as it should be"

    def _published(self, topic: str) -> ReasonCode:
        self._answers.pop("publish", None)
        self._client.publish(topic, b"", qos=1)
        return self._wait("publish", "no answer", "see the broker's log: it ended the connection, or did not answer")

    def _wait(self, name: str, text: str, following: str) -> Any:
        until_s = time.monotonic() + WITHIN_S
        while name not in self._answers:
            if time.monotonic() > until_s or "gone" in self._answers:
                raise Failed(text, following)
            time.sleep(0.01)
        return self._answers[name]


def _anonymous(settings: Settings) -> str:
    broker = settings.broker
    answers: list[ReasonCode] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"x-{secrets.token_hex(4)}", protocol=paho.MQTTv5)
    client.tls_set_context(ssl.create_default_context(cafile=str(broker.ca) if broker.ca else None))  # no certificate of ours
    client.on_connect = lambda client, data, flags, code, properties: answers.append(code)
    client.on_disconnect = lambda client, data, flags, code, properties: answers.append(code)
    try:
        client.connect(broker.host, broker.port, keepalive=60)
        until_s = time.monotonic() + WITHIN_S
        while not answers and time.monotonic() < until_s:
            client.loop(0.1)
    except OSError:
        return "refused, as it should be"
    finally:
        client.disconnect()
    if answers and not answers[0].is_failure:
        raise Failed("accepted", "the broker lets in whoever comes: set allow_anonymous false")
    return "refused, as it should be"


def _word(code: ReasonCode) -> str:
    return code.getName().lower()


# The authorization server and the resources


async def _authorization_server(
    report: Report, as_client: AsClient, https: HttpsClient, settings: Settings, chosen: profile.Profile
) -> None:
    found: list[Discovered] = []
    server = settings.authorization_server
    if await report.item("as.metadata", "fetched and compared", lambda: _metadata(as_client, found)):
        await report.item("as.offers", "looked for PKCE and DPoP", lambda: _offers(found[0]))
        await report.item("as.clock", "compared with ours", lambda: _clock(https, found[0]))
        await report.item("as.client", "redeemed a made-up code", lambda: _client(as_client, server, found[0]))
        challenge = "went on with a made-up session"
        await report.item("as.challenge", challenge, lambda: _challenge(as_client, settings, chosen, found[0]))
    else:
        for name in ("offers", "clock", "client", "challenge"):
            report.skip(f"as.{name}", "as.metadata")
    for number, resource in enumerate(settings.resources):
        await report.item(
            f"resource.{number}",
            "compared its metadata",
            lambda resource=resource: _resource(as_client, resource, server, bool(found)),
        )


async def _metadata(as_client: AsClient, found: list[Discovered]) -> str:
    found.append(await as_client.metadata())
    return "the issuer is the configured one, and its endpoints are on allowed origins"


async def _offers(found: Discovered) -> str | Found:
    if "S256" not in found.metadata.code_challenge_methods_supported:
        raise Failed("no PKCE with S256", "switch it on: code_challenge_methods_supported must list S256")
    if not {"challenge", "device_authorization"} & found.endpoints.keys():
        raise Failed(
            "neither an authorization_challenge_endpoint nor a device_authorization_endpoint",
            "switch one on, or name the path of the first in the profile's [challenge]: devices have no browser",
        )
    if "ES256" not in found.metadata.dpop_signing_alg_values_supported:
        text = "without DPoP, devices take its bearer tokens only with allow_bearer, and never through CALL"
        return Found("warn", text, "switch DPoP with ES256 on, if it has it")
    if _by_code_alone(found):
        return "both, and the device grant alone: devices ask for no PIN but show a code, for a person with a browser"
    return "both"


def _by_code_alone(found: Discovered) -> bool:
    """Whether devices pair by the device grant (RFC 8628), for want of a challenge endpoint."""
    return "challenge" not in found.endpoints and "device_authorization" in found.endpoints


async def _clock(https: HttpsClient, found: Discovered) -> str | Found:
    fetched = await https.fetch("GET", found.endpoints["token"], {"Accept": "application/json"}, wanted=("date",))
    try:
        skew_s = round(email.utils.parsedate_to_datetime(fetched.headers["date"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return Found("ok", "it does not tell its time")
    if abs(skew_s) > MOST_SKEW_S:
        return Found("warn", f"{abs(skew_s)} s apart", "set the clock of this machine: devices get their time from the bridge")
    return "the same"


async def _client(as_client: AsClient, server: AuthorizationServer, found: Discovered) -> str | Found:
    form = {"grant_type": "authorization_code", "code": "made-up", "code_verifier": "v" * 43}
    if _by_code_alone(found):
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "made-up"}
    answer = await as_client.post(Ask("token", {**form, "client_id": server.client_id}, None))
    error = str(answer.content.get("error", ""))
    if error in ("invalid_client", "unauthorized_client"):
        raise Failed(error, NEXT[error if _by_code_alone(found) else "invalid_client"])
    if answer.status >= 500 or answer.status == 429:
        raise Failed(f"as_{answer.status}", "it is in trouble, or has had enough of us: see its log")
    if answer.status < 400:
        raise Failed("it redeemed a code that it never gave", "do not use it")
    if error == "invalid_grant":
        return "refused with invalid_grant, so it takes us for its client"
    return Found("warn", f"refused with {error if error in translate.ERRORS else 'an unknown error'}", "see its log")


async def _challenge(as_client: AsClient, settings: Settings, chosen: profile.Profile, found: Discovered) -> str | Found:
    if _by_code_alone(found):
        return Found("skip", "it has no such endpoint: devices show a code instead")
    if "challenge" not in found.endpoints:
        return Found("skip", "as.offers must be well first")
    fields = {"rid": bytes(8), "auth_session": "made-up", "resource": 0, "scope": 0}
    message = Message("CHALLENGE", fields)
    client_id = settings.authorization_server.client_id
    ask = translate.to_ask(message, NOBODY, client_id, settings.resources, chosen)
    told = translate.to_told(message, await as_client.post(ask), chosen)
    if told.message.name != "ERROR":
        raise Failed("it went on with a session that it never gave", "do not use it")
    code = CODES[told.message["error"]]
    if code == "needs_browser":
        return Found(
            "warn", "it sends people to a browser", "devices that can show a code use RFC 8628; PINs need another client"
        )
    if code in ("internal", "try_later"):
        raise Failed(told.why or code, NEXT.get(told.why or "", OTHER))
    return f"refused in words that the profile knows ({told.why})"


async def _resource(as_client: AsClient, resource: Resource, server: AuthorizationServer, known: bool) -> str | Found:
    if not known:
        return Found("skip", "as.metadata must be well first")
    https = HttpsClient(resource.ca, resource.private_networks)
    try:
        await as_client.discovered(resource, https)
    finally:
        await https.close()
    return "it names this issuer"
