"""A service's TOML file with the environment on top, as a pydantic model; every refusal names file, key and mend.

Not for meaning: what a key stands for is its service's business.
"""

import difflib
import re
import ssl
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo

from broker_bridge.oauth_api import HTTPS_URL

_Model = TypeVar("_Model", bound=BaseModel)

# What pydantic's own words leave open.
_MENDS = {
    "missing": "is missing; add it",
    "string_type": "must be text in quotation marks",
    "path_type": "must be text in quotation marks",
    "list_type": 'must be a list, such as ["one", "two"]',
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
}


class ConfigurationError(Exception):
    """The configuration cannot be used. Its text names each key and the mend, one a line, and quotes no value."""


def _https(url: str) -> str:
    if len(url) > 256 or "?" in url or not re.match(HTTPS_URL, url) or url.endswith("\n"):
        raise ValueError(
            "must be an https:// URL of at most 256 characters, without user, query or fragment; there is no plaintext mode"
        )
    return url


def place(path: Path, info: ValidationInfo) -> Path:
    """The path as counted from the folder of the configuration file."""
    return (info.context or {}).get("folder", Path()) / path.expanduser()


def _file(path: Path, info: ValidationInfo) -> Path:
    # systemd.exec(5), LoadCredential=: a bare name is looked for there first.
    credential = Path((info.context or {}).get("credentials") or "/", path.name)
    path = credential if path == Path(path.name) and credential.is_file() else place(path, info)
    if not path.is_file():
        raise ValueError("names a file that is not there; relative paths start at the folder of the configuration file")
    return path


def _ca(path: Path, info: ValidationInfo) -> Path:
    path = _file(path, info)
    try:
        ssl.create_default_context(cafile=str(path))
    except (ssl.SSLError, OSError):
        raise ValueError("must name a file with certificates in PEM") from None
    return path


def _secret_file(path: Path, info: ValidationInfo) -> Path:
    path = _file(path, info)
    try:
        text = _text(path)
    except (OSError, UnicodeDecodeError):
        raise ValueError("must name a text file that this process may read") from None
    if not text:
        raise ValueError("names an empty file: write a random secret into it")
    return path


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")


def address(listen: str) -> tuple[str, int]:
    """(IP address, port) of "127.0.0.1:8443" or "[::1]:8443"; localhost is 127.0.0.1. Raises ValueError."""
    host, _, port = listen.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    ip_address(host)
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError
    return host, int(port)


def _listen(text: str) -> str:
    try:
        address(text)
    except ValueError:
        raise ValueError("must be an IP address and a port, such as 127.0.0.1:8443") from None
    return text


def is_loopback(listen: str) -> bool:
    return ip_address(address(listen)[0]).is_loopback


def _words(value: Any) -> Any:
    return value.split() if isinstance(value, str) else value


HttpsUrl = Annotated[str, AfterValidator(_https)]  # a str, never normalised: RFC 8414, section 3.3 compares bytes
PathOf = Annotated[Path, AfterValidator(place)]  # may still be missing
File = Annotated[Path, AfterValidator(_file)]
CaFile = Annotated[Path, AfterValidator(_ca)]
SecretFile = Annotated[Path, AfterValidator(_secret_file)]
Listen = Annotated[str, AfterValidator(_listen)]
LogLevel = Literal["debug", "info", "warning", "error"]
Visible = Annotated[str, Field(pattern=r"^[\x21-\x7e]+$")]
Scope = Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]  # RFC 6749, section 3.3
Scopes = Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$")]
WORDS = BeforeValidator(_words)  # a list that comes from the environment has blanks between its items


class Section(BaseModel):
    """One table of a file. Nothing in it can be changed, and a key that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def given(self, name: str) -> int:
        """How often the secret `name` is given: as `name` and as `name`_file."""
        return (getattr(self, name) is not None) + (getattr(self, f"{name}_file") is not None)

    def secret_of(self, name: str) -> SecretStr | None:
        """The secret `name`, read from the file of `name`_file where that is given; one trailing line break is not part of it."""
        file: Path | None = getattr(self, f"{name}_file")
        return SecretStr(_text(file)) if file else getattr(self, name)


class TlsService(Section):
    """What each service says that listens with TLS: the whole table of such a service starts with these."""

    listen: Listen
    certificate: File
    private_key: File
    log_level: LogLevel = "info"

    @property
    def host(self) -> str:
        return address(self.listen)[0]

    @property
    def port(self) -> int:
        return address(self.listen)[1]


def load(model: type[_Model], path: Path, prefix: str, environment: Mapping[str, str], start_from: str) -> _Model:
    """The TOML file at `path` as `model`, overridden by PREFIX__KEY and PREFIX__TABLE__0__KEY.

    start_from: what to say about a whole file where there is none. Raises ConfigurationError: a line for each thing to mend.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file; {start_from}") from None
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at [^)]*\)", str(error))
        raise ConfigurationError(f"{path}: not TOML {at[0] if at else ''}; text values want quotation marks") from None
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{path}: cannot be read as a text file") from None
    known = _keys(model)
    places = {steps: f"{path}:{number}" for steps, number in line_numbers(text).items()}
    for name in sorted(environment):
        if name.startswith(f"{prefix}__"):
            steps = name.removeprefix(f"{prefix}__").lower().split("__")
            _override(table, name, steps, environment[name], known)
            places[tuple(steps)] = f"environment {name}"
    try:
        return model.model_validate(
            table, context={"folder": path.parent, "credentials": environment.get("CREDENTIALS_DIRECTORY")}
        )
    except ValidationError as error:
        raise ConfigurationError(lines(str(path), error, known, places)) from None


def lines(where: str, error: ValidationError, known: list[str], places: Mapping[tuple[str, ...], str] | None = None) -> str:
    """One line for each thing to mend in `where`. known: the keys that a misspelt one may have meant; places: of each key."""
    return "\n".join(_line(where, item, known, places or {}) for item in error.errors(include_input=False))


def _line(where: str, item: Any, known: list[str], places: Mapping[tuple[str, ...], str]) -> str:
    location = [str(step) for step in item["loc"]]
    # A key that is missing is one of the table in whose place it should stand.
    above = (tuple(location[:length]) for length in range(len(location), 0, -1))
    where = next((places[steps] for steps in above if steps in places), where)
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], known, 1)
        mend = "is not a setting; " + (f"did you mean {near[0]}?" if near else "take it out")
    else:
        mend = _MENDS.get(item["type"]) or item["msg"].removeprefix("Value error, ")
    return ": ".join(part for part in (where, ".".join(location), mend) if part)


def line_numbers(text: str) -> dict[tuple[str, ...], int]:
    """Where tables and keys of a TOML file stand, as (table, index, key): tomllib does not say."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]", line):
            table = tuple(header[2].split("."))
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, str(counts[table]))
            found.setdefault(table, number)
        elif key := re.match(r"\s*([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\s*=", line):
            found.setdefault((*table, *key[1].split(".")), number)
    return found


def _override(table: dict[str, Any], name: str, steps: list[str], value: str, known: list[str]) -> None:
    here: Any = table
    try:
        for number, step in enumerate(steps):
            if isinstance(here, list):
                key: Any = int(step)
                here[key]
            elif step in known:
                key = step
            else:
                raise KeyError
            if number == len(steps) - 1:
                here[key] = value
            else:
                here = here[key] if isinstance(here, list) else here.setdefault(key, {})
    except (ValueError, IndexError, TypeError, KeyError, AttributeError):
        raise ConfigurationError(f"environment {name}: names no setting; lists count from 0 and must stand in the file") from None


def _keys(model: type[BaseModel]) -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(name)
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                keys += _keys(inner)
    return keys
