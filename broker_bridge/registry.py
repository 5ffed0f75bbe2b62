"""The registry: which devices may speak, their public keys and their MQTT password hashes, in one TOML file.

Not for sessions (devices.py) and not for secrets: nothing in the file lets its reader speak as a device.
"""

import base64
import binascii
import contextlib
import dataclasses
import hashlib
import hmac
import os
import re
import secrets
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import tomli_w
from cryptography.hazmat.primitives.asymmetric import ec

from latchpin.wire import bridge_side, topics

# mosquitto's password file: $7$ITERATIONS$SALT$HASH, PBKDF2-HMAC-SHA-512 (mosquitto 2.0, src/password_mosq.c).
# 101 is its own default; the passwords are 128-bit random texts, so that a higher count buys nothing.
ITERATIONS, SALT_BYTES, HASH_BYTES = 101, 12, 64
MAX_ITERATIONS = 100_000
_HASH = re.compile(r"\$7\$([1-9][0-9]{0,5})\$([A-Za-z0-9+/]{16})\$([A-Za-z0-9+/]{86}==)")

# Names that stand for the bridge: as MQTT username, and as subject of its EDHOC credential.
_RESERVED = re.compile(r"(latchpin-)?bridge(-.*)?")

# What the two kinds of client may do on a broker; what is not granted is denied. `%u` is the name that the password proved,
# never one that the client chose (SECURITY-NOTES 4.1). Both brokers, ours and mosquitto, read this table.
ACL = {
    "device": {
        "write": ("latchpin/1/%u/hello", "latchpin/1/%u/up/+", "latchpin/1/%u/state"),
        "read": ("latchpin/1/%u/down",),
    },
    "bridge": {
        "write": ("latchpin/1/+/down",),
        "read": (bridge_side.SHARED_HELLO, "latchpin/1/+/up/+", "latchpin/1/+/state"),
    },
}

_T = TypeVar("_T")
_HEAD = b"# Devices that may speak. Written by `latchpin device`; your own comments do not survive its next change.\n\n"


def bridge_grants(names: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """{bridge's username: {"write": topics, "read": filters}} of the table, without $share/GROUP/, as brokers compare them.

    ValueError: a name that is none; it could be read as more than a name in a broker's file.
    """
    granted = {access: [re.sub("^[$]share/[^/]+/", "", topic) for topic in topics] for access, topics in ACL["bridge"].items()}
    if not all(re.fullmatch("[a-z0-9-]{1,23}", name) for name in names):
        raise ValueError("a bridge's MQTT username is 1 to 23 of a-z, 0-9 and hyphens")
    return {name: granted for name in names}


class RegistryError(ValueError):
    """The registry or an entry of it cannot be used; the text says what to do next and quotes no value."""


@dataclasses.dataclass(frozen=True)
class Key:
    """One public key of a device: `kid` 0 to 255 (one byte on the wire), `public` x||y of P-256, 64 bytes."""

    kid: int
    public: bytes


@dataclasses.dataclass(frozen=True)
class Device:
    """One enrolled device. `mqtt_password_hash` is a line of a mosquitto password file without the name."""

    device: str
    alias: str
    keys: tuple[Key, ...]
    mqtt_password_hash: str = dataclasses.field(repr=False)
    revoked: bool = False

    def public_key(self, kid: int) -> bytes | None:
        """The 64 bytes x||y that `kid` names, or None."""
        return next((key.public for key in self.keys if key.kid == kid), None)


def hash_mqtt_password(password: bytes) -> str:
    """`password` as mosquitto stores it, with a fresh salt."""
    salt = secrets.token_bytes(SALT_BYTES)
    key = hashlib.pbkdf2_hmac("sha512", password, salt, ITERATIONS, HASH_BYTES)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def verify_mqtt_password(stored: str, password: bytes) -> bool:
    """True if `password` gives `stored`; False for every other password and for a hash of another form."""
    match = _HASH.fullmatch(stored)
    if match is None or int(match[1]) > MAX_ITERATIONS:
        return False
    key = hashlib.pbkdf2_hmac("sha512", password, base64.b64decode(match[2]), int(match[1]), HASH_BYTES)
    return hmac.compare_digest(base64.b64encode(key).decode(), match[3])


class Registry:
    """The devices of one TOML file. A file that is not there yet is an empty registry.

    Every change is read, changed and written under a file lock, and replaces the file in one rename: a reader sees the
    old or the new file, two writers lose nothing. Raises RegistryError where the file or an entry cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._seen: tuple[int, int, int] | None = None
        self._devices: dict[str, Device] = {}
        self.reload()

    def reload(self) -> bool:
        """Read the file again if it changed; True if it did. On RegistryError the devices read last stay in force."""
        seen = self._stamp()
        if seen == self._seen:
            return False
        devices = _read(self.path)
        self._devices, self._seen = devices, seen
        return True

    def get(self, device: str) -> Device | None:
        """The device if it may speak; None if it is unknown or revoked."""
        found = self._devices.get(device)
        return None if found is None or found.revoked else found

    def all(self) -> list[Device]:
        """Every device, revoked ones too, in the order of their ids."""
        return [self._devices[name] for name in sorted(self._devices)]

    def enrol(
        self, device: str, public: bytes, mqtt_password_hash: str, alias: str = "", *, kid: int = 1, replace: bool = False
    ) -> Device:
        """Write down a device. `public`: 64 bytes x||y on P-256. A known id (also a revoked one) needs `replace`."""
        entry = _checked(Device(device, alias, (Key(kid, public),), mqtt_password_hash))
        with self._changing() as devices:
            if device in devices and not replace:
                raise RegistryError("this device id is enrolled already: revoke it, or replace its key with --replace")
            for other in devices.values():
                if other.device != device and any(key.public == public for key in other.keys):
                    raise RegistryError("another device has this public key: make a new identity on the device")
            devices[device] = entry
        return entry

    def revoke(self, device: str) -> None:
        """From the next reload of its readers on, the device may not speak. Its id stays taken."""
        with self._changing() as devices:
            if device not in devices:
                raise RegistryError("no such device: `latchpin device list` names those that are enrolled")
            devices[device] = dataclasses.replace(devices[device], revoked=True)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Device]]:
        with _locked(self.path.with_name(self.path.name + ".lock")):
            self.reload()
            devices = dict(self._devices)
            yield devices
            _write(self.path, devices)
            self._devices, self._seen = devices, self._stamp()

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def _checked(entry: Device) -> Device:
    if not topics.is_id(entry.device):
        raise RegistryError("a device id is 4 to 23 of a-z, 0-9 and inner hyphens: take the line that the device prints")
    if _RESERVED.fullmatch(entry.device):
        raise RegistryError("this id stands for the bridge: give the device another one")
    if len(entry.alias) > 64 or not entry.alias.isprintable():
        raise RegistryError("an alias is at most 64 printable characters")
    match = _HASH.fullmatch(entry.mqtt_password_hash)
    if match is None or int(match[1]) > MAX_ITERATIONS:
        raise RegistryError("the MQTT password hash is not of mosquitto's form $7$ITERATIONS$SALT$HASH")
    if not entry.keys or len({key.kid for key in entry.keys}) != len(entry.keys):
        raise RegistryError("a device needs at least one key, and each of its keys a kid of its own")
    for key in entry.keys:
        if not 0 <= key.kid <= 255:
            raise RegistryError("a kid is one byte: 0 to 255")
        if len(key.public) != 64:
            raise RegistryError("a public key is x||y of P-256: 64 bytes, 128 hexadecimal digits")
        x, y = int.from_bytes(key.public[:32], "big"), int.from_bytes(key.public[32:], "big")
        try:
            ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        except ValueError:
            raise RegistryError("the public key is not a point on P-256: take the line that the device prints") from None
    return entry


def _read(path: Path) -> dict[str, Device]:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError:
        raise RegistryError("the registry cannot be read: check the permissions of the file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise RegistryError("the registry is not TOML: put back the last good file") from None
    if set(data) - {"devices"} or not isinstance(data.get("devices", {}), dict):
        raise RegistryError("the registry has one table, [devices]: remove what stands beside it")
    devices = {}
    for number, (name, fields) in enumerate(data.get("devices", {}).items(), 1):
        try:
            devices[name] = _checked(_entry(name, fields))
        except RegistryError as error:
            raise RegistryError(f"device number {number} of the registry: {error}") from None
    return devices


def _entry(name: str, fields: object) -> Device:
    try:
        if not isinstance(fields, dict) or set(fields) - {"alias", "mqtt_password", "revoked", "keys"}:
            raise TypeError
        if any(set(key) != {"kid", "public"} for key in fields["keys"]):
            raise TypeError
        keys = tuple(Key(_typed(key["kid"], int), binascii.unhexlify(key["public"])) for key in fields["keys"])
        alias, revoked = _typed(fields.get("alias", ""), str), _typed(fields.get("revoked", False), bool)
        return Device(name, alias, keys, _typed(fields["mqtt_password"], str), revoked)
    except (KeyError, TypeError, ValueError):
        raise RegistryError("it takes alias, mqtt_password, revoked and keys with kid and public (hexadecimal)") from None


def _typed(value: object, kind: type[_T]) -> _T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError
    return value


def _write(path: Path, devices: dict[str, Device]) -> None:
    table = {
        name: {
            "alias": entry.alias,
            "mqtt_password": entry.mqtt_password_hash,
            "revoked": entry.revoked,
            "keys": [{"kid": key.kid, "public": key.public.hex()} for key in entry.keys],
        }
        for name, entry in sorted(devices.items())
    }
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o640
    handle, temporary = tempfile.mkstemp(prefix=path.name + ".", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_HEAD + tomli_w.dumps({"devices": table}).encode())
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
