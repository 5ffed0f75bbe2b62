"""The registry: which devices may speak, their public keys and their MQTT password hashes, in one TOML or SQLite file.

Not for sessions (devices.py), not for the file's form (registry_files.py), and not for secrets: nothing in the file lets its
reader speak as a device.
"""

import base64
import binascii
import dataclasses
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from broker_bridge.registry_files import Fields, RegistryError, SqliteFile, TomlFile
from latchpin.wire import topics

# mosquitto's password file: $7$ITERATIONS$SALT$HASH, PBKDF2-HMAC-SHA-512 (mosquitto 2.0, src/password_mosq.c).
# 101 is its own default; the passwords are 128-bit random texts, so that a higher count buys nothing.
ITERATIONS, SALT_BYTES, HASH_BYTES = 101, 12, 64
MAX_ITERATIONS = 100_000
_HASH = re.compile(r"\$7\$([1-9][0-9]{0,5})\$([A-Za-z0-9+/]{16})\$([A-Za-z0-9+/]{86}==)")

# Names that stand for the bridge: as MQTT username, and as subject of its EDHOC credential.
_RESERVED = re.compile(r"(latchpin-)?bridge(-.*)?")

_T = TypeVar("_T")


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


class Lookup(Protocol):
    """Whom the bridge asks: a Registry, or the Inventory of those who have one."""

    def get(self, device: str) -> Device | None:
        """The device if it may speak; None if it is unknown or revoked."""
        ...

    def all(self) -> list[Device]:
        """Every device that is known, revoked ones too."""
        ...

    def reload(self) -> bool:
        """True if any device may have changed since the last call. Raises RegistryError."""
        ...


class Registry:
    """The devices of one file: SQLite where its name ends in .sqlite, .sqlite3 or .db, else TOML. One that is not there is empty.

    Every change is read, changed and written under a lock, and appears as a whole: a reader sees the old or the new state, two
    writers lose nothing. Raises RegistryError where the file or an entry cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = (SqliteFile if self.path.suffix in SqliteFile.SUFFIXES else TomlFile)(self.path)
        self._seen: object = None
        self._devices: dict[str, Device] = {}
        self.reload()

    def reload(self) -> bool:
        """Read the file again if it changed; True if it did. On RegistryError the devices read last stay in force."""
        seen = self._file.stamp()
        if seen == self._seen:
            return False
        devices = {}
        for number, (name, fields) in enumerate(self._file.read().items(), 1):
            known = self._devices.get(name)
            # To look at a key again takes 40 us; their text, unlike ==, tells 0 from false.
            same = known is not None and repr(_fields(known)) == repr(fields)
            try:
                devices[name] = known if known is not None and same else checked(_entry(name, fields))
            except RegistryError as error:
                raise RegistryError(f"device number {number} of the registry: {error}") from None
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
        entry = Device(device, alias, (Key(kid, public),), mqtt_password_hash)
        self.enrol_all([entry], replace=replace)
        return entry

    def enrol_all(self, entries: Iterable[Device], *, replace: bool = False) -> int:
        """Write down these devices, all or none; how many. A known id (also a revoked one) needs `replace`."""
        new: dict[str, Device] = {}
        for entry in entries:
            try:
                if entry.device in new:
                    raise RegistryError("this device id comes twice")
                new[entry.device] = checked(entry)
            except RegistryError as error:
                raise RegistryError(str(error), entry.device) from None
        with self._file.locked():
            self.reload()
            owners = {key.public: known.device for known in self._devices.values() for key in known.keys}
            for entry in new.values():
                if entry.device in self._devices and not replace:
                    raise RegistryError(
                        "this device id is enrolled already: revoke it, or replace its key with --replace", entry.device
                    )
                if any(owners.setdefault(key.public, entry.device) != entry.device for key in entry.keys):
                    raise RegistryError("another device has this public key: make a new identity on the device", entry.device)
            self._file.write({**self._all_fields(), **{name: _fields(entry) for name, entry in new.items()}}, list(new))
        self.reload()
        return len(new)

    def revoke(self, device: str) -> None:
        """From the next reload of its readers on, the device may not speak. Its id stays taken."""
        with self._file.locked():
            self.reload()
            if device not in self._devices:
                raise RegistryError("no such device: `latchpin device list` names those that are enrolled")
            revoked = _fields(dataclasses.replace(self._devices[device], revoked=True))
            self._file.write({**self._all_fields(), device: revoked}, [device])
        self.reload()

    def _all_fields(self) -> dict[str, Fields]:
        return {name: _fields(entry) for name, entry in self._devices.items()}


def checked(entry: Device, *, password: bool = True) -> Device:
    """`entry`, which can be used. password: it needs the hash of one. Raises RegistryError."""
    if not topics.is_id(entry.device):
        raise RegistryError("a device id is 4 to 23 of a-z, 0-9 and inner hyphens: take the line that the device prints")
    if _RESERVED.fullmatch(entry.device):
        raise RegistryError("this id stands for the bridge: give the device another one")
    if len(entry.alias) > 64 or not entry.alias.isprintable() or entry.alias[:1] in ("=", "+", "-", "@"):
        raise RegistryError("an alias is at most 64 printable characters and starts with none of = + - @, which spreadsheets run")
    match = _HASH.fullmatch(entry.mqtt_password_hash)
    if password and (match is None or int(match[1]) > MAX_ITERATIONS):
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


def _fields(entry: Device) -> Fields:
    return {
        "alias": entry.alias,
        "mqtt_password": entry.mqtt_password_hash,
        "revoked": entry.revoked,
        "keys": [{"kid": key.kid, "public": key.public.hex()} for key in entry.keys],
    }


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
