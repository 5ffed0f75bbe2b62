"""A profile: how one make of authorization server names what FiPA leaves open, read from profiles/*.toml and checked.

Not the table of words: that stands in translate.py, and a profile only fills its open places.
"""

import functools
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from broker_bridge.configuration import ConfigurationError, line_numbers, lines
from broker_bridge.oauth_api import Input
from broker_bridge.tables import Inputs
from latchpin.wire import bridge_side
from latchpin.wire.bridge_side import INPUT_KINDS, NUMBERS

# Names with a meaning of their own in the requests that the bridge makes: no answer of a device may use them
# (IANA "OAuth Parameters", as far as they go into a request of ours).
_RESERVED = """
acr_values assertion audience auth_session authorization_details claims client_assertion client_assertion_type client_id
client_secret code code_challenge code_challenge_method code_verifier device_code dpop_jkt grant_type id_token_hint login_hint
max_age nonce prompt redirect_uri refresh_token request request_uri resource response_mode response_type scope state token
token_type_hint
"""
RESERVED = frozenset(re.findall(r"\w+", _RESERVED))


def _regular(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error:
        raise ValueError("must be a regular expression") from None
    return pattern


Parameter = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Word = Annotated[str, Field(pattern=r"^[\x20-\x21\x23-\x5b\x5d-\x7e]*$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Challenge(Part):
    """`path`: on the issuer's origin, or beside the token endpoint where it has no slash. `begin`: asked before the AS is."""

    path: Annotated[str, Field(pattern=r"^(/[\x21-\x7e]*|[a-z][a-z0-9_-]*)?$")] = ""
    device_parameter: Parameter | Literal[""] = ""
    first: dict[Parameter, Word] = {}
    every: dict[Parameter, Word] = {}
    repeat: list[Literal["client_id", "scope", "resource"]] = []
    begin: list[Input] = []


class Members(Part):
    inputs: str = ""
    message: str = ""
    reason: str = ""
    tries_left: str = ""
    retry_after: str = ""
    ttl: str = ""
    binding_word: str = ""


class Ask(Part):
    """These `inputs` are wanted when the answer's `member` is there and not false, or when its error code is `error`."""

    member: str = ""
    error: str = ""
    inputs: Annotated[list[Input], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_sign(self) -> "Ask":
        if bool(self.member) == bool(self.error):
            raise ValueError("needs either member or error")
        return self

    def wanted(self, error: str, content: dict[str, Any]) -> bool:
        return error == self.error if self.error else content.get(self.member) not in (None, False)


class Profile(Part):
    """`inputs_by_text`: kept by translate.py."""

    omit: list[Literal["resource"]] = []
    challenge: Challenge = Challenge()
    answers: dict[Parameter, Annotated[str, AfterValidator(_regular)]] = {}
    members: Members = Members()
    reasons: dict[str, str] = {}
    errors: dict[str, str] = {}
    asks: list[Ask] = []

    @functools.cached_property
    def inputs_by_text(self) -> dict[str, Inputs]:
        return {}

    @model_validator(mode="after")
    def _closed(self) -> "Profile":
        if RESERVED & set(self.answers) or self.challenge.device_parameter in self.answers:
            raise ValueError("[answers] names a parameter that the bridge itself sends")
        for code in (*self.reasons.values(), *self.errors.values()):
            if code != "ask" and code not in NUMBERS:
                raise ValueError("[reasons] and [errors] lead to ask or to a code of device/latchpin/wire/errors.py")
        inputs = [self.challenge.begin, *(ask.inputs for ask in self.asks)]
        if any(item.name not in self.answers or item.kind not in INPUT_KINDS for listed in inputs for item in listed):
            raise ValueError("an input has a name that is not in [answers], or a kind that is none of " + ", ".join(INPUT_KINDS))
        if any(len(listed) > bridge_side.limit("inputs") for listed in inputs):
            raise ValueError("more inputs at once than a device is told of")
        return self


def load(name: str) -> Profile:
    """The profile shipped as profiles/`name`.toml, or the file that `name` is where it ends in .toml.

    Raises ConfigurationError.
    """
    shipped = resources.files("broker_bridge") / "profiles"
    try:
        text = (Path(name) if name.endswith(".toml") else shipped / f"{name}.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        known = ", ".join(sorted(file.name.removesuffix(".toml") for file in shipped.iterdir() if file.name.endswith(".toml")))
        raise ConfigurationError(f"authorization_server.profile: neither shipped ({known}) nor a readable .toml file") from None
    try:
        return Profile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        raise ConfigurationError("authorization_server.profile: the profile is not TOML") from None
    except ValidationError as error:
        where = f"authorization_server.profile: {name}"
        places = {steps: f"{where}:{number}" for steps, number in line_numbers(text).items()}
        raise ConfigurationError(lines(where, error, [], places)) from None
