"""Cuts the power at every block operation of a factory reset on littlefs, and again at every one of what the next start does.

Run by test_power_cut.py. The order of things is that of agent/parting.py: decide in the journal, forget, say in the journal that
it is done.
"""

import json
import sys

from cut_flash import BLOCK, BLOCKS, Flash, Volume, cuts, lasts

from latchpin.adapters import factory_reset

TOKENS = b"tokens, kept by the journal " * 20
DECIDED, DONE = b"a farewell, and a reset to do", b"a farewell"
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
        kept = volume.journal.load()
        if kept == DONE:
            assert networks is None
            return "erased"
        if kept == DECIDED:
            return "between"
        assert networks == NETWORKS and (kept is None or kept[:-1] == TOKENS)
        return "old"
    finally:
        volume.close()


def erase(volume):
    volume.journal.store(DECIDED)
    end(volume)


def end(volume):
    factory_reset.forget_networks(volume.folder)
    volume.journal.store(DONE)


def start(volume):
    if volume.journal.load() == DECIDED:
        end(volume)


def main(how):
    flash = Flash(bytearray(BLOCK * BLOCKS))
    Volume(flash, fresh=True).close()
    assert lasts(flash, lambda volume: furnish(volume, how["stores_before"]))
    assert state(flash.data) == "old"
    seen = {"old": 0, "erased": 0, "again": 0}
    for data, lasted in cuts(flash.data, erase, how["torn"]):
        if lasted:
            assert state(data) == "erased"
        began = Flash(bytearray(data))
        assert lasts(began, start)
        ended = state(began.data)
        assert ended in ("old", "erased"), ended
        seen["erased" if ended == "erased" else "old"] += 1
        for after, _ in cuts(data, start, how["torn_again"]):
            again = Flash(after)
            assert lasts(again, start) and state(again.data) == ended
            seen["again"] += 1
    return seen


with open(sys.argv[1]) as given:
    print(json.dumps(main(json.load(given))))
