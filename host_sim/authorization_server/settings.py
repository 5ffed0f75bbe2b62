"""What as.toml and the environment say, checked: one object that every room reads and nobody changes.

Not for keys or secrets that the AS makes itself: those are in keys.py.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from broker_bridge import configuration
from broker_bridge.configuration import HttpsUrl, PathOf, Scope, SecretFile, Section, TlsService, Visible
from broker_bridge.profile import RESERVED
from host_sim.authorization_server import challenges

EXAMPLE = """\
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

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


DisplayName = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _redirect_uri(text: str) -> str:
    parts = urlsplit(text)
    loopback = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    private = "." in parts.scheme and not parts.netloc  # RFC 8252, section 7.1
    web = parts.scheme == "https" and bool(parts.hostname)
    if not (web or loopback or private) or "#" in text or "@" in parts.netloc or not text.isascii() or not text.isprintable():
        raise ValueError("must be https, http on loopback, or an app's own scheme such as com.example.app:/done; no fragment")
    if re.search(r"[\s\"'<>\\\\^`{|}]", text):
        raise ValueError("has a character that is none of a URI")
    return text


RedirectUri = Annotated[str, AfterValidator(_redirect_uri)]


class ClientEntry(Section):
    """One client of the list. With a secret it is confidential, and what it asserts as `device_id` is believed."""

    id: Name
    name: DisplayName | None = None  # what a person reads
    secret: SecretStr | None = None
    secret_file: SecretFile | None = None
    first_party: bool = True
    dpop_bound_access_tokens: bool = True  # RFC 9449, section 5.2
    redirect_uris: list[RedirectUri] = Field(default_factory=list)
    resource: HttpsUrl | None = None  # it serves this resource, and may ask whether tokens for it are good (RFC 7662)

    def secret_text(self) -> str | None:
        secret = self.secret_of("secret")
        return secret.get_secret_value() if secret else None

    @model_validator(mode="after")
    def _one_secret(self) -> "ClientEntry":
        if self.given("secret") > 1:
            raise ValueError("needs secret_file (better) or secret, not both")
        text = self.secret_text()
        if text is not None and len(text) < 16:
            raise ValueError("the secret is shorter than 16 characters; make one at random, 32 or longer")
        if self.resource is not None and text is None:
            raise ValueError("resource: whoever asks about tokens must have a secret")
        return self


class ResourceEntry(Section):
    uri: HttpsUrl
    scopes: list[Scope] = Field(min_length=1)


class InputEntry(Section):
    """One thing that a person is asked for, as a keypad, a telephone or a terminal asks for it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    kind: Literal["digits", "text", "date", "choice", "secret"] = "text"
    min: int = Field(default=1, ge=0, le=64)
    max: int = Field(default=64, ge=1, le=64)
    label: Annotated[str, Field(min_length=1, max_length=40)]
    choices: list[Annotated[str, Field(min_length=1, max_length=40)]] | None = Field(default=None, min_length=1, max_length=8)

    def asked(self) -> dict[str, Any]:
        """It in the words of a challenge's `inputs`."""
        words = {**self.model_dump(include={"name", "kind", "min", "max"}), "check": "none", "label": self.label}
        return words if self.choices is None else {**words, "choices": self.choices}

    @model_validator(mode="after")
    def _sane(self) -> "InputEntry":
        if self.name in RESERVED | {"device_id", "pin", "otp"}:
            raise ValueError("name: has a meaning of its own in a request; choose another")
        if self.min > self.max or len(self.label.encode()) > 40:
            raise ValueError("min is above max, or the label is longer than 40 bytes")
        if (self.kind == "choice") != (self.choices is not None):
            raise ValueError("choices: belong to kind choice, and it to them")
        return self


def _voice() -> list[list[InputEntry]]:
    name = InputEntry(name="name", label="Name")
    birth_date = InputEntry(name="birth_date", kind="date", min=8, max=10, label="Date of birth (YYYYMMDD)")
    last_four = InputEntry(name="last_four", kind="digits", min=4, max=4, label="Last four digits")
    return [[name, birth_date], [last_four]]


class PolicyRule(Section):
    """Which challenges a request must pass, in order; the first rule that fits decides, and what is left out fits all.

    device: shell pattern of device ids. acr: what passing them is worth, and what a request's acr_values ask for (RFC 9470).
    web: whether signing in at a browser does as well; left out, it does where the challenges are the word of somebody who is
    signed in. max_age_s: how old that may be when tokens are renewed.
    """

    scope: Scope | None = None
    device: str = "*"
    acr: Visible | None = None
    challenges: list[str] = Field(default_factory=list)
    web: Literal["allowed", "required", "refused"] | None = None
    max_age_s: int | None = Field(default=None, ge=1)

    @property
    def by_web(self) -> Literal["allowed", "required", "refused"]:
        word = set(self.challenges) <= {"pin", "pairing_code"}
        return self.web or ("allowed" if word else "refused")

    @model_validator(mode="after")
    def _known(self) -> "PolicyRule":
        if not set(self.challenges) <= set(challenges.ALL):
            raise ValueError("challenges: knows " + ", ".join(sorted(challenges.ALL)))
        if bool(self.challenges) == (self.web == "required"):
            raise ValueError('needs challenges, or web = "required" instead of them')
        return self


class Settings(TlsService):
    issuer: HttpsUrl
    state: PathOf
    clients: list[ClientEntry] = Field(min_length=1)
    resources: list[ResourceEntry] = Field(min_length=1)
    policy: list[PolicyRule] = Field(default_factory=lambda: [PolicyRule(challenges=["pin"])])
    username: InputEntry = InputEntry(name="username", label="User name")
    knowledge: list[Annotated[list[InputEntry], Field(min_length=1, max_length=7)]] = Field(default_factory=_voice, min_length=1)
    devices: frozenset[Name] | None = None  # None: every device that a confidential client asserts may ask
    session_ttl_s: int = Field(600, ge=1, le=3600)
    pin_ttl_s: int = Field(600, ge=1, le=3600)
    pin_in_advance_ttl_s: int = Field(86400, ge=1, le=30 * 86400)
    device_code_ttl_s: int = Field(600, ge=1, le=3600)
    code_ttl_s: int = Field(60, ge=1, le=600)  # RFC 6749, section 4.1.2: at most ten minutes
    access_token_ttl_s: int = Field(300, ge=1, le=3600)
    refresh_token_ttl_s: int = Field(30 * 86400, ge=1)
    dpop_nonce_ttl_s: int = Field(300, ge=1, le=3600)
    sign_in_ttl_s: int = Field(12 * 3600, ge=60)  # a browser stays signed in so long at most,
    sign_in_idle_s: int = Field(2 * 3600, ge=60)  # and so long without a request

    @property
    def base_path(self) -> str:
        """The issuer's path without a closing slash: "" for a bare origin."""
        return urlsplit(self.issuer).path.rstrip("/")

    @property
    def origin(self) -> str:
        """Scheme, host and port of the issuer (RFC 6454, section 6.1)."""
        parts = urlsplit(self.issuer)
        return f"https://{parts.netloc.lower().removesuffix(':443')}"

    @property
    def on_loopback(self) -> bool:
        return urlsplit(self.issuer).hostname in ("localhost", "127.0.0.1", "::1")

    def endpoint(self, name: str) -> str:
        """The URL of endpoint `name` below the issuer."""
        return self.issuer.rstrip("/") + "/" + name

    @property
    def knowledge_inputs(self) -> list[InputEntry]:
        """Those of all rounds."""
        return [entry for entries in self.knowledge for entry in entries]

    @model_validator(mode="after")
    def _no_doubles(self) -> "Settings":
        for name, keys in (
            ("clients", [entry.id for entry in self.clients]),
            ("resources", [entry.uri for entry in self.resources]),
            ("knowledge", [self.username.name, *(entry.name for entry in self.knowledge_inputs)]),
        ):
            if len(set(keys)) != len(keys):
                raise ValueError(f"{name}: the same one stands there twice")
        if unknown := {entry.resource for entry in self.clients} - {entry.uri for entry in self.resources} - {None}:
            raise ValueError(f"clients: resource: {len(unknown)} of them are not among [[resources]]")
        return self


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in the TOML file at `path`; LATCHPIN_AS__KEY overrides a key, LATCHPIN_AS__CLIENTS__0__SECRET one in a list.

    Raises ConfigurationError: with one line for each thing to mend.
    """
    return configuration.load(Settings, path, "LATCHPIN_AS", environment, f"one to start from:\n\n{EXAMPLE}")
