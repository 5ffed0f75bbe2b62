"""Imports only go down, and nothing under device/ imports what a board has not.

Not a linter: ruff and pyright run in `make check`; these are the rules of this house alone.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEVICE = ROOT / "device" / "latchpin"

# room: what it may import of the project. A room may always import itself.
FLOORS = {
    "latchpin.runtime": {"latchpin.host_engine"},
    # CPython's engine alone, at a call: TLS is its host's, so that nothing in device/ imports ssl.
    "latchpin.host_engine": {"host_sim.cpython_tls"},
    "latchpin.crypto": {"latchpin.runtime"},
    "latchpin.wire": {"latchpin.crypto", "latchpin.runtime"},
    "latchpin.agent": {"latchpin.wire", "latchpin.crypto", "latchpin.runtime"},
    "latchpin.adapters": {"latchpin.runtime", "latchpin.crypto"},
    "host_sim.cpython_tls": {"latchpin.adapters"},
    "latchpin.runner": {"latchpin.agent", "latchpin.runtime"},
    "broker_bridge": {"latchpin.wire"},
    "host_sim": {"latchpin", "broker_bridge", "boards"},
    "boards": {"latchpin", "broker_bridge"},
}

# What MicroPython on a board has, of what the device uses. Everything else is missing there, or must not be used:
# ssl verifies nothing by default, random is not for keys.
ON_THE_CHIP = {
    "asyncio",
    "binascii",
    "cryptolib",
    "errno",
    "framebuf",
    "gc",
    "hashlib",
    "io",
    "json",
    "os",
    "select",
    "socket",
    "struct",
    "sys",
}
ON_THE_CHIP |= {"time", "tls", "machine", "network", "micropython", "uctypes", "neopixel"}
ONLY_HOST = {"device/latchpin/host_engine.py"}


def _imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions; `from latchpin import runtime` counts as latchpin.runtime."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "latchpin" else {node.module}
    return found


def _room(module: str) -> str | None:
    """The key of FLOORS that a module of ours belongs to."""
    fitting = [room for room in FLOORS if module == room or module.startswith(room + ".")]
    return max(fitting, key=len) if fitting else None


def _files() -> list[tuple[Path, str]]:
    found = []
    for folder, package in ((DEVICE, "latchpin"), (ROOT / "broker_bridge", "broker_bridge"), (ROOT / "host_sim", "host_sim")):
        for path in sorted(folder.rglob("*.py")):
            module = ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
            found.append((path, module))
    return found


def test_imports_only_go_down() -> None:
    climbs = []
    for path, module in _files():
        room = _room(module)
        for target in _imports(path):
            other = _room(target)
            if other is None or room is None or other == room:
                continue
            if not any(other == allowed or other.startswith(allowed + ".") for allowed in FLOORS[room]):
                climbs.append(f"{path.relative_to(ROOT)} imports {target}")
    assert climbs == []


def test_every_room_is_on_a_floor() -> None:
    assert [module for _, module in _files() if _room(module) is None] == ["latchpin"]


def test_the_device_imports_only_what_a_board_has() -> None:
    foreign = []
    for path in sorted(DEVICE.rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if name in ONLY_HOST:
            continue
        for target in _imports(path):
            if target.split(".")[0] not in ON_THE_CHIP | {"latchpin"}:
                foreign.append(f"{name} imports {target}")
    assert foreign == []


def test_no_certificate_goes_unverified() -> None:
    word = re.compile(
        r"= *\w*[.]CERT_NONE|verify=False|check_hostname\s*=\s*False|InsecureRequest|danger_accept|_create_unverified"
    )
    # The one CERT_NONE is CPython's half of a certificate pin, which compares the certificate itself before a byte is sent.
    allowed = {"host_sim/cpython_tls.py"}
    found = {
        str(path.relative_to(ROOT))
        for folder in (DEVICE, ROOT / "broker_bridge", ROOT / "host_sim", ROOT / "boards")
        for path in folder.rglob("*.py")
        if word.search(path.read_text())
    }
    assert found <= allowed


def test_a_file_says_what_it_is_and_what_it_is_not() -> None:
    silent = []
    for path, _ in _files():
        text = ast.get_docstring(ast.parse(path.read_text()))
        if path.name == "__init__.py":
            if not text:
                silent.append(str(path.relative_to(ROOT)))
        elif not text or not re.search(r"^Not |\bNot (for|a|an|the|in)\b|\bno (protocol|I/O)\b", text, re.M):
            silent.append(str(path.relative_to(ROOT)))
    assert silent == []


def test_a_readme_names_every_room_beside_it() -> None:
    unnamed = []
    for folder in (ROOT / "broker_bridge", ROOT / "host_sim", ROOT / "host_sim" / "authorization_server"):
        text = (folder / "README.md").read_text()
        unnamed += [str(path.relative_to(ROOT)) for path in sorted(folder.glob("[a-z]*.py")) if f"`{path.name}`" not in text]
    assert unnamed == []
