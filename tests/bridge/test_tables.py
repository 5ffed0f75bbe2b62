"""The bridge's pack and unpack against the contract's own, on messages made and spoilt at random.

Not for what is lawful: tests/house_rules/test_cddl.py asks the law that, and makes the messages.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import assume, given

from broker_bridge import tables
from latchpin.wire import cbor, messages
from latchpin.wire.errors import ContractError, PeerError
from tests.both_runtimes.message_table import FIELDS, INPUT_FIELDS, MESSAGES
from tests.house_rules.test_cddl import MANY_EXAMPLES, spoilt_messages, whole_messages


def said(function: Callable[[Any], Any], argument: Any) -> Any:
    try:
        return function(argument)
    except (ContractError, PeerError) as failure:
        return type(failure)


@MANY_EXAMPLES
@given(whole_messages())
def test_a_whole_message_has_the_same_bytes_and_comes_back(message: messages.Message):
    encoded = messages.pack(message)
    assert tables.pack(message) == encoded
    assume(len(encoded) <= cbor.MAX_BYTES)
    assert tables.unpack(encoded) == message


@MANY_EXAMPLES
@given(spoilt_messages())
def test_a_spoilt_message_is_refused_where_the_contract_refuses_it(wire: Any):
    encoded = said(cbor.encode, wire)
    if isinstance(encoded, bytes):
        assert said(tables.unpack, encoded) == said(messages.unpack, encoded)
    kind = wire.pop(0, None)
    name = MESSAGES[kind][0] if type(kind) is int and kind in MESSAGES else "NONE"
    message = messages.Message(name, named(FIELDS, wire))
    if 30 in wire:
        assume(isinstance(wire[30], list))
        message.fields["inputs"] = [named(INPUT_FIELDS, item) if isinstance(item, dict) else item for item in wire[30]]
    assert said(tables.pack, message) == said(messages.pack, message)


def named(table: dict[int, Any], wire: dict[Any, Any]) -> dict[Any, Any]:
    return {table[key][0] if type(key) is int and key in table else f"strange {key}": wire[key] for key in wire}


def test_nonsense_is_refused():
    for data in (b"", b"\xff", b"\x80", b"\x01", b"\xa0", b"\xa1\x00\xf5", b"\xa1\x00\x81\x01"):
        assert said(tables.unpack, data) == said(messages.unpack, data) == PeerError
