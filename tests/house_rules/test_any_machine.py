"""Nothing in the tree belongs to one machine: no absolute path of somebody's, no host that packages are fetched from.

Not about secrets: those are looked for where they could leak.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Where a checkout or a home lies. Systems' own folders, such as /dev, /usr and /tmp, are everybody's.
FOLDERS = re.compile(r"(?<![\w.:}~/-])(?:file://)?/(?:work|root|home|Users|workspace|builds|mnt|media|opt/(?!homebrew))\b/?")
DRIVES = re.compile(r"\b[A-Z]:\\\w")
# Package clients know their hosts; naming one here would overrule what somebody configured.
HOSTS = re.compile(
    r"(?:pypi|pythonhosted|npmjs|yarnpkg|crates|debian|ubuntu|docker|ghcr|rubygems)\.(?:org|com|io)\b|\b[\w.-]+\.local(?:domain)?\b(?!\()"
    r"|(?:--index-url|--extra-index-url|--find-links|--registry[ =]https?:)"
)


def files() -> list[Path]:
    """What is in the repository; every file of the folder where there is none."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    foreign = {"node_modules", "build", "__pycache__", "test-artefacts"}
    kept = [path for path in ROOT.rglob("*") if path.is_file() and not foreign & set(path.relative_to(ROOT).parts)]
    return [path for path in kept if not any(part.startswith(".") and part != ".ci" for part in path.relative_to(ROOT).parts)]


def found(pattern: re.Pattern[str], text: str) -> list[str]:
    return [match[0] for match in pattern.finditer(text)]


def test_no_file_names_a_folder_of_one_machine_or_a_host_of_packages() -> None:
    here = re.compile(rf"(?<![\w.-]){re.escape(str(ROOT))}\b")
    told = []
    for path in files():
        text = path.read_bytes().decode("utf-8", "replace")
        if path != Path(__file__):
            told += [f"{path.relative_to(ROOT)}: {hit}" for rule in (FOLDERS, DRIVES, HOSTS) for hit in found(rule, text)]
        if len(ROOT.parts) > 2 and here.search(text):
            told.append(f"{path.relative_to(ROOT)}: the folder of this checkout")
    assert told == []


def test_the_lock_file_of_npm_names_no_host() -> None:
    assert '"resolved"' not in (ROOT / "tests" / "peers" / "package-lock.json").read_text()


def test_what_the_rules_look_for_is_found_and_what_is_everybodys_is_not() -> None:
    for text in ("cd /root/x", "'/home/somebody'", "=/work/", "file:///opt/simple", "open(/mnt/data)"):
        assert found(FOLDERS, text), text
    for text in ("/dev/ttyUSB0", "/usr/sbin", "https://host/work/x", "a/home/b", "/opt/homebrew/sbin", "/workshop", "./root/"):
        assert not found(FOLDERS, text), text
    assert found(DRIVES, "C:\\Users") and not found(DRIVES, "a: \\n")
    for text in (
        "https://pypi.org/simple",
        "files.pythonhosted.org",
        "registry.npmjs.org",
        "deb.debian.org",
        "--index-url x",
        "nas.local",
    ):
        assert found(HOSTS, text), text
    for text in ("PyPI", "npm install", "micropython.org", "datatracker.ietf.org", "--registry devices.toml"):
        assert not found(HOSTS, text), text
