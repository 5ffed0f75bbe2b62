"""The authorization server's words as pydantic models: what RFC 6749, 8414, 8628, 9728 and FiPA-04 say that an answer holds.

Not for meaning (translate.py) and not strict about strangers: members that nobody here knows are left aside.
"""

from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

# VSCHAR (RFC 6749, appendix A), and the characters of an error code (section 5.2).
Opaque = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]+$", max_length=4096)]
ErrorCode = Annotated[str, StringConstraints(pattern=r"^[\x20-\x21\x23-\x5b\x5d-\x7e]+$", max_length=128)]
# No user, no backslash, no fragment: what two URL parsers could read in two ways.
HTTPS_URL = r"^https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?$"
Url = Annotated[str, StringConstraints(pattern=HTTPS_URL, max_length=256)]
Seconds = Annotated[int, Field(ge=0, le=1 << 31)]


class Words(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, strict=True)


class AuthorizationServerMetadata(Words):
    """RFC 8414, section 2, with FiPA-04, section 8. `issuer` stays a string: pydantic's URL type would change it."""

    issuer: str
    token_endpoint: Url
    authorization_challenge_endpoint: Url | None = None
    device_authorization_endpoint: Url | None = None
    revocation_endpoint: Url | None = None
    code_challenge_methods_supported: list[str] = []
    dpop_signing_alg_values_supported: list[str] = []


class ResourceMetadata(Words):
    """RFC 9728, section 2."""

    resource: str
    authorization_servers: list[str] = []


class Challenged(Words):
    """A challenge endpoint's 200 (FiPA-04, section 5.2.1)."""

    authorization_code: Opaque
    auth_session: Opaque | None = None


class Refusal(Words):
    """Any error answer (RFC 6749, section 5.2; FiPA-04, sections 5.2.2 and 6.2). The rest of it is read by the profile."""

    error: ErrorCode
    auth_session: Opaque | None = None


class Tokens(Words):
    """A token endpoint's 200 (RFC 6749, section 5.1; RFC 9449, section 5; FiPA-04, section 6.1)."""

    access_token: Opaque
    token_type: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$", max_length=16)]
    expires_in: Seconds | None = None
    refresh_token: Opaque | None = None
    scope: Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$", max_length=512)] | None = None
    auth_session: Opaque | None = None


class DeviceAuthorization(Words):
    """RFC 8628, section 3.2."""

    device_code: Opaque
    user_code: Annotated[Opaque, StringConstraints(max_length=32)]
    verification_uri: Url
    verification_uri_complete: Url | None = None
    expires_in: Seconds
    interval: Annotated[int, Field(ge=0, le=3600)] = 5


class Input(Words):
    """One thing that the reference AS asks for; a profile without such a list gives its own."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=32)]
    kind: str
    min: Annotated[int, Field(ge=0, le=64)] | None = None
    max: Annotated[int, Field(ge=0, le=64)] | None = None
    check: str | None = None
    label: str | None = None
    choices: Annotated[list[str], Field(min_length=1, max_length=8)] | None = None


INPUTS = TypeAdapter(list[Input])


class Answer(NamedTuple):
    """One HTTP answer after the checks of as_client.py. `content` is the JSON object; it may hold secrets and does not print."""

    status: int
    content: dict[str, Any]
    retry_after_s: int | None = None

    def __repr__(self) -> str:
        return f"Answer({self.status})"
