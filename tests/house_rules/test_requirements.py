"""Each requirement has a test or says why not, and each mark names a requirement (tests/requirements.py).

Not whether a test proves what it says: that is read by people.
"""

import ast
import re
from pathlib import Path

from tests.requirements import FIPA, FIPA_ROWS, REQUIREMENTS

TESTS = Path(__file__).parents[1]
_COMMENT = re.compile(r"^\s*# proves: (.+)$", re.MULTILINE)


def marks(folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """(identifier -> tests that wear it, marks on something that is no test), found without running anything."""
    found: dict[str, list[str]] = {}
    misplaced: list[str] = []
    for path in sorted(folder.rglob("*.py")):
        if "node_modules" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            for decorator in node.decorator_list:
                if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func).rpartition(".")[2] != "proves":
                    continue
                if not node.name.lower().startswith("test"):
                    misplaced.append(f"{path.name}: {node.name}")
                for argument in decorator.args:
                    found.setdefault(ast.literal_eval(argument), []).append(f"{path.name}: {node.name}")
        for comment in _COMMENT.finditer(text):
            following = text[comment.end() :].lstrip()
            if not re.match(r"(# proves: .*\n\s*)*(@.*\n\s*)*(async )?def test_", following):
                misplaced.append(f"{path.name}: comment")
            for identifier in comment[1].split(","):
                found.setdefault(identifier.strip(), []).append(path.name)
    return found, misplaced


def test_every_requirement_has_a_test_or_says_why_not():
    proved, _ = marks(TESTS)
    assert [name for name, requirement in REQUIREMENTS.items() if name not in proved and not requirement.unproved] == []


def test_no_requirement_says_why_not_where_a_test_proves_it():
    proved, _ = marks(TESTS)
    assert [name for name, requirement in REQUIREMENTS.items() if name in proved and requirement.unproved] == []


def test_every_mark_names_a_requirement_and_stands_on_a_test():
    proved, misplaced = marks(TESTS)
    assert {name: tests for name, tests in proved.items() if name not in REQUIREMENTS} == {}
    assert misplaced == []


def test_a_mark_is_found_wherever_it_may_stand(tmp_path):
    (tmp_path / "test_one.py").write_text(
        "import requirements\n"
        "@proves('A-1-a', 'A-1-b')\ndef test_of_pytest(): pass\n"
        "@requirements.proves('A-1-c')\nasync def test_by_module(): pass\n"
        "# proves: A-2-a, A-2-b\ndef test_on_both_runtimes(): pass\n"
        "@proves('A-3-a')\ndef helper(): pass\n"
        "# proves: A-4-a\nVALUE = 1\n"
    )
    found, misplaced = marks(tmp_path)
    assert sorted(found) == ["A-1-a", "A-1-b", "A-1-c", "A-2-a", "A-2-b", "A-3-a", "A-4-a"]
    assert misplaced == ["test_one.py: helper", "test_one.py: comment"]


def test_each_requirement_is_a_sentence_with_somebody_who_bears_it():
    bearers = {"AS", "bridge", "device", "client", "resource server", "deployer"}
    assert [name for name, requirement in REQUIREMENTS.items() if requirement.bearer not in bearers] == []
    assert [name for name, requirement in REQUIREMENTS.items() if not requirement.sentence.endswith(".")] == []
    assert [name for name in REQUIREMENTS if not re.fullmatch(r"[A-Z0-9]+-[0-9.]+-[a-z]{1,2}", name)] == []


def test_the_checklist_of_the_draft_has_its_32_rows_and_each_sentence_stands_in_one():
    assert list(FIPA_ROWS) == list(range(1, 33))
    rows = [f"FIPA-{name}" for names in FIPA_ROWS.values() for name in names]
    assert sorted(rows) == sorted(set(rows)) and set(rows) <= set(FIPA)
    # What else is there says what happens where the draft says MAY, or nothing.
    assert {name for name in FIPA if name not in rows} == {"FIPA-6-a", "FIPA-6.2-b"}
