"""Cuts the power at every block operation of a journal write on littlefs, and again at every one of the write after that.

Run by test_power_cut.py.
"""

import json
import sys

from cut_flash import BLOCK, BLOCKS, Flash, Volume, cuts, lasts

OLD = b"the old state " * 40
NEW = b"the new state " * 43
LAST = b"the last state " * 41


def storing(data):
    return lambda volume: volume.journal.store(data)


def load(data):
    volume = Volume(Flash(data))
    try:
        return volume.journal.load()
    finally:
        volume.close()


def main(how):
    flash = Flash(bytearray(BLOCK * BLOCKS))
    Volume(flash, fresh=True).close()
    for number in range(how["stores_before"]):
        assert lasts(flash, storing(OLD + bytes((number,))))
    old = load(flash.data)
    seen = {"old": 0, "new": 0, "again": 0}
    for data, lasted in cuts(flash.data, storing(NEW), how["torn"]):
        found = load(data)
        assert found == NEW if lasted else found in (old, NEW), seen
        seen["new" if found == NEW else "old"] += 1
        for after, recovered in cuts(data, storing(LAST), how["torn_again"]):
            again = load(after)
            assert again == LAST if recovered else again in (found, LAST), seen
            seen["again"] += 1
    return seen


with open(sys.argv[1]) as given:
    print(json.dumps(main(json.load(given))))
