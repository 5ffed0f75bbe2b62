"""What as.toml and the environment say, checked: one object that every room reads and nobody changes.

Not for keys or secrets that the AS makes itself: those are in keys.py.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, model_validator

from host_sim.authorization_server import challenges
from host_sim.authorization_server.errors import ConfigurationError

PREFIX = "LATCHPIN_AS__"

_EXAMPLE = """\
listen = "127.0.0.1:9443"
issuer = "https://localhost:9443"
certificate = "as.pem"
private_key = "as.key"
state = "as-state/"

[[clients]]
id = "latchpin-device"
secret_file = "bridge.secret"

[[resources]]
uri = "https://localhost:9444/mcp"
scopes = ["led:read", "led:write"]
"""


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or "?" in url or "#" in url:
        raise ValueError("must be an https:// URL without user, query or fragment")
    return url


def _listen(address: str) -> str:
    host, _, port = address.rpartition(":")
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        host = ""
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("must be an IP address and a port, such as 127.0.0.1:9443")
    return address


def _path(path: Path, info: ValidationInfo) -> Path:
    return (info.context or {}).get("folder", Path()) / path.expanduser()


def _file(path: Path, info: ValidationInfo) -> Path:
    path = _path(path, info)
    if not path.is_file():
        raise ValueError("names a file that is not there; relative paths start at the folder of the configuration file")
    return path


HttpsUrl = Annotated[str, AfterValidator(_https)]  # a str, never normalised: RFC 8414, section 3.3 compares bytes
File = Annotated[Path, AfterValidator(_file)]
Scope = Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]  # RFC 6749, section 3.3
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClientEntry(_Section):
    """One client of the list. With a secret it is confidential, and what it asserts as `device_id` is believed."""

    id: Name
    secret: SecretStr | None = None
    secret_file: File | None = None
    first_party: bool = True
    dpop_bound_access_tokens: bool = True  # RFC 9449, section 5.2

    def secret_text(self) -> str | None:
        if self.secret_file:
            return self.secret_file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        return self.secret.get_secret_value() if self.secret else None

    @model_validator(mode="after")
    def _one_secret(self) -> "ClientEntry":
        if self.secret and self.secret_file:
            raise ValueError("needs secret_file (better) or secret, not both")
        text = self.secret_text()
        if text is not None and len(text) < 16:
            raise ValueError("the secret is shorter than 16 characters; make one at random, 32 or longer")
        return self


class ResourceEntry(_Section):
    uri: HttpsUrl
    scopes: list[Scope] = Field(min_length=1)


class PolicyRule(_Section):
    """Which challenges a request must pass, in order. The first rule that fits decides; a rule without `scope` fits all."""

    scope: Scope | None = None
    challenges: list[str] = Field(min_length=1)

    @model_validator(mode="after")
    def _known(self) -> "PolicyRule":
        if not set(self.challenges) <= set(challenges.ALL):
            raise ValueError("challenges: knows " + ", ".join(sorted(challenges.ALL)))
        return self


class Settings(_Section):
    listen: Annotated[str, AfterValidator(_listen)]
    issuer: HttpsUrl
    certificate: File
    private_key: File
    state: Annotated[Path, AfterValidator(_path)]
    clients: list[ClientEntry] = Field(min_length=1)
    resources: list[ResourceEntry] = Field(min_length=1)
    policy: list[PolicyRule] = [PolicyRule(challenges=["pin"])]
    devices: list[Name] | None = None  # None: every device that a confidential client asserts may ask
    session_ttl_s: int = Field(600, ge=1, le=3600)
    pin_ttl_s: int = Field(600, ge=1, le=3600)
    code_ttl_s: int = Field(60, ge=1, le=600)  # RFC 6749, section 4.1.2: at most ten minutes
    access_token_ttl_s: int = Field(300, ge=1, le=3600)
    refresh_token_ttl_s: int = Field(30 * 86400, ge=1)
    refresh_grace_s: int = Field(60, ge=0, le=600)
    dpop_nonce_ttl_s: int = Field(300, ge=1, le=3600)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def base_path(self) -> str:
        """The issuer's path without a closing slash: "" for a bare origin."""
        return urlsplit(self.issuer).path.rstrip("/")

    def endpoint(self, name: str) -> str:
        """The URL of endpoint `name` below the issuer."""
        return self.issuer.rstrip("/") + "/" + name

    @model_validator(mode="after")
    def _no_doubles(self) -> "Settings":
        for name, keys in (
            ("clients", [entry.id for entry in self.clients]),
            ("resources", [entry.uri for entry in self.resources]),
        ):
            if len(set(keys)) != len(keys):
                raise ValueError(f"{name}: the same one stands there twice")
        return self


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in the TOML file at `path`; LATCHPIN_AS__KEY overrides a key, LATCHPIN_AS__CLIENTS__0__SECRET one in a list.

    Raises ConfigurationError: with one line for each thing to mend.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file. One to start from:\n\n{_EXAMPLE}") from None
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{path}: cannot be read as a text file") from None
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at [^)]*\)", str(error))
        raise ConfigurationError(f"{path}: not TOML {place[0] if place else ''}; text values want quotation marks") from None
    for name in sorted(environment):
        if name.startswith(PREFIX):
            _override(table, name, environment[name])
    try:
        return Settings.model_validate(table, context={"folder": path.parent})
    except ValidationError as error:
        raise ConfigurationError("\n".join(_line(path, item) for item in error.errors(include_input=False))) from None


def _override(table: dict[str, Any], name: str, value: str) -> None:
    *steps, last = name.removeprefix(PREFIX).lower().split("__")
    here: Any = table
    try:
        for step in steps:
            here = here[int(step)] if isinstance(here, list) else here[step]
        if isinstance(here, list):
            here[int(last)] = value
        else:
            here[last] = value
    except (ValueError, IndexError, TypeError, KeyError):
        raise ConfigurationError(f"environment {name}: names no setting; lists count from 0 and must stand in the file") from None


def _line(path: Path, error: Any) -> str:
    location = [str(step) for step in error["loc"]]
    key = ".".join(location)
    if error["type"] == "missing":
        return f"{path}: {key}: is missing; add it"
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _known_keys(), 1)
        return f"{path}: {key}: is not a setting; " + (f"did you mean {near[0]}?" if near else "take it out")
    return f"{path}: {key}: {error['msg'].removeprefix('Value error, ')}".replace(": : ", ": ")


def _known_keys() -> list[str]:
    return [key for model in (Settings, ClientEntry, ResourceEntry, PolicyRule) for key in model.model_fields]
