"""`latchpin device enrol|list|revoke|import|export`: the registry by hand.

Not the registry itself (registry.py): here are only words in and words out.
"""

import argparse
import csv
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from broker_bridge.registry import Device, Key, Registry, RegistryError, hash_mqtt_password

_NEXT = """\
The registry is one file: SQLite where its name ends in .sqlite, .sqlite3 or .db, else TOML. Bridge and demo broker read it again
when it changes.
For mosquitto write its password file again and send it SIGHUP: `latchpin bridge acl --help`.
"""
_LINE = """\
What a device prints when it has made its identity: DEVICE KID PUBLIC MQTT-PASSWORD. Pipe it in, so that the password stands in
no process list and no shell history:

  mpremote run enrol.py | latchpin device enrol - --alias "kitchen door"

or give it as arguments. In place of its password the last word may be the password's hash, as mosquitto_passwd makes it (in
single quotes: it has $ in it). The password is hashed and forgotten. JSON says the same:

  {"device": "lp-7f3k2m", "kid": 1, "public": "04c1...9e", "mqtt_password": "..."}      or "mqtt_password_hash": "$7$101$..."

PUBLIC is x||y of the device's P-256 key, 128 hexadecimal digits.
"""

_CSV = """\
CSV in UTF-8 with a header. Columns, in any order: device, public, mqtt_password_hash or mqtt_password, and, where wanted, alias,
kid (1) and revoked (false). A device with two keys has two lines. Every line is taken or none; a refusal names the line.

  device,alias,kid,public,mqtt_password_hash,revoked
  lp-7f3k2m,kitchen door,1,04c1...9e,$7$101$...,false
"""
COLUMNS = ("device", "alias", "kid", "public", "mqtt_password_hash", "revoked")


class _Refusal(ValueError):
    """What was typed cannot be used; the text names the next step."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latchpin device`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _NEXT
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--registry",
        type=Path,
        metavar="FILE",
        default=os.environ.get("LATCHPIN_REGISTRY", "devices.toml"),
        help="the registry (default: $LATCHPIN_REGISTRY, or devices.toml here)",
    )
    commands = parser.add_subparsers(dest="device_command", required=True, metavar="enrol|list|revoke|import|export")
    raw = argparse.RawDescriptionHelpFormatter

    enrol = commands.add_parser(
        "enrol", help="let a device speak", description=_LINE, epilog=_NEXT, parents=[common], formatter_class=raw
    )
    enrol.add_argument("line", nargs="+", metavar="LINE", help="the line that the device prints; - reads it from standard input")
    enrol.add_argument("--alias", default="", help='what people call it, say "kitchen door"')
    enrol.add_argument("--replace", action="store_true", help="the id is known, its key is new (after a factory reset)")
    enrol.add_argument("--mqtt-password-file", type=Path, metavar="FILE", help="the password is in FILE, not in LINE")

    listing = commands.add_parser("list", help="who is enrolled", epilog=_NEXT, parents=[common], formatter_class=raw)
    listing.add_argument("--json", action="store_true", help="one JSON object a line")

    revoke = commands.add_parser(
        "revoke", help="a device may not speak any more", epilog=_NEXT, parents=[common], formatter_class=raw
    )
    revoke.add_argument("device", metavar="DEVICE", help="its id, as `latchpin device list` prints it")

    taken = commands.add_parser(
        "import", help="let many devices speak: CSV", description=_CSV, epilog=_NEXT, parents=[common], formatter_class=raw
    )
    taken.add_argument("csv", metavar="CSV", help="the file; - reads standard input")
    taken.add_argument("--replace", action="store_true", help="known ids are replaced, not refused")

    commands.add_parser(
        "export", help="print all devices as CSV", description=_CSV, epilog=_NEXT, parents=[common], formatter_class=raw
    )


def run(args: argparse.Namespace) -> int:
    """0 when done; 2 with one line on stderr that names the next step."""
    try:
        registry = Registry(args.registry)
        {"enrol": _enrol, "list": _list, "revoke": _revoke, "import": _import, "export": _export}[args.device_command](
            registry, args
        )
    except (_Refusal, RegistryError) as error:
        print(f"latchpin device {args.device_command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"latchpin device {args.device_command}: {args.registry}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _enrol(registry: Registry, args: argparse.Namespace) -> None:
    text = sys.stdin.read(4096) if args.line == ["-"] else " ".join(args.line)
    device, kid, public, secret = parse_line(text)
    if args.mqtt_password_file is not None:
        if secret is not None:
            raise _Refusal("the line has an MQTT password already: leave --mqtt-password-file out")
        try:
            secret = args.mqtt_password_file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            raise _Refusal("the password file cannot be read as text") from None
    if secret is None:
        raise _Refusal("the line has no MQTT password: add it or its hash, or name a file with it (--mqtt-password-file)")
    stored = secret if secret.startswith("$") else _hashed(secret)
    entry = registry.enrol(device, public, stored, args.alias, kid=kid, replace=args.replace)
    print(f"enrolled {entry.device}{f' ({entry.alias})' if entry.alias else ''} with key {kid}: {_fingerprint(public)}")
    print("Compare the fingerprint with the one on the device's screen or console.")


def _hashed(secret: str) -> str:
    if not re.fullmatch("[!-~]{16,256}", secret):
        raise _Refusal("an MQTT password is 16 to 256 visible characters, made at random on the device")
    return hash_mqtt_password(secret.encode())


def _import(registry: Registry, args: argparse.Namespace) -> None:
    try:
        with open(0 if args.csv == "-" else args.csv, encoding="utf-8-sig", newline="") as file:
            entries, lines = _devices_of(file)
    except (OSError, UnicodeDecodeError):
        raise _Refusal("the CSV file cannot be read as a text file in UTF-8") from None
    try:
        count = registry.enrol_all(entries, replace=args.replace)
    except RegistryError as error:
        raise _Refusal(f"line {lines[error.device]}: {error}" if error.device is not None else str(error)) from None
    print(f"imported {count} devices")


def _devices_of(file: Iterable[str]) -> tuple[list[Device], dict[str, int]]:
    """The devices of a CSV file, and the line where each stands first."""
    rows = csv.DictReader(file, strict=True)
    entries: dict[str, Device] = {}
    lines: dict[str, int] = {}
    try:
        given = set(rows.fieldnames or ())
        if not {"device", "public"} <= given <= {*COLUMNS, "mqtt_password"}:
            raise _Refusal("line 1: its columns are device, public, mqtt_password_hash or mqtt_password, alias, kid and revoked")
        for row in rows:
            entry = _device_of(row, rows.line_num)
            before = entries.get(entry.device)
            if before is not None and (before.alias, before.revoked) != (entry.alias, entry.revoked):
                raise _Refusal(f"line {rows.line_num}: this device stands above with another alias or state")
            keys = (*before.keys, *entry.keys) if before is not None else entry.keys
            lines.setdefault(entry.device, rows.line_num)
            entries[entry.device] = Device(entry.device, entry.alias, keys, entry.mqtt_password_hash, entry.revoked)
    except csv.Error:
        raise _Refusal(f"line {rows.line_num}: not CSV; a value with a comma in it wants quotation marks") from None
    return list(entries.values()), lines


def _device_of(row: dict[str, str], line: int) -> Device:
    if None in row or None in row.values():
        raise _Refusal(f"line {line}: it has not as many values as the header")
    kid, revoked = row.get("kid") or "1", (row.get("revoked") or "false").lower()
    if not re.fullmatch("[0-9a-fA-F]{128}", row["public"]) or not re.fullmatch("[0-9]{1,3}", kid):
        raise _Refusal(f"line {line}: public is 128 hexadecimal digits (x||y of P-256), kid a number of 0 to 255")
    if revoked not in ("true", "false"):
        raise _Refusal(f"line {line}: revoked is true or false")
    stored, secret = row.get("mqtt_password_hash"), row.get("mqtt_password")
    if bool(stored) == bool(secret):
        raise _Refusal(f"line {line}: it wants either mqtt_password_hash or mqtt_password")
    try:
        stored = stored or _hashed(secret or "")
    except _Refusal as refusal:
        raise _Refusal(f"line {line}: {refusal}") from None
    keys = (Key(int(kid), bytes.fromhex(row["public"])),)
    return Device(row["device"], row.get("alias") or "", keys, stored, revoked == "true")


def _export(registry: Registry, args: argparse.Namespace) -> None:
    sheet = csv.writer(sys.stdout, lineterminator="\n")
    sheet.writerow(COLUMNS)
    for entry in registry.all():
        for key in entry.keys:
            revoked = str(entry.revoked).lower()
            sheet.writerow([entry.device, entry.alias, key.kid, key.public.hex(), entry.mqtt_password_hash, revoked])


def parse_line(text: str) -> tuple[str, int, bytes, str | None]:
    """(device, kid, public key, MQTT password or its hash or None) of a device's enrolment line, or of its JSON form.

    Raises ValueError; what the values mean is checked by the registry.
    """
    if text.lstrip().startswith("{"):
        try:
            fields = json.loads(text)
            device, kid, public = fields.pop("device"), fields.pop("kid", 1), fields.pop("public")
        except (ValueError, KeyError, RecursionError):
            raise _Refusal("the JSON needs device, public and mqtt_password (and kid, when it is not 1)") from None
        if "private" in fields:
            raise _Refusal("this is a device's secret identity: enrol the public line, and keep the private key on the device")
        secret = fields.pop("mqtt_password_hash", None) or fields.pop("mqtt_password", None)
        if fields or not all(isinstance(value, str) for value in (device, public, secret or "")) or type(kid) is not int:
            raise _Refusal("the JSON has device, kid, public and mqtt_password or mqtt_password_hash, and nothing else")
    else:
        words = text.split()
        if not 3 <= len(words) <= 4 or not re.fullmatch("[0-9]{1,3}", words[1]):
            raise _Refusal("a line has four words: DEVICE KID PUBLIC MQTT-PASSWORD (a hash has $ in it: put it in single quotes)")
        device, kid, public, secret = words[0], int(words[1]), words[2], words[3] if len(words) == 4 else None
    if not re.fullmatch("[0-9a-fA-F]{128}", public):
        raise _Refusal("the public key is not 128 hexadecimal digits (x||y of P-256): take the line that the device prints")
    return device, kid, bytes.fromhex(public), secret


def _list(registry: Registry, args: argparse.Namespace) -> None:
    entries = registry.all()
    if args.json:
        for entry in entries:
            keys = [{"kid": key.kid, "fingerprint": _fingerprint(key.public)} for key in entry.keys]
            print(json.dumps({"device": entry.device, "alias": entry.alias, "revoked": entry.revoked, "keys": keys}))
        return
    if not entries:
        print(f"no device in {registry.path}: `latchpin device enrol --help`")
        return
    print(f"{'DEVICE':24}{'STATE':10}{'KEY':28}ALIAS")
    for entry in entries:
        for key in entry.keys:
            state = "revoked" if entry.revoked else "enrolled"
            print(f"{entry.device:24}{state:10}{key.kid:<4}{_fingerprint(key.public):24}{entry.alias}")


def _revoke(registry: Registry, args: argparse.Namespace) -> None:
    registry.revoke(args.device)
    print("revoked: bridge and demo broker let it go within seconds, other brokers when they have its account no more.")
    print("Tokens that it holds end at the authorization server.")


def _fingerprint(public: bytes) -> str:
    digits = hashlib.sha256(public).hexdigest()[:16]
    return " ".join(digits[place : place + 4] for place in range(0, 16, 4))
