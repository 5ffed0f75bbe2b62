"""Shorter private names for the files that are compiled for a board: there each different name stays in the heap for ever.

Not a minifier: what begins with one underscore, and what such functions call their parameters, is nobody else's (a test holds
it) but in classes with heirs in another file; nor are the parameters of a file that nobody outside of the package calls by
keyword. Nothing else is touched, and lines stay where they are. A traceback from a board shows the short names, `latchpin flash
--source` the real ones.
"""

import ast
import io
import itertools
import re
import string
import tokenize
from collections.abc import Iterable, Iterator

_PRIVATE = re.compile(r"_[A-Za-z]\w*")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def compact(source: str, keywords: set[str] | None = None) -> str:
    """`source` with its private names replaced by `_a`, `_b` and so on: the same few in every file.

    keywords: by which parameters are named anywhere; then those of public functions are shortened too, but for these.
    """
    tree = ast.parse(source)
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.NAME]
    there = {token.string for token in tokens}
    free = [name for name in _names() if name not in there]
    private = own(tree)
    shorter = dict(zip(dict.fromkeys(token.string for token in tokens if token.string in private), free, strict=False))
    named = {shorter.get(node.id) for node in ast.walk(tree) if isinstance(node, ast.Name)}
    local = _parameters(tree, [name for name in free if name not in named], keywords)
    lines = source.splitlines(keepends=True)
    for token in reversed(tokens):
        (row, start), (_, end) = token.start, token.end
        name = local.get((row, start)) or shorter.get(token.string)
        if name:
            lines[row - 1] = lines[row - 1][:start] + name + lines[row - 1][end:]
    return "".join(lines)


def own(tree: ast.Module) -> set[str]:
    """The private names that a file itself makes."""
    made: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.attr if isinstance(node, ast.Attribute) else node.id)
        elif isinstance(node, ast.alias):
            made.add(node.asname or "")
    return {name for name in made if _PRIVATE.fullmatch(name)}


def families(sources: dict[str, str]) -> set[str]:
    """Of files by path, those with a class whose parent or heir stands in another: they share the parent's private names."""
    trees = {path: ast.parse(source) for path, source in sources.items()}
    private = {
        (path, node.name): any(_PRIVATE.fullmatch(part.attr) for part in ast.walk(node) if isinstance(part, ast.Attribute))
        for path, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    related: set[str] = set()
    for path, tree in trees.items():
        bases = {
            base.id for node in tree.body if isinstance(node, ast.ClassDef) for base in node.bases if isinstance(base, ast.Name)
        }
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                parent = str(node.module).replace(".", "/") + ".py"
                if any(private.get((parent, alias.name)) for alias in node.names if alias.name in bases):
                    related |= {path, parent}
    return related


def keywords(sources: Iterable[str]) -> set[str]:
    """The names by which calls give arguments."""
    return {node.arg for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.keyword) and node.arg}


def _names() -> Iterator[str]:
    for size in (1, 2):
        for letters in itertools.product(string.ascii_letters, repeat=size):
            yield "_" + "".join(letters)


def _parameters(tree: ast.Module, free: list[str], keywords: set[str] | None) -> dict[tuple[int, int], str]:
    """Where a parameter of a private function, or of one inside a function, stands, and what it is called now."""
    by_keyword = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)} | (keywords or set())
    places: dict[tuple[int, int], str] = {}

    def visit(node: ast.AST, scope: dict[str, str], inside: bool) -> None:
        if isinstance(node, _FUNCTIONS):
            outer, scope = scope, dict(scope)
            private = inside or keywords is not None or isinstance(node, ast.Lambda) or _PRIVATE.fullmatch(node.name)
            arguments = node.args
            unused = (name for name in free if name not in outer.values())
            for argument in (*arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg):
                if argument is not None:
                    scope.pop(argument.arg, None)
                    if private and argument.arg not in by_keyword | {"self"}:
                        scope[argument.arg] = places[argument.lineno, argument.col_offset] = next(unused)
            for default in (*arguments.defaults, *arguments.kw_defaults):
                if default is not None:
                    visit(default, outer, inside)
            for child in node.body if isinstance(node.body, list) else [node.body]:
                visit(child, scope, True)
            return
        if isinstance(node, ast.Name) and node.id in scope:
            places[node.lineno, node.col_offset] = scope[node.id]
        for child in ast.iter_child_nodes(node):
            visit(child, scope, inside)

    visit(tree, {}, False)
    return places
