"""MicroPython onto a chip: a file or an https URL that a person named, looked at before anything is written, by the real esptool.

Not for choosing one: which firmware a chip should run is read on micropython.org (or left to mpflash, which knows them all).
"""

import contextlib
import hashlib
import importlib.util
import os
import re
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from boards.serial_board import BoardError

MAX_BYTES = 16 * 1024 * 1024
_MAGIC = 0xE9


class Chip(NamedTuple):
    """What esptool calls it, the chip id in its images, and where the ROM looks for the first of them."""

    name: str
    image_id: int
    offset: int


# By `mcu` of board.json. A test compares the numbers with esptool's own.
CHIPS = {
    "esp32": Chip("ESP32", 0, 0x1000),
    "esp32s2": Chip("ESP32-S2", 2, 0x1000),
    "esp32c3": Chip("ESP32-C3", 5, 0x0),
    "esp32s3": Chip("ESP32-S3", 9, 0x0),
    "esp32c2": Chip("ESP32-C2", 12, 0x0),
    "esp32c6": Chip("ESP32-C6", 13, 0x0),
}


def load(source: str, sha256: str | None) -> bytes:
    """The firmware that `source` (a file or an https URL) names. Raises BoardError, also where the checksum does not fit."""
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise BoardError("--firmware-sha256: 64 hexadecimal digits, as `sha256sum FILE` prints them")
    if "://" in source:
        if not source.startswith("https://"):
            raise BoardError("--firmware: a file, or a URL that begins with https://")
        if sha256 is None:
            raise BoardError("--firmware: a URL wants --firmware-sha256 too, so that what comes is what you meant")
        image = _download(source)
    else:
        try:
            image = Path(source).read_bytes()
        except OSError as error:
            raise BoardError(f"--firmware: {error.strerror}: download the .bin for your chip from micropython.org") from None
    if sha256 is not None and hashlib.sha256(image).hexdigest() != sha256.lower():
        raise BoardError("--firmware: not the file with this SHA-256; nothing was written. Download it again")
    return image


def check(image: bytes, mcu: str) -> Chip:
    """The chip, if `image` is whole and made for it (its header says so). Raises BoardError, and no board was touched."""
    chip = CHIPS.get(mcu)
    if chip is None:
        raise BoardError("this board takes no firmware: leave --firmware out")
    if len(image) < 24 or image[0] != _MAGIC:
        raise BoardError("--firmware: not an ESP32 image: take the .bin from micropython.org, not the .uf2, .elf or .app-bin")
    made_for = int.from_bytes(image[12:14], "little")
    if made_for != chip.image_id:
        other = next((known.name for known in CHIPS.values() if known.image_id == made_for), "another chip")
        raise BoardError(f"--firmware: it is for {other}, this board has an {chip.name}; nothing was written")
    with _in_a_file(image) as path:
        done = _esptool(["image-info", path])
    if done.returncode or "(invalid" in done.stdout:
        raise BoardError("--firmware: the image is damaged; nothing was written. Download it again")
    return chip


def write(port: str, mcu: str, image: bytes, erase: bool, say: Callable[[str], None]) -> None:
    """Write a checked image, and wait until esptool has read it back. Raises BoardError."""
    chip = CHIPS[mcu]
    with _in_a_file(image) as path:
        command = write_command(port, mcu, path, erase)
        with subprocess.Popen(  # noqa: S603
            command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as esptool:
            assert esptool.stdout is not None
            told, last = -1, ""
            try:
                for line in esptool.stdout:
                    last = line.strip() or last
                    percent = re.search(r"Writing at .*?([0-9]+)(?:\.[0-9])?\s?%", line)
                    if percent and int(percent[1]) // 10 > told:
                        told = int(percent[1]) // 10
                        say(f"firmware: {told * 10} % of {len(image) // 1024} KB written")
            except BaseException:
                esptool.kill()
                raise
    if esptool.returncode:
        reason = last.removeprefix("ERROR: ").removeprefix("A fatal error occurred: ")
        raise BoardError(
            f"{port}: {chip.name}: {reason} (does a terminal hold the port? Some boards want the BOOT button held while they are "
            "plugged in; then the same command again)"
        )
    say("firmware: written and read back")


def write_command(port: str, mcu: str, path: str, erase: bool) -> list[str]:
    """esptool's command line."""
    command = [sys.executable, "-m", "esptool", "--chip", mcu, "--port", port, "--baud", "460800", "write-flash"]
    return [*command, *(["--erase-all"] if erase else []), f"{CHIPS[mcu].offset:#x}", path]


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=60, context=ssl.create_default_context()) as answer:  # noqa: S310
            image = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise BoardError(f"--firmware: the download failed ({reason}): look at the URL, or download the file yourself") from None
    if len(image) > MAX_BYTES:
        raise BoardError("--firmware: larger than the flash of any of these chips: look at the URL")
    return image


@contextlib.contextmanager
def _in_a_file(image: bytes) -> Iterator[str]:
    # esptool wants a path. Firmware is no secret.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "firmware.bin"
        path.write_bytes(image)
        yield str(path)


def _esptool(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec("esptool") is None:
        raise BoardError("--firmware wants esptool, which is not here: pip install 'latchpin[boards]'")
    command = [sys.executable, "-m", "esptool", *arguments]
    return subprocess.run(command, env=_environment(), capture_output=True, text=True, errors="replace")  # noqa: S603


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LATCHPIN_")}
