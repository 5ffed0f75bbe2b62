"""What a new AS needs before it can serve: as.toml, the bridge's secret, keys and database; to try it out, a certificate.

Not for changing what is there: nothing is overwritten.
"""

import secrets
from pathlib import Path

import trustme

from broker_bridge.configuration import ConfigurationError
from host_sim.authorization_server.keys import Keys
from host_sim.authorization_server.private_file import read_or_create
from host_sim.authorization_server.settings import EXAMPLE
from host_sim.authorization_server.storage import Storage


def prepare(config: Path, try_out: bool) -> list[str]:
    """Makes all of it beside `config`, and says what is left to do, a line each. Raises ConfigurationError, OSError.

    try_out: a certificate for localhost too, and ca.pem for those who shall trust it.
    """
    if config.exists():
        raise ConfigurationError(f"{config}: is there already; `latchpin as serve` starts what it describes")
    folder = config.parent
    folder.mkdir(parents=True, exist_ok=True)
    read_or_create(folder / "bridge.secret", lambda: secrets.token_urlsafe(32))
    Keys(folder / "as-state")
    Storage(folder / "as-state" / "state.sqlite").close()
    left = [f"look at {config}: issuer, resources and their scopes are examples"]
    if try_out:
        _certificate(folder)
        left.append(f"let browser and bridge trust {folder / 'ca.pem'}; it is good for localhost alone")
    else:
        left.append(f"put certificate and private key into {folder / 'as.pem'} and {folder / 'as.key'}, both in PEM")
    with config.open("x", encoding="utf-8") as file:
        file.write(EXAMPLE)
    left.append(f"give the bridge a copy of {folder / 'bridge.secret'}")
    return [*left, "latchpin as user add NAME", "latchpin as serve"]


def _certificate(folder: Path) -> None:
    leaf = (authority := trustme.CA()).issue_cert("localhost", "127.0.0.1")
    read_or_create(folder / "as.key", leaf.private_key_pem.bytes().decode)
    (folder / "as.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    authority.cert_pem.write_to_path(folder / "ca.pem")
