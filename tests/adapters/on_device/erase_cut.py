"""Cuts the power at every block operation of a factory reset on littlefs, and again at every one of what the next start does.

Run by test_power_cut.py.
"""

import json
import sys

from cut_flash import BLOCK, BLOCKS, Flash, Volume, cuts, lasts

from latchpin.adapters import factory_reset

TOKENS = b"tokens, kept by the journal " * 20
GIVEN = {"broker": {"host": "broker.example", "port": 8883, "ca": "ca.der"}, "mcp": {"pin": "a5" * 32}, "scope": 1}
NETWORKS = [{"ssid": "workshop", "password": "the old owner's"}]
STAY = {"identity.json": b'{"device": "lp-test"}', "ca.der": b"\x30 a certificate"}


def write(volume, name, data):
    with volume.open(volume.folder + "/" + name, "wb") as file:
        file.write(data)


def furnish(volume, stores):
    write(volume, "settings.json", json.dumps(dict(GIVEN, wifi=NETWORKS)).encode())
    for name in STAY:
        write(volume, name, STAY[name])
    for number in range(stores):
        volume.journal.store(TOKENS + bytes((number,)))


def read(volume, name):
    with volume.open(volume.folder + "/" + name, "rb") as file:
        return bytes(file.read())


def state(data):
    """ "old" or "erased", or something in between; what has to stay is there."""
    volume = Volume(Flash(data))
    try:
        for name in STAY:
            assert read(volume, name) == STAY[name], name
        settings = json.loads(read(volume, "settings.json"))
        networks = settings.pop("wifi", None)
        assert settings == GIVEN and networks in (None, NETWORKS)
        tokens = volume.journal.load()
        assert tokens is None or tokens[:-1] == TOKENS
        if networks:
            return "old" if tokens else "between"
        assert tokens is None
        left = set(volume.listdir()) - set(STAY) - {"settings.json"}
        return "between" if left else "erased"
    finally:
        volume.close()


def erase(volume):
    factory_reset.erase(volume.folder)


def start(volume):
    factory_reset.finish(volume.folder)


def main(how):
    flash = Flash(bytearray(BLOCK * BLOCKS))
    Volume(flash, fresh=True).close()
    assert lasts(flash, lambda volume: furnish(volume, how["stores_before"]))
    # A device that was never paired has nothing to lose but its networks.
    before = state(flash.data)
    seen = {"old": 0, "erased": 0, "again": 0}
    for data, lasted in cuts(flash.data, erase, how["torn"]):
        if lasted:
            assert state(data) == "erased"
        began = Flash(bytearray(data))
        assert lasts(began, start)
        ended = state(began.data)
        assert ended in (before, "erased"), ended
        seen["erased" if ended == "erased" else "old"] += 1
        for after, _ in cuts(data, start, how["torn_again"]):
            again = Flash(after)
            assert lasts(again, start) and state(again.data) == ended
            seen["again"] += 1
    return seen


with open(sys.argv[1]) as given:
    print(json.dumps(main(json.load(given))))
