"""adapters/flash_journal.py: the old state or the new one, whatever was torn.

Not for littlefs: tests/adapters/test_power_cut.py cuts the power under a real one.
"""

import os

from latchpin.adapters.flash_journal import Journal

_made = []


def folder():
    try:
        from tempfile import mkdtemp

        return mkdtemp()
    except ImportError:
        _made.append(0)
        name = "journal-%d" % len(_made)
        os.mkdir(name)
        return name


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def test_an_empty_directory_holds_nothing():
    assert Journal(folder()).load() is None


def test_what_was_stored_last_is_loaded():
    directory = folder()
    journal = Journal(directory)
    for number in range(5):
        journal.store(bytes((number,)) * (number * 300 + 1))
        assert journal.load() == Journal(directory).load() == bytes((number,)) * (number * 300 + 1)


def test_a_slot_torn_at_any_byte_leaves_the_older_one():
    directory = folder()
    journal = Journal(directory)
    journal.store(b"old state")
    journal.store(b"new state")
    newest = directory + "/token_b.bin"
    whole = read(newest)
    for length in range(len(whole)):
        write(newest, whole[:length])
        assert journal.load() == b"old state"
    write(newest, whole + b"\0")
    assert journal.load() == b"old state"


def test_a_single_flipped_bit_anywhere_leaves_the_older_one():
    directory = folder()
    journal = Journal(directory)
    journal.store(b"old")
    journal.store(b"new")
    newest = directory + "/token_b.bin"
    whole = read(newest)
    for position in range(len(whole) * 8):
        torn = bytearray(whole)
        torn[position // 8] ^= 1 << position % 8
        write(newest, bytes(torn))
        assert journal.load() == b"old"


def test_a_torn_temporary_file_is_ignored_and_overwritten():
    directory = folder()
    journal = Journal(directory)
    journal.store(b"old")
    write(directory + "/token.tmp", b"LP1 half a record")
    assert journal.load() == b"old"
    journal.store(b"new")
    assert journal.load() == b"new"


def test_the_torn_slot_is_the_one_that_is_written_next():
    directory = folder()
    journal = Journal(directory)
    journal.store(b"first")
    journal.store(b"second")
    write(directory + "/token_b.bin", b"")
    journal.store(b"third")
    assert journal.load() == b"third"
    write(directory + "/token_b.bin", b"")
    assert journal.load() == b"first"


def test_the_sequence_number_may_wrap():
    directory = folder()
    journal = Journal(directory)
    journal.store(b"before")
    # The same record with the highest sequence number there is.
    from binascii import crc32

    record = read(directory + "/token_a.bin")
    record = record[:3] + b"\xff\xff\xff\xff" + record[7:-4]
    write(directory + "/token_a.bin", record + (crc32(record) & 0xFFFFFFFF).to_bytes(4, "big"))
    assert journal.load() == b"before"
    journal.store(b"after")
    assert journal.load() == b"after"
    journal.store(b"later")
    assert journal.load() == b"later"
