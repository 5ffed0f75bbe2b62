"""The journal and the factory reset on real littlefs: the power goes at every block operation, and again in what comes after.

Not the whole matrix of a device's life: these are the hands alone.
"""

import pytest

from tests.adapters.support import Run


@pytest.mark.parametrize("torn_again", [False, True], ids=["then-clean", "then-torn"])
@pytest.mark.parametrize("torn", [False, True], ids=["clean", "torn"])
@pytest.mark.parametrize("stores_before", [0, 1, 2, 7])
def test_every_cut_and_every_second_cut_leave_the_old_state_or_the_new_one(
    run: Run, stores_before: int, torn: bool, torn_again: bool
):
    seen = run("power_cut.py", {"stores_before": stores_before, "torn": torn, "torn_again": torn_again}, timeout_s=120)
    assert seen["old"] >= 1 and seen["new"] >= 1
    assert seen["again"] >= 5 * (seen["old"] + seen["new"])


@pytest.mark.parametrize("torn_again", [False, True], ids=["then-clean", "then-torn"])
@pytest.mark.parametrize("torn", [False, True], ids=["clean", "torn"])
@pytest.mark.parametrize("stores_before", [0, 1, 2])
def test_every_cut_and_every_second_cut_of_a_factory_reset_leave_all_or_nothing(
    run: Run, stores_before: int, torn: bool, torn_again: bool
):
    seen = run("erase_cut.py", {"stores_before": stores_before, "torn": torn, "torn_again": torn_again}, timeout_s=300)
    assert seen["old"] >= 1 and seen["erased"] >= 3
    assert seen["again"] > seen["old"] + seen["erased"]
