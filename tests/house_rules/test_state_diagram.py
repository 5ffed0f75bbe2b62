"""The state diagram in device/README.md is drawn from the table of transitions, here.

Not by hand: `python -m tests.house_rules.test_state_diagram` writes it anew.
"""

import re
import sys
from pathlib import Path

from latchpin.agent import authorization

README = Path(__file__).resolve().parents[2] / "device" / "README.md"
BEGIN, END = "<!-- drawn from agent/authorization.py -->", "<!-- end -->"


def diagram() -> str:
    """The table as a Mermaid state diagram; a group's row becomes one arrow for each of its states, a row that stays none."""
    members: dict[str, list[str]] = {}
    for line in authorization.SCOPES.strip().split("\n"):
        for scope in line.split(" "):
            members.setdefault(scope, []).append(line.split(" ")[0])
    arrows: dict[tuple[str, str], list[str]] = {}
    for line in "".join(authorization.TRANSITIONS).strip().replace("\n\n", "\n").split("\n"):
        scope, when, _, be = line.split(" ")
        if be == ".":
            continue
        if scope == "ANY":
            continue  # said in a sentence: drawn, it would cover the rest
        for state in members[scope]:
            if state != be:
                arrows.setdefault((state, be), []).append(when)
    lines = [f"    {start} --> {end}: {', '.join(whens)}" for (start, end), whens in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> OFFLINE", *lines, "```"])


def _parts() -> tuple[str, str, str]:
    text = README.read_text()
    found = re.fullmatch(rf"(.*{re.escape(BEGIN)}\n)(.*?)(\n{re.escape(END)}.*)", text, re.S)
    assert found, "device/README.md has no place for the diagram"
    return found[1], found[2], found[3]


def test_the_diagram_in_the_readme_equals_the_table() -> None:
    assert _parts()[1] == diagram(), "run: python -m tests.house_rules.test_state_diagram"


if __name__ == "__main__":
    before, _, after = _parts()
    README.write_text(before + diagram() + after)
    sys.exit(0)
