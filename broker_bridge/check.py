"""`latchpin bridge check`: talks to broker, authorization server and each resource, and says item by item what to do next.

Not for repair, and not for the bridge's own way of speaking MQTT: paho-mqtt is the second opinion here.
"""

import asyncio
import os
import ssl
import stat
import time
from collections.abc import Awaitable, Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from broker_bridge import app, bridge_key, profile
from broker_bridge.as_client import AsClient
from broker_bridge.configuration import ConfigurationError
from broker_bridge.https_client import HttpsClient
from broker_bridge.refusals import Refused
from broker_bridge.registry import Registry, RegistryError
from broker_bridge.settings import Resource, Settings

# What to do next, by the word that names what is wrong.
NEXT = {
    "unreachable": "see that the host and port in broker.url are right and that no firewall stands between",
    "timeout": "it does not answer in time: see that it runs and that no firewall stands between",
    "connect": "nothing listens there: see that it runs, and that host and port are right",
    "tls": "its certificate does not verify: set ca to its authority's PEM file, and use the name that it is made for",
    "login": "the broker refuses the login: check broker.username and broker.password_file against its password file",
    "broker": "the broker accepts the connection and refuses MQTT 5: see its log",
    "metadata_issuer": "the metadata names another issuer: copy its issuer into authorization_server.issuer, byte for byte",
    "metadata_words": "the metadata lacks what RFC 8414 demands (issuer, token_endpoint) or an endpoint is not an https:// URL",
    "endpoint_origin": "an endpoint lies on another origin: if that is right, name it in authorization_server.other_origins",
    "resource_of_another_issuer": "the resource does not name this issuer in authorization_servers (RFC 9728): mend it there",
    "resource_metadata_resource": "the metadata names another resource: copy its `resource` into uri, byte for byte",
    "redirect": "it redirects, and redirects are not followed: use the address that it leads to",
    "private_address": "the name leads to a private address: if that is right, allow its network in private_networks",
    "resolve": "the name has no address: see that it is spelt right, and that this machine's resolver knows it",
    "content_type": "it does not answer with application/json: is this the right host?",
}
OTHER = "it answers in a way that the bridge does not understand: is this the right host?"


class _Failed(Exception):
    pass


async def run(settings: Settings) -> int:
    """Prints one line an item; 0 where everything is well."""
    server = settings.authorization_server
    chosen = profile.load(server.profile)
    https = HttpsClient(server.ca, server.private_networks)
    as_client = AsClient(server, chosen, time.monotonic, https)
    items: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        ("key", lambda: _key(settings)),
        ("registry", lambda: _registry(settings)),
        ("broker: TLS and login", lambda: asyncio.to_thread(_broker, settings)),
        ("authorization server: metadata", lambda: _metadata(as_client)),
    ]
    for number, resource in enumerate(settings.resources):
        items.append((f"resource {number}: metadata names the issuer", lambda resource=resource: _resource(as_client, resource)))
    bad = 0
    for name, item in items:
        try:
            print(f"ok    {name}: {await item()}")
        except (_Failed, ConfigurationError, RegistryError) as failure:
            bad += 1
            print(f"FAIL  {name}: {failure}")
        except Refused as refusal:
            bad += 1
            print(f"FAIL  {name}: {NEXT.get(refusal.why, OTHER)} [{refusal.why}]")
    await https.close()
    print("everything works" if not bad else f"{bad} of {len(items)} to mend")
    return 1 if bad else 0


async def _key(settings: Settings) -> str:
    path = settings.identity.key_file
    key = bridge_key.load(path)
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise _Failed("others can read the key file: chmod 600 it")
    return f"devices pin {settings.identity.kid} {key.public.hex()}"


async def _registry(settings: Settings) -> str:
    devices = Registry(settings.registry.file or "").all()
    if not devices:
        raise _Failed("no device is enrolled: `latchpin device enrol` adds one")
    return f"{sum(not device.revoked for device in devices)} may speak, {sum(device.revoked for device in devices)} revoked"


def _broker(settings: Settings) -> str:
    way = app.login(settings)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=way.client_id, protocol=paho.MQTTv5)
    client.tls_set_context(way.tls)
    client.username_pw_set(way.username, way.password.decode() if way.password else None)
    answers: list[bool] = []
    client.on_connect = lambda client, userdata, flags, reason, properties: answers.append(not reason.is_failure)
    try:
        client.connect(way.host, way.port, keepalive=10)
    except ssl.SSLError:
        raise _Failed(NEXT["tls"]) from None
    except TimeoutError:
        raise _Failed(NEXT["timeout"]) from None
    except OSError:
        raise _Failed(NEXT["unreachable"]) from None
    until_s = time.monotonic() + 5
    while not answers and time.monotonic() < until_s:
        if client.loop(0.2) != MQTTErrorCode.MQTT_ERR_SUCCESS and not answers:
            raise _Failed(NEXT["broker"])
    client.disconnect()
    if answers != [True]:
        raise _Failed(NEXT["login" if answers else "timeout"])
    return "accepted"


async def _metadata(as_client: AsClient) -> str:
    found = await as_client.metadata()
    if "challenge" not in found.endpoints:
        raise _Failed("it has no authorization_challenge_endpoint: switch it on, or name its path in the profile's [challenge]")
    if "S256" not in found.metadata.code_challenge_methods_supported:
        raise _Failed("it does not offer PKCE with S256 (code_challenge_methods_supported): switch it on")
    if "ES256" not in found.metadata.dpop_signing_alg_values_supported:
        return "fine, but without DPoP: devices take its bearer tokens only with allow_bearer, and never through CALL"
    return "issuer, endpoints, PKCE and DPoP as expected"


async def _resource(as_client: AsClient, resource: Resource) -> str:
    https = HttpsClient(resource.ca, resource.private_networks)
    try:
        await as_client.discovered(resource, https)
    finally:
        await https.close()
    return "as expected"
