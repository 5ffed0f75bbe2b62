"""pairing.pml under Spin: all states within its bounds, mutants that it must catch, and its device against the device's table.

Not a proof of the code: what the model says of it, and what it leaves out, stands in README.md.
"""

import re
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from latchpin.agent import authorization

MODEL = Path(__file__).with_name("pairing.pml")
INSTALL = "Spin and gcc are not both here: apt install spin gcc"
# The bounds that hold whole: misfortunes of any kind, and more of those in FEW.
BOUNDS = ((2, ""), (3, "FEW"))
LEAST_STATES = 500_000
MOST_S = 180  # of processor time, compiling included: a busy machine is no flaw of a model
MEMORY_MB = 2000

# what is broken: (how many misfortunes it takes to show, what it breaks: a piece of the violated assertion, or "cycle")
MUTANTS = {
    "BREAK_PIN_CROSSES": (1, "pin_key"),
    "BREAK_RID_CACHE": (1, "cycle"),
    "BREAK_ROTATION": (1, "kept_family"),
    "BREAK_SUPERSEDED_ANSWERS": (2, "heard"),
    "BREAK_REUSE_REVOKES": (1, "f_live"),
    "BREAK_GRACE": (1, "kept_family"),
    "BREAK_PIV_RESET": (1, "next_up"),
    "BREAK_HELLO_EVICTS": (1, "was_confirmed"),
    "BREAK_FRESH_CODE": (1, "rids"),
    # Three guards stand one behind the other here: only without all of them the promise itself falls.
    "BREAK_PROOFS BREAK_RID_CACHE BREAK_SINGLE_USE": (1, "redeemed"),
    "BLIND BREAK_PROOFS BREAK_RID_CACHE BREAK_SUPERSEDED_ANSWERS": (2, "charged"),
}
# The code as it stood before the model was asked: README.md, "What it found".
FOUND = {
    "BREAK_LATE_SUCCESSOR": (2, "kept_family"),
    "FEW BREAK_REDEEMED_SUPERSEDES": (3, "kept_family"),
    "COUNT_PINS BREAK_FIRST_AGAIN": (1, "luck"),
}

# Rows of the table that are no part of the model, by their `when`, and why.
LEFT_OUT = {
    "next_input": "the reference AS asks for one input",
    "expired": "a PIN's own clock: on the wire it is a wrong answer without a charge",
    "block": "long answers of a tool",
    "answer": "the end of a call",
    "go": "the next request of a call",
    "asked": "a call while a person is asked",
    **dict.fromkeys(("grant", "shown", "show", "poll", "authorization_pending", "slow_down"), "a device grant has no PIN"),
    "browser": "no way to a token at all",
    **dict.fromkeys(("Unpair", "farewell", "result"), "what is freed begins from nothing: test_power_cuts.py"),
}
# More rows of a `when` that the model has elsewhere.
LEFT_OUT_ROWS = {
    "CHALLENGING wrong_answer challenge_anew .": "an AS that judges where nothing was answered",
    "TAKING prompt ask_human WAITING": "step-up",
    "WAITING call call CALLING": "a call while a person is asked",
    "SHOWING call call CALLING": "a call while a person is asked",
    "POLLING try_later slow_down SHOWING": "a device grant has no PIN",
    "POLLING invalid_grant authorize AUTHORIZING": "a device grant has no PIN",
    "REVOKING fatal say_farewell REPORTING": "the servers are told of an unpairing",
    "REPORTING fatal begin_anew .": "the servers are told of an unpairing",
}


def _rows() -> set[str]:
    found = re.findall(r"\brow\((\w+), (\w+), (\w+), (\w+)\)", MODEL.read_text())
    return {" ".join((*row[:3], "." if row[3] == "same" else row[3])) for row in found}


def _table() -> list[str]:
    """The rows of the device, without the rooms of their deeds."""
    rows = [line.split(" ") for line in "".join(authorization.TRANSITIONS).split("\n") if line]
    return [" ".join((scope, when, do.rpartition(".")[2], be)) for scope, when, do, be in rows]


def test_every_row_of_the_model_stands_in_the_table_of_the_device() -> None:
    assert _rows() - set(_table()) == set()


def test_every_row_of_pairing_in_the_table_stands_in_the_model() -> None:
    table = _table()
    missing = [row for row in table if row not in _rows() | LEFT_OUT_ROWS.keys() and row.split(" ")[1] not in LEFT_OUT]
    assert missing == [], "model it in pairing.pml, or say in LEFT_OUT why not"


def test_what_is_left_out_is_in_the_table_and_not_in_the_model() -> None:
    table = _table()
    assert set(LEFT_OUT) <= {row.split(" ")[1] for row in table}
    assert set(LEFT_OUT_ROWS) <= set(table)
    assert not set(LEFT_OUT) & {row.split(" ")[1] for row in _rows()}


def _search(folder: Path, misfortunes: int, defines: str, optimize: str = "-O0") -> str:
    """What pan says after a search for violated assertions and for runs without a token in the end."""
    if not (shutil.which("spin") and shutil.which("gcc")):
        pytest.skip(INSTALL)
    define = [f"-DMISFORTUNES={misfortunes}", *[f"-D{name}" for name in defines.split()]]
    made = subprocess.run(["spin", *define, "-a", str(MODEL)], cwd=folder, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stdout + made.stderr
    flags = [optimize, "-w", f"-DMEMLIM={MEMORY_MB}", "-DCOLLAPSE"]
    subprocess.run(["gcc", *flags, "-o", "pan", "pan.c"], cwd=folder, check=True, timeout=300)
    ran = subprocess.run(["./pan", "-a", "-m200000"], cwd=folder, capture_output=True, text=True, timeout=600)
    return ran.stdout


def _number(pattern: str, said: str) -> float:
    found = re.search(pattern, said)
    assert found, said
    return float(found[1])


@pytest.mark.parametrize(("misfortunes", "defines"), BOUNDS)
def test_no_property_fails_in_any_state_within_the_bounds(
    misfortunes: int, defines: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    said = _search(tmp_path, misfortunes, defines, optimize="-O1")
    took_s = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    states = int(_number(r"(\d+) states, stored", said))
    megabytes = _number(r"([\d.]+)\s+total actual memory usage", said)
    with capsys.disabled():
        print(f"\n{misfortunes} misfortunes {defines}: {states} states, {megabytes:.0f} MB, {took_s:.0f} s of processor time")
    assert "errors: 0" in said and "Search not completed" not in said and "max search depth too small" not in said, said
    assert "acceptance   cycles \t+" in said, said
    assert states >= LEAST_STATES
    assert took_s < MOST_S


def test_one_misfortune_alone_costs_no_pin(tmp_path: Path) -> None:
    said = _search(tmp_path, 1, "COUNT_PINS")
    assert "errors: 0" in said and "Search not completed" not in said, said


@pytest.mark.parametrize("broken", [*MUTANTS, *FOUND])
def test_a_broken_model_is_caught(broken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    misfortunes, breaks = (MUTANTS | FOUND)[broken]
    said = _search(tmp_path, misfortunes, broken)
    caught = re.search(r"pan:\d+: (assertion violated .*|acceptance cycle) \(at", said)
    assert caught, said
    with capsys.disabled():
        print(f"\n{broken}: {caught[1]}")
    assert breaks in caught[1]
