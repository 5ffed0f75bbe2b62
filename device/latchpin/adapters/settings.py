"""The two files of a device: `identity.json`, made on it, and `settings.json`, given to it.

Not for what happens at work: the journal is in flash_journal.py. Shapes: boards/README.md.
"""

import binascii
import json
import os

from latchpin import runtime
from latchpin.adapters.identity import Identity
from latchpin.runtime import const

IDENTITY = "identity.json"
SETTINGS = "settings.json"

_ALPHABET = const("0123456789abcdefghjkmnpqrstvwxyz")


class SettingsError(Exception):
    """A file cannot be used; the text names it, the key, and what to do. It quotes no value."""


def load(directory: str = ".") -> tuple[Identity, dict]:
    """(identity, settings) from the files in `directory`; the paths of CA files in the settings come back usable from here.

    Raises SettingsError.
    """
    return load_identity(directory), load_settings(directory)


def load_identity(directory: str = ".") -> Identity:
    """Raises SettingsError, also when there is none yet."""
    found = _read(directory, IDENTITY, "make one: enrol this device (latchpin flash does)")
    try:
        identity = Identity(
            found["device"],
            bytes((found["kid"],)),
            _unhex(found["private"], 32),
            _unhex(found["public"], 64),
            found["mqtt_password"],
            [(bytes((kid,)), _unhex(public, 64)) for kid, public in found["bridges"]],
        )
    except KeyError as error:
        raise SettingsError(IDENTITY + ": no " + str(error.args[0]) + ": restore the file, or remove it and enrol again")
    except (TypeError, ValueError):
        raise SettingsError(IDENTITY + ": damaged: restore the file, or remove it and enrol again")
    if not _is_id(identity.device):
        raise SettingsError(IDENTITY + ": device: 4 to 23 of a-z, 0-9 and inner hyphens")
    if not identity.bridges:
        raise SettingsError(
            IDENTITY + ": bridges: name the bridge's key (latchpin bridge key prints it, latchpin flash writes it)"
        )
    return identity


def load_settings(directory: str = ".") -> dict:
    """Raises SettingsError."""
    found = _read(directory, SETTINGS, "write one: boards/README.md has an example")
    broker = _part(found, "broker", dict)
    _check_string(broker, "broker.host")
    port = broker.get("port", 8883)
    if type(port) is not int or not 0 < port < 65_536:
        raise SettingsError(SETTINGS + ": broker.port: 1 to 65535")
    broker["port"] = port
    _check_proof(directory, broker, "broker")
    if found.get("route", "relay") not in ("relay", "direct"):
        raise SettingsError(SETTINGS + ': route: "relay" or "direct"')
    mcp = found.setdefault("mcp", {})
    if found.get("route") == "direct" or mcp:
        _check_proof(directory, _part(found, "mcp", dict), "mcp")
    for key in ("resource", "scope"):
        if type(found.setdefault(key, 0)) is not int or not 0 <= found[key] <= 255:
            raise SettingsError(SETTINGS + ": " + key + ": a position in the bridge's list, 0 to 255")
    keepalive_s = found.setdefault("keepalive_s", 30)
    if type(keepalive_s) is not int or not 3 <= keepalive_s <= 3_600:
        raise SettingsError(SETTINGS + ": keepalive_s: 3 to 3600")
    if found.setdefault("allow_bearer", False) not in (True, False):
        raise SettingsError(SETTINGS + ": allow_bearer: true or false")
    if found.get("call") is not None:
        call = _part(found, "call", dict)
        _check_string(call, "call.tool")
        if not isinstance(call.setdefault("arguments", {}), dict):
            raise SettingsError(SETTINGS + ": call.arguments: an object")
    for network in found.get("wifi", ()):
        _check_string(network, "wifi.ssid")
    return found


def make_identity(directory: str = ".", device: str | None = None, bridges=(), random=runtime.random_bytes) -> Identity:
    """The identity of this device, made now if there is none; an existing one is never overwritten, only its `bridges` (kid,
    public) replaced where some are given. device: its id, random if None. Raises SettingsError."""
    if IDENTITY in os.listdir(directory):
        found = _read(directory, IDENTITY, "")
        if bridges and found.get("bridges") != _pairs(bridges):
            found["bridges"] = _pairs(bridges)
            _write(directory, IDENTITY, found)
        identity = load_identity(directory)
        if device not in (None, identity.device):
            raise SettingsError(IDENTITY + ": this device has an id already: leave the new one out, or remove the file first")
        return identity
    from latchpin.crypto import p256

    if device is None:
        device = "lp-" + "".join([_ALPHABET[byte & 31] for byte in random(8)])
    if not _is_id(device):
        raise SettingsError("device id: 4 to 23 of a-z, 0-9 and inner hyphens")
    if not bridges:
        raise SettingsError("bridge key missing: latchpin bridge key prints it")
    private = p256.new_private(random)
    made = {
        "device": device,
        "kid": 1,
        "private": _hex(private),
        "public": _hex(p256.public_key(private)),
        "mqtt_password": _hex(random(16)),
        "bridges": _pairs(bridges),
    }
    _write(directory, IDENTITY, made)
    return load_identity(directory)


def parse_bridge(text: str) -> tuple[bytes, bytes]:
    """(kid, public) of "KID:PUBLICHEX". Raises SettingsError."""
    try:
        kid, public = text.split(":")
        return bytes((int(kid),)), _unhex(public, 64)
    except ValueError:
        raise SettingsError("bridge key: KID:PUBLICHEX, as latchpin bridge key prints it")


def _read(directory, name, mend):
    try:
        with open(directory + "/" + name) as file:
            found = json.load(file)
    except OSError:
        raise SettingsError(name + ": no such file: " + mend)
    except ValueError:
        raise SettingsError(name + ": not JSON: correct it, or write it anew")
    if not isinstance(found, dict):
        raise SettingsError(name + ": not a JSON object: correct it, or write it anew")
    return found


def _write(directory, name, value):
    # Whole or not at all, and for nobody else's eyes where files have owners.
    path = directory + "/" + name
    temporary = path + ".tmp"
    with open(temporary, "w") as file:
        if hasattr(os, "chmod"):
            os.chmod(temporary, 0o600)
        json.dump(value, file)
    os.rename(temporary, path)


def _part(found, key, kind):
    value = found.get(key)
    if not isinstance(value, kind):
        raise SettingsError(SETTINGS + ": " + key + ": an object, please")
    return value


def _check_string(found, path):
    value = found.get(path.split(".")[1]) if isinstance(found, dict) else None
    if not isinstance(value, str) or not value:
        raise SettingsError(SETTINGS + ": " + path + ": a text, please")


def _check_proof(directory, found, name):
    pin = found.get("pin")
    ca = found.get("ca")
    if not (pin or ca):
        raise SettingsError(SETTINGS + ": " + name + ': give "ca" (a DER file) or "pin" (SHA-256 of the certificate)')
    if pin:
        from latchpin.adapters import tls_stream

        try:
            tls_stream.pins(pin)
        except (AttributeError, ValueError):
            raise SettingsError(SETTINGS + ": " + name + ".pin: 64 hex digits: openssl x509 -fingerprint -sha256, without colons")
    if ca:
        _check_string(found, name + ".ca")
        if "/" not in ca:
            ca = directory + "/" + ca
        found["ca"] = ca
        try:
            with open(ca, "rb") as file:
                start = file.read(1)
        except OSError:
            raise SettingsError(SETTINGS + ": " + name + ".ca: no such file on the device: copy it there")
        if start != b"\x30":
            raise SettingsError(SETTINGS + ": " + name + ".ca: not DER: openssl x509 -outform DER makes it so")


def _is_id(text):
    # As wire/topics.py has it, which is above this floor.
    if not isinstance(text, str) or not 4 <= len(text) <= 23 or text[0] == "-" or text[-1] == "-":
        return False
    return all("a" <= character <= "z" or "0" <= character <= "9" or character == "-" for character in text)


def _pairs(bridges):
    return [[kid[0], _hex(public)] for kid, public in bridges]


def _hex(data):
    return binascii.hexlify(data).decode()


def _unhex(text, length):
    data = binascii.unhexlify(text)
    if len(data) != length:
        raise ValueError
    return data
