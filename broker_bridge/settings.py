"""What bridge.toml and the environment say, checked, with secrets that do not print.

Not for use of them: every room takes the part that concerns it.
"""

import difflib
import os
import re
import ssl
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, model_validator

from broker_bridge.oauth_api import HTTPS_URL
from latchpin.wire import topics

PREFIX = "LATCHPIN_BRIDGE__"


class ConfigurationError(Exception):
    """The configuration cannot be used. Its text names each key and the mend, one a line, and quotes no value."""


def _https(url: str) -> str:
    if len(url) > 256 or "?" in url or not re.match(HTTPS_URL, url) or url.endswith("\n"):
        raise ValueError("must be an https:// URL of at most 256 characters, without user, query or fragment")
    return url


def _mqtts(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "mqtts" or not parts.hostname or parts.username or parts.path not in ("", "/"):
        raise ValueError(
            "must look like mqtts://host:8883; there is no plaintext mode, and username and password have keys of their own"
        )
    return url


def _path(path: Path, info: ValidationInfo) -> Path:
    return (info.context or {}).get("folder", Path()) / path.expanduser()


def _file(path: Path, info: ValidationInfo) -> Path:
    path = _path(path, info)
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


def _loopback(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    try:
        good = ip_address(host.strip("[]")).is_loopback and port.isdigit() and int(port) < 65536
    except ValueError:
        good = False
    if not good:
        raise ValueError("must be a loopback address and a port, such as 127.0.0.1:9700")
    return listen


def _identifier(text: str) -> str:
    if not topics.is_id(text):
        raise ValueError("must be 4 to 23 of a-z, 0-9 and inner hyphens")
    return text


HttpsUrl = Annotated[str, AfterValidator(_https)]
File = Annotated[Path, AfterValidator(_file)]
CaFile = Annotated[Path, AfterValidator(_ca)]
Visible = Annotated[str, Field(pattern=r"^[\x21-\x7e]+$")]
Scope = Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$")]  # RFC 6749, section 3.3


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _secret_of(section: Any, name: str) -> SecretStr | None:
    """The secret `name`, read from the file of `name`_file where that is given; one trailing line break is not part of it."""
    file: Path | None = getattr(section, f"{name}_file")
    return SecretStr(file.read_text().removesuffix("\n").removesuffix("\r")) if file else getattr(section, name)


class Broker(Section):
    url: Annotated[str, AfterValidator(_mqtts)]
    username: str
    password: SecretStr | None = None
    password_file: File | None = None
    client_id: str | None = None
    ca: CaFile | None = None
    keep_alive_s: int = Field(20, ge=5, le=600)
    receive_maximum: int = Field(128, ge=1, le=65535)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 8883

    def secret(self) -> SecretStr:
        return _secret_of(self, "password") or SecretStr("")

    @model_validator(mode="after")
    def _one_source(self) -> "Broker":
        if (self.password is None) == (self.password_file is None):
            raise ValueError("needs either password_file (better) or password")
        return self


class AuthorizationServer(Section):
    issuer: HttpsUrl
    client_id: Visible
    client_secret: SecretStr | None = None
    client_secret_file: File | None = None
    client_authentication: Literal["client_secret_basic", "client_secret_post", "none"] = "client_secret_basic"
    ca: CaFile | None = None
    profile: str = "reference"
    other_origins: list[HttpsUrl] = []

    def secret(self) -> SecretStr | None:
        return _secret_of(self, "client_secret")

    @model_validator(mode="after")
    def _secret_fits(self) -> "AuthorizationServer":
        given = (self.client_secret is not None) + (self.client_secret_file is not None)
        if self.client_authentication == "none" and given:
            raise ValueError("client_authentication is none, so leave client_secret and client_secret_file out")
        if self.client_authentication != "none" and given != 1:
            raise ValueError("needs either client_secret_file (better) or client_secret; or client_authentication = none")
        return self


class Resource(Section):
    uri: HttpsUrl
    scopes: list[Scope] = Field(min_length=1, max_length=256)
    ca: CaFile | None = None


class Identity(Section):
    key_file: File
    kid: int = Field(1, ge=0, le=255)


class RegistryFile(Section):
    """The file may still be missing: it comes with the first device that is enrolled."""

    file: Annotated[Path, AfterValidator(_path)]


class Operations(Section):
    listen: Annotated[str, AfterValidator(_loopback)] | None = None


class Limits(Section):
    frames_per_s: float = Field(5, gt=0)
    frames_burst: int = Field(20, ge=1)
    handshakes_per_s: float = Field(200, gt=0)
    pending_handshakes: int = Field(1024, ge=1)
    live_sessions: int = Field(20_000, ge=1)
    in_flight: int = Field(256, ge=1)


class Settings(Section):
    broker: Broker
    authorization_server: AuthorizationServer
    resources: list[Resource] = Field(min_length=1, max_length=256)
    identity: Identity
    registry: RegistryFile
    replica: Annotated[str, AfterValidator(_identifier)] | None = None
    operations: Operations = Operations()
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({}))
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in the TOML file at `path`, overridden by LATCHPIN_BRIDGE__SECTION__KEY.

    Raises ConfigurationError: with one line for each thing to mend.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file; broker_bridge/README.md has one to start from") from None
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
            here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
        if isinstance(here, list):
            here[int(last)] = value
        else:
            here[last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        raise ConfigurationError(f"environment {name}: names no setting; lists count from 0 and must stand in the file") from None


def _line(path: Path, error: Any) -> str:
    location = [str(step) for step in error["loc"]]
    key = ".".join(location)
    if error["type"] == "missing":
        return f"{path}: {key}: is missing; add it"
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _keys(Settings), 1)
        return f"{path}: {key}: is not a setting; " + (f"did you mean {near[0]}?" if near else "take it out")
    return f"{path}: {key}: {error['msg'].removeprefix('Value error, ')}"


def _keys(model: type[BaseModel]) -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(name)
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                keys += _keys(inner)
    return keys
