"""Vectors made by strangers: where they lie, whose they are, how their files read. Runs on both Pythons.

Not the vectors: none of them is committed here. They lie in ../shared/vectors beside the project (or in the folder that
LATCHPIN_VECTORS names), and some of them in PyPI's cryptography_vectors too. What is absent is skipped, with its owner's name.
"""

import json
import os

try:
    from unittest import SkipTest  # pyright: ignore[reportAssignmentType]
except ImportError:  # MicroPython

    class SkipTest(Exception):
        pass


# folder: (who made it, the same folder in cryptography_vectors)
FOLDERS = {
    "cbor": ("RFC 8949: cbor/test-vectors, cbor-wg/CBORbis", None),
    "cose": ("cose-wg/Examples", None),
    "wycheproof": ("C2SP/wycheproof", None),
    "edhoc": ("lake-wg/edhoc", None),
    "oscore": ("RFC 8613, core-wg/oscore", None),
    "hkdf": ("RFC 5869, PyPI cryptography_vectors", "KDF"),
    "ecdsa": ("RFC 6979, PyPI cryptography_vectors", "asymmetric/ECDSA/RFC6979"),
    "nist_ccm": ("NIST CAVP, PyPI cryptography_vectors", "ciphers/AES/CCM"),
    "dpop": ("RFC 9449 examples", None),
    "oauth": ("RFC 7636, appendix B", None),
    "mqtt": ("eclipse/mosquitto", None),
}


def environment() -> dict:
    """What a MicroPython process needs in its environment to find the same files (CPython only)."""
    from importlib.util import find_spec
    from pathlib import Path

    beside = Path(__file__).resolve().parents[3] / "shared" / "vectors"
    package = find_spec("cryptography_vectors")
    return {
        "LATCHPIN_VECTORS": os.environ.get("LATCHPIN_VECTORS", str(beside)),
        "LATCHPIN_PYPI_VECTORS": str(Path(package.origin).parent) if package and package.origin else "",
    }


def text(name: str) -> str:
    """The file `folder/file` as text. Raises SkipTest where nobody has it."""
    places = (
        environment()
        if hasattr(os, "environ")
        else {key: os.getenv(key) for key in ("LATCHPIN_VECTORS", "LATCHPIN_PYPI_VECTORS")}
    )
    folder, file = name.split("/")
    owner, pypi = FOLDERS[folder]
    paths = ["%s/%s" % (places["LATCHPIN_VECTORS"], name)]
    if pypi:
        paths.append("%s/%s/%s" % (places["LATCHPIN_PYPI_VECTORS"], pypi, file))
    for path in paths:
        try:
            with open(path) as lines:
                return lines.read()
        except OSError:
            pass
    raise SkipTest("no vectors %s (made by %s): name the folder that holds %s/ in LATCHPIN_VECTORS" % (name, owner, folder))


def document(name: str):
    """The JSON file `folder/file`."""
    return json.loads(text(name))


def wycheproof(name: str) -> list:
    """(group, test) for each test of a file of Wycheproof."""
    return [(group, test) for group in document("wycheproof/" + name)["testGroups"] for test in group["tests"]]


def cavp(name: str) -> list:
    """One dict for each case of a CAVP response file: its own values, and the [bracketed] ones and keys above it."""
    cases = []
    file, above, target = {}, {}, None
    for line in text(name).split("\n"):
        line = line.strip()
        if line.startswith("["):
            above = target = dict(file)
            line = line[1:-1]
        if line.startswith("#"):
            continue
        for part in line.split(","):
            if "=" in part:
                key, value = [word.strip() for word in part.split("=")]
                if key == "Count":
                    target = dict(above)
                    cases.append(target)
                (file if target is None else target)[key] = value
    return cases


def rfc5869() -> list:
    """The three cases of RFC 5869, appendix A, for SHA-256: dicts of bytes, L a number."""
    cases = []
    for line in text("hkdf/rfc-5869-HKDF-SHA256.txt").split("\n"):
        if "=" in line and not line.startswith("#"):
            key, value = [part.strip() for part in line.split("=")]
            if key == "COUNT":
                cases.append({})
            elif key == "L":
                cases[-1][key] = int(value)
            elif key != "Hash":
                cases[-1][key] = bytes.fromhex(value)
    return cases


def rfc6979_p256_sha256() -> tuple:
    """(private, public, ((message, r || s), ...)) of RFC 6979, appendix A.2.5, for P-256 with SHA-256."""
    from binascii import a2b_base64

    part = text("ecdsa/evppkey_ecdsa_rfc6979.txt").split("Title = ")
    part = next(section for section in part if section.startswith("RFC 6979 P-256 "))
    keys = [a2b_base64(block.split("-----")[1].replace("\n", "")) for block in part.split("-----BEGIN ")[1:]]
    signatures = []
    for block in part.split("\n\n"):
        lines = block.strip().split("\n")
        if "DigestSign = SHA256" in lines:
            values = dict([line.split(" = ") for line in lines])
            der = bytes.fromhex(values["Output"])
            r_end = 4 + der[3]
            signature = b""
            for number in (der[4:r_end], der[r_end + 2 :]):
                signature += int.from_bytes(number, "big").to_bytes(32, "big")
            signatures.append((values["Input"].strip('"').encode(), signature))
    return keys[0][-32:], keys[1][-64:], tuple(signatures)
