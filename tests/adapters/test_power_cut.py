"""The journal on real littlefs: the power goes at every block operation of a write, clean or torn.

Not the whole matrix of a device's life: this is the journal alone.
"""

import pytest

from tests.adapters.support import Run


@pytest.mark.parametrize("python", ["micropython"], indirect=True)
@pytest.mark.parametrize("torn", [False, True], ids=["clean", "torn"])
@pytest.mark.parametrize("stores_before", [0, 1, 2, 7])
def test_every_cut_leaves_the_old_state_or_the_new_one(run: Run, stores_before: int, torn: bool):
    seen = run("power_cut.py", {"stores_before": stores_before, "torn": torn})
    assert seen["cuts"] >= 5 and seen["old"] >= 1 and seen["new"] >= 1
    assert seen["old"] + seen["new"] == seen["cuts"] + 1
