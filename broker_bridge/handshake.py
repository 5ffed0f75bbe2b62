"""EDHOC, the responder's side (RFC 9528, method 3, suite 2) with lakers: Responder, Started, a Session.

Not a parser of last resort: only messages of exactly our form reach lakers, which panics on some others.
"""

from typing import Any

import lakers as _lakers
from cryptography.hazmat.primitives.asymmetric import ec

from broker_bridge.sealing import QuickSession
from latchpin.wire import cbor, edhoc
from latchpin.wire.errors import PeerError
from latchpin.wire.session import Session

# Connection identifiers of one byte that are their own CBOR integer (RFC 9528, section 3.3.2).
IDENTIFIERS = bytes((*range(0x00, 0x18), *range(0x20, 0x38)))
lakers: Any = _lakers  # no stubs
_START = b"\x03\x02\x58\x20"  # method 3, suite 2 offered alone, G_X of 32 bytes


class Responder:
    """This bridge's side of every handshake. private: 32 bytes; public: x || y."""

    def __init__(self, kid: int, private: bytes, public: bytes) -> None:
        self._private = private
        self._credential = lakers.Credential(edhoc.credential(edhoc.BRIDGE, bytes((kid,)), public))

    def start(self, message_1: bytes, chance: int) -> "Started":
        """Answers a message_1. chance: any number, it picks C_R. Raises PeerError."""
        if len(message_1) != 37 or message_1[:4] != _START or message_1[36] not in IDENTIFIERS:
            raise PeerError("message_1")
        _check_point(message_1[4:36])
        c_i = message_1[36:]
        others = IDENTIFIERS.replace(c_i, b"")
        c_r = others[chance % len(others)]
        with _Guard():
            edhoc_state = lakers.EdhocResponder(self._private, self._credential)
            edhoc_state.process_message_1(message_1)
            message_2 = edhoc_state.prepare_message_2(lakers.CredentialTransfer.ByReference, bytes((c_r,)), None)
        return Started(edhoc_state, message_2, c_i, bytes((c_r,)))


class Started:
    """message_2 is made; message_3 is awaited."""

    def __init__(self, edhoc_state: Any, message_2: bytes, c_i: bytes, c_r: bytes) -> None:
        self._edhoc_state = edhoc_state
        self.message_2 = message_2
        self._c_i = c_i
        self._c_r = c_r

    def claimed_kid(self, message_3: bytes) -> int:
        """Which of its keys the device says that it has. Nothing is proven yet. Raises PeerError."""
        # A kid of one byte, the MAC of 8 as a byte string, the tag of 8 (RFC 9528, section 5.4.2).
        if len(message_3) not in (19, 20) or message_3[0] != 0x40 + len(message_3) - 1:
            raise PeerError("message_3")
        with _Guard():
            id_cred_i, ead_3 = self._edhoc_state.parse_message_3(message_3)
        header = cbor.decode(bytes(id_cred_i))
        kid = header.get(4) if isinstance(header, dict) and len(header) == 1 else None
        if ead_3 or not isinstance(kid, bytes) or len(kid) != 1:
            raise PeerError("id_cred_i")
        return kid[0]

    def finish(self, device: str, kid: int, public: bytes) -> tuple[bytes, Session]:
        """(message_4, the session) once message_3 is proven to come from that key. Raises PeerError."""
        with _Guard():
            self._edhoc_state.verify_message_3(lakers.Credential(edhoc.credential(device, bytes((kid,)), public)))
            message_4 = self._edhoc_state.prepare_message_4()
            secret = self._edhoc_state.edhoc_exporter(0, b"", 16)
            salt = self._edhoc_state.edhoc_exporter(1, b"", 8)
        return message_4, QuickSession(bytes(secret), bytes(salt), self._c_i, self._c_r, device, "bridge")


class _Guard:
    """Turns whatever lakers raises into PeerError. Its panics derive from BaseException."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: object) -> None:
        if kind is not None and (issubclass(kind, Exception) or kind.__name__ == "PanicException"):
            raise PeerError("edhoc") from None


def _check_point(x: bytes) -> None:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x02" + x)
    except ValueError:
        raise PeerError("g_x") from None
