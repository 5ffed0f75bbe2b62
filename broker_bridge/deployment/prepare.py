"""Writes what compose.yaml mounts: a trial's CA and certificates, configuration, and passwords that nobody had before.

Not for production: there, certificates come from your authority, and the AS is yours. A folder that is there is left alone.
"""

import os
import secrets
import sys
from pathlib import Path
from typing import Any

import tomli_w
import trustme

from broker_bridge import bridge_key, mosquitto
from broker_bridge.registry import Registry, hash_mqtt_password

CLIENT, MCP_CLIENT, BRIDGE, SCOPE = "latchpin-device", "latchpin-mcp", "bridge", "led:read led:write"
CONTAINERS = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]  # whence container engines take addresses
ISSUER, RESOURCE, INSIDE = "https://as:9443", "https://mcp:7443/mcp", Path("/config")


def prepare(folder: Path) -> str:
    """Writes `folder`; the bridge's public key, which devices pin. FileExistsError: it is there already."""
    os.umask(0o077)
    folder.mkdir(parents=True)
    parts = {name: folder / name for name in ("broker", "as", "as-state", "mcp", "bridge")}
    authority = trustme.CA()
    for name, part in parts.items():
        part.mkdir()
        if name not in ("bridge", "as-state"):
            leaf = authority.issue_cert(name, "localhost")
            leaf.private_key_pem.write_to_path(part / "server.key")
            (part / "server.pem").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    for part in (folder, parts["mcp"], parts["bridge"]):
        authority.cert_pem.write_to_path(part / "ca.pem")
    broker_password, client_secret, mcp_secret = (secrets.token_urlsafe(32) for _ in range(3))
    registry = Registry(parts["bridge"] / "devices.toml")
    key = bridge_key.make(parts["bridge"] / "bridge.key")
    (parts["bridge"] / "broker.password").write_text(broker_password)
    for part in (parts["bridge"], parts["as"]):
        (part / "client.secret").write_text(client_secret)
    for part in (parts["mcp"], parts["as"]):
        (part / "mcp.secret").write_text(mcp_secret)

    inside = {name: INSIDE / name for name in ("server.pem", "server.key", "passwords", "acl")}
    listener = mosquitto.Listener(8883, inside["server.pem"], inside["server.key"], "0.0.0.0")  # noqa: S104
    texts = {
        "mosquitto.conf": mosquitto.configuration(listener, inside["passwords"], inside["acl"]),
        "passwords": mosquitto.password_lines(registry, {BRIDGE: hash_mqtt_password(broker_password.encode())}),
        "acl": mosquitto.acl_lines([BRIDGE]),
    }
    for name, text in texts.items():
        (parts["broker"] / name).write_text(text)
    server = {"certificate": "server.pem", "private_key": "server.key"}
    _toml(
        parts["as"] / "as.toml",
        {
            "listen": "0.0.0.0:9443",
            "issuer": ISSUER,
            **server,
            "state": "/state",
            "clients": [
                {"id": CLIENT, "secret_file": "client.secret"},
                {"id": MCP_CLIENT, "secret_file": "mcp.secret", "resource": RESOURCE},
            ],
            "resources": [{"uri": RESOURCE, "scopes": SCOPE.split()}],
        },
    )
    _toml(
        parts["mcp"] / "mcp.toml",
        {
            "listen": "0.0.0.0:7443",
            "resource": RESOURCE,
            **server,
            "issuer": ISSUER,
            "ca": "ca.pem",
            "scopes": SCOPE.split(),
            "introspection": {"client_id": MCP_CLIENT, "client_secret_file": "mcp.secret"},
        },
    )
    _toml(
        parts["bridge"] / "bridge.toml",
        {
            "broker": {
                "url": "mqtts://broker:8883",
                "username": BRIDGE,
                "password_file": "broker.password",
                "ca": "ca.pem",
            },
            "authorization_server": {
                "issuer": ISSUER,
                "client_id": CLIENT,
                "client_secret_file": "client.secret",
                "ca": "ca.pem",
                "private_networks": CONTAINERS,
            },
            "resources": [{"uri": RESOURCE, "scopes": [SCOPE], "ca": "ca.pem", "private_networks": CONTAINERS}],
            "identity": {"key_file": "bridge.key"},
            "registry": {"file": "devices.toml"},
            "operations": {"listen": "127.0.0.1:9700"},
        },
    )
    user = f"{os.getuid()}:{os.getgid()}"
    (folder / ".env").write_text(f"LATCHPIN_CONFIG={folder.resolve()}\nLATCHPIN_USER={user}\n")
    return key.public.hex()


def _toml(path: Path, table: dict[str, Any]) -> None:
    path.write_text(tomli_w.dumps(table))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: prepare.py FOLDER     writes a trial's configuration and secrets there; compose.yaml says what next")
    try:
        print("devices pin 1", prepare(Path(sys.argv[1])))
    except FileExistsError:
        sys.exit("prepare.py: the folder is there already; choose another one, or take it away")
