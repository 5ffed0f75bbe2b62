"""What bridge.toml and the environment say, checked, with secrets that do not print.

Not for use of them: every room takes the part that concerns it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, IPvAnyNetwork, SecretStr, model_validator

from broker_bridge import configuration
from broker_bridge.configuration import (
    WORDS,
    CaFile,
    File,
    HttpsUrl,
    LogLevel,
    PathOf,
    Scopes,
    SecretFile,
    Section,
    Visible,
    is_loopback,
)
from latchpin.wire import topics


def _mqtts(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "mqtts" or not parts.hostname or parts.username or parts.path not in ("", "/"):
        raise ValueError(
            "must look like mqtts://host:8883; there is no plaintext mode, and username and password have keys of their own"
        )
    return url


def _loopback(listen: str) -> str:
    try:
        good = is_loopback(listen)
    except ValueError:
        good = False
    if not good:
        raise ValueError("must be a loopback address and a port, such as 127.0.0.1:9700")
    return listen


def _collector(url: str) -> str:
    parts = urlsplit(url)
    try:
        beside_us = parts.scheme == "http" and is_loopback(f"{parts.hostname}:{parts.port}")
    except ValueError:
        beside_us = False
    if not beside_us and not (parts.scheme == "https" and parts.hostname and not parts.username):
        raise ValueError("must be an https:// URL, or a collector beside the bridge, such as http://127.0.0.1:4318/v1/traces")
    return url


def _identifier(text: str) -> str:
    if not topics.is_id(text):
        raise ValueError("must be 4 to 23 of a-z, 0-9 and inner hyphens")
    return text


class Broker(Section):
    url: Annotated[str, AfterValidator(_mqtts)]
    username: str
    password: SecretStr | None = None
    password_file: SecretFile | None = None
    client_certificate: File | None = None
    client_private_key: File | None = None
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

    def secret(self) -> SecretStr | None:
        return self.secret_of("password")

    @model_validator(mode="after")
    def _one_source(self) -> "Broker":
        if (self.client_certificate is None) != (self.client_private_key is None):
            raise ValueError("client_certificate and client_private_key go together")
        if self.given("password") > 1 or not (self.given("password") or self.client_certificate):
            raise ValueError("needs either password_file (better) or password, or client_certificate and client_private_key")
        return self


class Https(Section):
    """How a server is reached: whom to trust, and in which networks beside the public ones it may be."""

    ca: CaFile | None = None
    private_networks: Annotated[list[IPvAnyNetwork], WORDS] = Field(default_factory=list)


class AuthorizationServer(Https):
    issuer: HttpsUrl
    client_id: Visible
    client_secret: SecretStr | None = None
    client_secret_file: SecretFile | None = None
    client_authentication: Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"] = "client_secret_basic"
    client_key_file: File | None = None
    client_key_id: Visible | None = None
    client_assertion_audience: HttpsUrl | None = None
    profile: str = "reference"
    other_origins: list[HttpsUrl] = Field(default_factory=list)

    def secret(self) -> SecretStr | None:
        return self.secret_of("client_secret")

    @model_validator(mode="after")
    def _secret_fits(self) -> "AuthorizationServer":
        given, way = self.given("client_secret"), self.client_authentication
        if way in ("none", "private_key_jwt") and given:
            raise ValueError(f"client_authentication is {way}, so leave client_secret and client_secret_file out")
        if way in ("client_secret_basic", "client_secret_post") and given != 1:
            raise ValueError("needs either client_secret_file (better) or client_secret; or client_authentication = none")
        if way == "private_key_jwt" and self.client_key_file is None:
            raise ValueError("client_authentication is private_key_jwt, so name the private key's PEM file in client_key_file")
        if way != "private_key_jwt" and (self.client_key_file or self.client_key_id or self.client_assertion_audience):
            raise ValueError("client_key_file, client_key_id and client_assertion_audience go with private_key_jwt alone")
        return self


class Resource(Https):
    uri: HttpsUrl
    scopes: list[Scopes] = Field(min_length=1, max_length=256)


class Identity(Section):
    key_file: File
    kid: int = Field(1, ge=0, le=255)


class RegistrySource(Https):
    """A file, which may still be missing (it comes with the first device that is enrolled), or the URL of an inventory."""

    file: PathOf | None = None
    url: HttpsUrl | None = None
    token: SecretStr | None = None
    token_file: SecretFile | None = None
    client_certificate: File | None = None
    client_private_key: File | None = None
    ttl_s: int = Field(30, ge=1, le=60)

    @model_validator(mode="after")
    def _one_source(self) -> "RegistrySource":
        if (self.file is None) == (self.url is None):
            raise ValueError("needs either file or url")
        if self.url is not None and self.given("token") > 1:
            raise ValueError("has token and token_file: leave one out")
        if (self.client_certificate is None) != (self.client_private_key is None):
            raise ValueError("client_certificate and client_private_key go together")
        if self.file is not None and (self.given("token") or self.client_certificate or self.ca or self.private_networks):
            raise ValueError("token, client_certificate, ca and private_networks go with url alone")
        return self


class Operations(Section):
    listen: Annotated[str, AfterValidator(_loopback)] | None = None
    traces_endpoint: Annotated[str, AfterValidator(_collector)] | None = None
    traces_ca: CaFile | None = None


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
    registry: RegistrySource
    replica: Annotated[str, AfterValidator(_identifier)] | None = None
    operations: Operations = Operations()
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({}))
    log_level: LogLevel = "info"


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in the TOML file at `path`, overridden by LATCHPIN_BRIDGE__SECTION__KEY.

    Raises ConfigurationError: with one line for each thing to mend.
    """
    example = "broker_bridge/README.md has one to start from"
    return configuration.load(Settings, path, "LATCHPIN_BRIDGE", environment, example)
