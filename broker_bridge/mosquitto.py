"""mosquitto.conf, its password file and its ACL file, made from the registry (mosquitto 2.0 and newer).

Not a broker and not a process: `latchpin bridge acl` prints these files, tests start mosquitto on them.
"""

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from broker_bridge.acl import ACL, bridge_grants
from broker_bridge.registry import Registry

# Values of mosquitto.conf: (option, value, why).
LIMITS = (
    ("max_packet_size", "8192", "a frame is at most 4,096 bytes; CONNECT and properties come on top"),
    ("message_size_limit", "4096", "no frame is longer"),
    ("max_inflight_messages", "64", "one limit for devices and bridges; a device is sent one message at a time anyway"),
    ("max_queued_messages", "1024", "for a bridge that reads slowly; nothing waits for absent clients (clean start)"),
    ("max_keepalive", "600", "half-open connections end"),
    ("persistent_client_expiration", "1h", "should a client ask for a session that outlives it"),
    ("retain_available", "true", "for latchpin/1/<device>/state alone; frames with the retain bit are dropped by their readers"),
    ("persistence", "false", "nothing to keep"),
    ("set_tcp_nodelay", "true", "without it a QoS 1 round trip takes 44 ms"),
)
CLIENT_ID_OPTION = "use_username_as_clientid true"


@dataclasses.dataclass(frozen=True)
class Listener:
    """Where mosquitto listens, and the files of its TLS (PEM)."""

    port: int
    certificate: Path
    private_key: Path
    address: str = "127.0.0.1"


def password_lines(registry: Registry, bridges: Mapping[str, str]) -> str:
    """The password file: every device that may speak, and `bridges` {username: hash as hash_mqtt_password makes it}.

    ValueError: a bridge has the name of a device.
    """
    if any(registry.get(name) for name in bridges):
        raise ValueError("a bridge has the name of an enrolled device: give the bridge another one")
    lines = [f"{name}:{stored}" for name, stored in sorted(bridges.items())]
    lines += [f"{entry.device}:{entry.mqtt_password_hash}" for entry in registry.all() if not entry.revoked]
    return "\n".join(lines) + "\n"


def acl_lines(bridges: Sequence[str] = ("bridge",)) -> str:
    """The ACL file. It names no device: what the file does not grant is denied, and `%u` keeps devices apart."""
    lines = ["# A device: its own topics, by the name that its password proved."]
    lines += [f"pattern {access} {topic}" for access, granted in ACL["device"].items() for topic in granted]
    for name, granted in bridge_grants(bridges).items():
        lines += ["", "# A bridge replica: every device's topics, the other way round.", f"user {name}"]
        lines += [f"topic {access} {topic}" for access, topics in granted.items() for topic in topics]
    return "\n".join(lines) + "\n"


def acl_head() -> str:
    """What to write into mosquitto.conf beside this ACL file, as its comment. The values are those of `configuration`."""
    options = [
        "per_listener_settings true",
        "listener 8883",
        "certfile, keyfile ...          (TLS is the only way in: no other listener)",
        "allow_anonymous false",
        "password_file passwords        (`latchpin bridge acl --help` says how to make it)",
        "acl_file acl                   (this file)",
        f"{CLIENT_ID_OPTION}   (so that no client can take over another one's connection)",
        *(f"{option + ' ' + value:<30} ({why})" for option, value, why in LIMITS),
    ]
    return "\n".join(
        ["# Made by Latchpin. What goes with it in mosquitto.conf (2.0 or newer):", *(f"#   {line}" for line in options), "", ""]
    )


def rewrite_passwords(path: Path, registry: Registry, bridges: Sequence[str]) -> list[str]:
    """Write the password file again: lines of `bridges` stay, and each enrolled device has one. The bridges without a line.

    Its owner and mode stay: mosquitto reads it under a user of its own.

    ValueError as password_lines; OSError where the file cannot be written.
    """
    stored: dict[str, str] = {}
    before = path.stat() if path.exists() else None
    if before is not None:
        stored = dict(line.split(":", 1) for line in path.read_text(encoding="utf-8").splitlines() if ":" in line)
    mode = before.st_mode & 0o777 if before is not None else 0o600
    _replace(path, password_lines(registry, {name: stored[name] for name in bridges if name in stored}), mode)
    if before is not None and os.geteuid() == 0:
        os.chown(path, before.st_uid, before.st_gid)
    return [name for name in bridges if name not in stored]


def configuration(listener: Listener, passwords: Path, acl: Path, *, user: str | None = None) -> str:
    """mosquitto.conf with absolute paths. `user`: what a mosquitto started as root becomes (else it becomes `mosquitto`)."""
    lines = [
        "# Made by Latchpin from its registry. SIGHUP makes mosquitto read password and ACL file again.",
        *([f"user {user}"] if user else []),
        "per_listener_settings true",
        f"listener {listener.port} {listener.address}",
        "protocol mqtt",
        f"certfile {listener.certificate.resolve()}",
        f"keyfile {listener.private_key.resolve()}",
        "tls_version tlsv1.2",
        "allow_anonymous false",
        f"password_file {passwords.resolve()}",
        f"acl_file {acl.resolve()}",
        "# The client id is the proved name: no client can take over another one's connection.",
        CLIENT_ID_OPTION,
    ]
    for option, value, why in LIMITS:
        lines += [f"# {why}", f"{option} {value}"]
    return "\n".join(lines) + "\n"


def write(
    directory: Path, registry: Registry, listener: Listener, bridges: Mapping[str, str], *, user: str | None = None
) -> Path:
    """Write mosquitto.conf, passwords and acl into `directory`; returns the path of mosquitto.conf.

    Each replaces its older file in one rename, so that a running mosquitto reads a whole one at SIGHUP.
    """
    passwords, acl, conf = (directory / name for name in ("passwords", "acl", "mosquitto.conf"))
    _replace(passwords, password_lines(registry, bridges), 0o600)
    _replace(acl, acl_lines(sorted(bridges)), 0o600)
    _replace(conf, configuration(listener, passwords, acl, user=user), 0o644)
    return conf


def _replace(path: Path, text: str, mode: int) -> None:
    handle, temporary = tempfile.mkstemp(prefix=path.name + ".", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, mode)
    os.replace(temporary, path)
