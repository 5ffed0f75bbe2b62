"""A service's TOML file with the environment on top, read key by key; every refusal names file, key and mend.

Not for meaning: what a key stands for is its service's business.
"""

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class ConfigurationError(ValueError):
    """The configuration cannot be used; the text says what to do next and quotes no value."""


class Table:
    """One table of the file. Relative paths count from the folder of the file. `done` refuses the keys that nobody asked for."""

    def __init__(self, path: Path, values: Mapping[str, Any], where: str = "") -> None:
        self.path, self._values, self._where, self._asked = path, values, where, set()

    def refuse(self, key: str, mend: str) -> ConfigurationError:
        return ConfigurationError(f"{self.path}: {self._where}{key} {mend}")

    def has(self, key: str) -> bool:
        self._asked.add(key)
        return key in self._values

    def text(self, key: str) -> str:
        if not self.has(key):
            raise self.refuse(key, "is missing; --help shows a whole file")
        if not isinstance(self._values[key], str):
            raise self.refuse(key, "must be text in quotation marks")
        return self._values[key]

    def texts(self, key: str) -> list[str]:
        """A list of texts; from the environment, separated by spaces."""
        value = self._values.get(key) if self.has(key) else []
        value = value.split() if isinstance(value, str) else value
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            raise self.refuse(key, 'must be a list of texts, such as ["one", "two"]')
        return value

    def flag(self, key: str) -> bool:
        """True or false; false where it is not there."""
        value = self._values.get(key, False) if self.has(key) else False
        value = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
        if not isinstance(value, bool):
            raise self.refuse(key, "must be true or false")
        return value

    def file(self, key: str) -> Path:
        found = self.path.parent / self.text(key)
        if not found.is_file():
            raise self.refuse(key, "names no file; relative paths count from the folder of this file")
        return found

    def address(self, key: str) -> tuple[str, int]:
        """(IP address, port) of "address:port"; localhost is 127.0.0.1."""
        host, _, port = self.text(key).rpartition(":")
        host = "127.0.0.1" if host == "localhost" else host.strip("[]")
        try:
            ipaddress.ip_address(host)
            if 0 <= int(port) < 65536:
                return host, int(port)
        except ValueError:
            pass
        raise self.refuse(key, "must be an IP address and a port, such as 127.0.0.1:8443")

    def table(self, key: str) -> "Table":
        if not self.has(key) or not isinstance(self._values[key], dict):
            raise self.refuse(f"[{key}]", "is missing; --help shows a whole file")
        return Table(self.path, self._values[key], f"{key}.")

    def done(self) -> None:
        for key in self._values:
            if key not in self._asked:
                raise self.refuse("", "has a key that is not a setting; --help shows a whole file")


def read(path: Path, prefix: str, environment: Mapping[str, str] = os.environ) -> Table:
    """The file at `path`, overridden by PREFIX__KEY and PREFIX__TABLE__KEY. Raises ConfigurationError."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; --help shows a whole file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ConfigurationError(f"{path}: is not TOML; text values want quotation marks") from None
    for name in sorted(environment):
        if name.startswith(prefix + "__"):
            *tables, key = name[len(prefix) + 2 :].lower().split("__")
            here: Any = values
            for table in tables:
                here = here.setdefault(table, {}) if isinstance(here, dict) else None
            if not isinstance(here, dict):
                raise ConfigurationError(f"environment: {prefix}__... names a setting that does not exist")
            here[key] = environment[name]
    return Table(path, values)
