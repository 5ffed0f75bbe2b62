"""Who a board is: its identity, made on it, and the enrolment of the public half with the registry.

Not for the private half: it never leaves the board.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from boards.serial_board import BoardError, SerialBoard
from broker_bridge.registry import Registry, hash_mqtt_password


class Enrolment(NamedTuple):
    """What a board says of itself. `mqtt_password` is for hashing only."""

    device: str
    kid: int
    public: bytes
    mqtt_password: str
    alias: str = ""

    def __repr__(self) -> str:
        return f"Enrolment({self.device})"

    @property
    def fingerprint(self) -> str:
        """Of the public key: for comparing by eye."""
        return hashlib.sha256(self.public).hexdigest()[:16]


_IDENTITY = """
    try:
        import network
        network.WLAN(network.STA_IF).active(True)  # only with the radio on is os.urandom true random on an ESP32
    except ImportError:
        pass
    import os
    from latchpin.adapters import settings
    try:
        made = settings.make_identity(device={device}, bridges=[settings.parse_bridge(text) for text in {bridges}])
        if not hasattr(os, 'chmod') and hasattr(os, 'system'):
            os.system('chmod 600 identity.json')
        print('enrolment', made.enrolment())
    except settings.SettingsError as error:
        print('refused', error)
"""


def make(board: SerialBoard, device: str | None, bridges: list[tuple[int, str]]) -> Enrolment:
    """The board's identity, made now if it has none: device id (None: a random one), bridges as (kid, public hex). Raises
    BoardError."""
    texts = [f"{kid}:{public}" for kid, public in bridges]
    said, _, rest = board.run(_IDENTITY, device=device, bridges=texts).partition(" ")
    words = rest.split()
    if said != "enrolment" or len(words) != 4:
        raise BoardError(rest or "the board did not make its identity: run the same command again")
    return Enrolment(words[0], int(words[1]), bytes.fromhex(words[2]), words[3])


def enrol(made: Enrolment, registry_file: Path | None, alias: str, replace: bool, say: Callable[[str], None]) -> Enrolment:
    """Into the registry; without one, the line that does it there is said. Gives it back with the alias that it has there: a
    device that was enrolled before keeps its own. Raises RegistryError."""
    device, kid, public, password, _ = made
    fingerprint = made.fingerprint
    if registry_file is None:
        hashed = hash_mqtt_password(password.encode())
        say(f"device {device}, key {kid}: {fingerprint}. Enrol it where the bridge is:")
        say(f"  latchpin device enrol {device} {kid} {public.hex()} '{hashed}'")
        return made._replace(alias=alias)
    registry = Registry(registry_file)
    known = registry.get(device)
    if known is not None and known.public_key(kid) == public and not known.revoked:
        say(f"device {device}, key {kid}: {fingerprint}: enrolled before in {registry_file}")
        return made._replace(alias=known.alias)
    hashed = hash_mqtt_password(password.encode())
    registry.enrol(device, public, hashed, alias, kid=kid, replace=replace)
    say(f"device {device}, key {kid}: {fingerprint}: enrolled in {registry_file}")
    return made._replace(alias=alias)
