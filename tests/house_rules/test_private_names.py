"""What begins with one underscore belongs to its file alone, under device/: boards/compact.py counts on it.

Not for what it saves: tests/journeys/test_budgets.py holds the budgets with the compacted files.
"""

import ast
import re

import pytest

from boards.compact import compact, families, own
from boards.package import DEVICE, files

PRIVATE = re.compile(r"_[A-Za-z]\w*")
INTERPRETERS = {"_machine"}
FAMILIES = families({name: (DEVICE / name).read_text() for name in files()})
every_file = pytest.mark.parametrize("name", files())


@every_file
def test_no_file_of_the_device_uses_a_private_name_of_another(name: str) -> None:
    tree = ast.parse((DEVICE / name).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not [alias.name for alias in node.names if PRIVATE.fullmatch(alias.name)]
        used = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        assert not PRIVATE.fullmatch(used) or used in own(tree) | INTERPRETERS or name in FAMILIES, used
        # Nor by a text, which nobody would rename.
        assert not (isinstance(node, ast.Constant) and node.value in own(tree))


def test_classes_with_private_names_to_share_stand_in_files_that_are_left_alone() -> None:
    assert {"latchpin/adapters/text_screen.py", "latchpin/adapters/lcd_hd44780.py"} <= FAMILIES
    assert all(path.startswith("latchpin/adapters/") for path in FAMILIES)


@every_file
def test_a_compacted_file_differs_in_its_private_names_alone(name: str) -> None:
    source = (DEVICE / name).read_text()
    before, after = (list(map(type, ast.walk(ast.parse(text)))) for text in (source, compact(source)))
    assert before == after
    assert source.count("\n") == compact(source).count("\n")
    assert all(len(private) <= 3 for private in own(ast.parse(compact(source))))


def test_the_same_short_names_serve_every_file_and_never_one_that_is_there() -> None:
    assert compact("def first(self, _a):\n    self._second = _a, self._other, self.name, '_first'  # _first\n") == (
        "def first(self, _a):\n    self._b = _a, self._other, self.name, '_first'  # _first\n"
    )
    assert compact("_zero = 1\n") == "_a = 1\n"


def test_parameters_are_shortened_where_nobody_else_names_them() -> None:
    assert compact("def _first(self, one, two=0):\n    return _first(one, two=two), self.one, [one for one in two]\n") == (
        "def _a(self, _b, two=0):\n    return _a(_b, two=two), self.one, [_b for _b in two]\n"
    )
    assert compact("def first(one):\n    return lambda two, three: (one, two, lambda two: two + three)\n") == (
        "def first(one):\n    return lambda _a, _b: (one, _a, lambda _c: _c + _b)\n"
    )
    assert compact("def first(one, two, three):\n    return one, two, three\n", {"two"}) == (
        "def first(_a, two, _b):\n    return _a, two, _b\n"
    )
