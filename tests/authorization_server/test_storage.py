"""The one transaction at a time, and the commit that many answers share.

Not the statements in it: whatever reads and writes through the endpoints.
"""

import asyncio
import sqlite3
import threading

import pytest

from host_sim.authorization_server.storage import Storage
from tests.requirements import proves


def remember(storage: Storage, number: int) -> bool:
    with storage.transaction() as transaction:
        return transaction.remember_proof(2**40, number.to_bytes(4, "big"))


def kept(path) -> list[int]:
    """What another connection sees: that is what was committed."""
    with sqlite3.connect(path) as other:
        return sorted(int.from_bytes(row[0], "big") for row in other.execute("SELECT digest FROM proofs"))


@pytest.fixture
def storage(tmp_path):
    opened = Storage(tmp_path / "state.sqlite")
    yield opened
    opened.close()


@proves("PROTOCOL-5-i")
def test_what_is_asked_at_once_shares_a_commit_and_no_answer_leaves_before_it(tmp_path, storage):
    commits: list[str] = []
    storage._connection.set_trace_callback(lambda statement: commits.append(statement) if statement == "COMMIT" else None)
    seen: list[bool] = []

    async def one(number: int) -> None:
        assert await storage.together(lambda: remember(storage, number))
        seen.append(number in kept(tmp_path / "state.sqlite"))

    async def many() -> None:
        await asyncio.gather(*(one(number) for number in range(50)))

    asyncio.run(many())
    assert seen == [True] * 50
    assert len(commits) <= 2


def test_work_that_fails_is_undone_alone(tmp_path, storage):
    def fail() -> None:
        with storage.transaction() as transaction:
            transaction.remember_proof(2**40, b"\0\0\0\x63")
            raise KeyError("a fault of ours")

    async def three() -> list[object]:
        works = (lambda: remember(storage, 1), fail, lambda: remember(storage, 2))
        return await asyncio.gather(*(storage.together(work) for work in works), return_exceptions=True)

    first, second, third = asyncio.run(three())
    assert (first, third) == (True, True) and isinstance(second, KeyError)
    assert kept(tmp_path / "state.sqlite") == [1, 2]


def test_a_commit_that_fails_fails_every_answer_of_it_and_the_next_goes_on(tmp_path, storage):
    def break_the_commit() -> bool:
        storage._connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        storage._connection.execute("CREATE TABLE child (parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
        storage._connection.execute("INSERT INTO child VALUES (7)")
        return True

    async def both() -> tuple[list[object], bool]:
        works = (lambda: remember(storage, 1), break_the_commit)
        failed = await asyncio.gather(*(storage.together(work) for work in works), return_exceptions=True)
        return failed, await storage.together(lambda: remember(storage, 2))

    failed, after = asyncio.run(both())
    assert [type(each) for each in failed] == [sqlite3.IntegrityError] * 2
    assert after and kept(tmp_path / "state.sqlite") == [2]


def test_another_thread_waits_for_the_batch_and_is_no_part_of_it(tmp_path, storage):
    entered, left = threading.Event(), threading.Event()

    def elsewhere() -> None:
        entered.set()
        remember(storage, 2)
        left.set()

    def work() -> bool:
        threading.Thread(target=elsewhere, daemon=True).start()
        assert entered.wait(30)
        return remember(storage, 1)

    assert asyncio.run(storage.together(work))
    assert left.wait(30)
    assert kept(tmp_path / "state.sqlite") == [1, 2]


def test_a_transaction_that_fails_is_undone(tmp_path, storage):
    with pytest.raises(KeyError), storage.transaction() as transaction:
        transaction.remember_proof(2**40, b"1")
        raise KeyError
    assert kept(tmp_path / "state.sqlite") == []
