"""The bridge's own P-256 key: made once, kept in a PKCS #8 PEM file that only its owner reads.

Not for devices' keys: those are made on the devices, and the registry knows their public halves.
"""

import os
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from broker_bridge.configuration import ConfigurationError


class BridgeKey(NamedTuple):
    """private: 32 bytes; public: x || y, 64 bytes."""

    private: bytes
    public: bytes

    def __repr__(self) -> str:
        return "BridgeKey"


def make(path: Path) -> BridgeKey:
    """A new key in a new file, mode 0600. Raises FileExistsError: a key is never overwritten."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    return _halves(key)


def load(path: Path) -> BridgeKey:
    """The key in `path`. Raises ConfigurationError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigurationError("identity.key_file: holds no P-256 key in PEM; make one with `latchpin bridge key --out FILE`")
    return _halves(key)


def _halves(key: ec.EllipticCurvePrivateKey) -> BridgeKey:
    numbers = key.private_numbers()
    point = numbers.public_numbers
    return BridgeKey(numbers.private_value.to_bytes(32, "big"), point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big"))
