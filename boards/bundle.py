"""`make bundle`: Latchpin compiled, as a folder for `mpremote mip install` and as a ROMFS image for `mpremote romfs deploy`.

Not for a board of yours: `latchpin flash` does all of it. This is for whoever ships boards in another way.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from boards import package
from latchpin import __version__


def write(folder: Path) -> list[Path]:
    """package.json with its .mpy files, and latchpin.romfs, in `folder`, which is made anew. What to install or deploy."""
    shutil.rmtree(folder, ignore_errors=True)
    tree = {name.removeprefix("lib/"): data for name, data in package.package_files(source=False).items()}
    _lay(folder, tree)
    listing = {"urls": [[name, name] for name in sorted(tree)], "deps": [], "version": __version__}
    (folder / "package.json").write_text(json.dumps(listing, indent=1) + "\n")
    image = folder / "latchpin.romfs"
    with tempfile.TemporaryDirectory() as rom:
        _lay(Path(rom) / "lib", tree)
        command = [sys.executable, "-m", "mpremote", "romfs", "--no-mpy", "--output", image, "build", rom]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return [folder / "package.json", image]


def _lay(folder: Path, tree: dict[str, bytes]) -> None:
    for name, data in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    for made in write(package.ROOT / "build" / "bundle"):
        print(f"{made.relative_to(package.ROOT)}: {made.stat().st_size} bytes")
