"""`latchpin mcp`: the demo MCP server, tools on an imagined LED behind DPoP-bound tokens of the authorization server.

Not for checks of tokens: those stand in access_tokens.py, introspection.py and dpop_layer.py, in front of the official SDK.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AfterValidator, Field, SecretStr, model_validator
from starlette.types import ASGIApp

from broker_bridge import configuration
from broker_bridge.configuration import (
    WORDS,
    CaFile,
    ConfigurationError,
    HttpsUrl,
    Scope,
    SecretFile,
    Section,
    TlsService,
    Visible,
)
from host_sim import https_service
from host_sim.access_tokens import AccessTokens, IssuerKeys
from host_sim.dpop_layer import Admitted, DpopLayer, Proofs
from host_sim.introspection import MAX_BELIEVED_S, Introspection
from host_sim.issuer import Issuer

# The scope that each tool wants. What stands here is what the gate demands, and what the tool demands again.
TOOLS = {"whoami": "", "read_led": "led:read", "blink": "led:write"}
MAX_LEDS = 1024

EXAMPLE = """\
mcp.toml:

  listen = "127.0.0.1:9444"
  resource = "https://localhost:9444/mcp"       # the audience of its tokens, to the byte, and where devices reach it
  certificate = "server.pem"                    # PEM, leaf first
  private_key = "server.key"
  issuer = "https://localhost:9443"             # the authorization server, to the byte
  ca = "ca.pem"                                 # who vouches for the issuer's certificate; without it the system's CAs
  scopes = ["led:read", "led:write"]
  # dpop_nonces = true                          # proofs need a nonce of this server (RFC 9449, section 9)
  # allow_bearer = true                         # tokens that are bound to no key are taken too
  # acr_values = "urn:example:two"              # what a person must have proved for a token (RFC 9470),
  # max_age_s = 3600                            # and how long ago at most

  [introspection]                               # asks the issuer whether a token was revoked; without it none is until it expires
  client_id = "mcp-server"                      # `latchpin as client add mcp-server --resource-server-of RESOURCE --secret`
  client_secret_file = "mcp.secret"
  # believed_s = 30                             # how long an answer is believed, at most 30; without any the answer is 503

Each key can come from the environment: LATCHPIN_MCP__LISTEN=127.0.0.1:9444.
When it listens it prints: ready RESOURCE
"""


def _with_path(url: str) -> str:
    if urlsplit(url).path in ("", "/"):
        raise ValueError("must have a path, such as /mcp")
    return url


class IntrospectionSettings(Section):
    """With which credentials the issuer is asked about tokens, and how long it is believed."""

    client_id: Visible
    client_secret: SecretStr | None = None
    client_secret_file: SecretFile | None = None
    believed_s: float = Field(MAX_BELIEVED_S, ge=0, le=MAX_BELIEVED_S)

    @model_validator(mode="after")
    def _one_secret(self) -> "IntrospectionSettings":
        if self.given("client_secret") != 1:
            raise ValueError("needs either client_secret_file (better) or client_secret")
        return self


class Configuration(TlsService):
    """mcp.toml, checked."""

    resource: Annotated[HttpsUrl, AfterValidator(_with_path)]
    issuer: HttpsUrl
    ca: CaFile | None = None
    scopes: Annotated[list[Scope], WORDS, Field(min_length=1)]
    dpop_nonces: bool = False
    allow_bearer: bool = False
    acr_values: Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e ]*$")] = ""
    max_age_s: Annotated[int, Field(ge=1)] | None = None
    introspection: IntrospectionSettings | None = None


def load(path: Path) -> Configuration:
    """The configuration in a TOML file, with LATCHPIN_MCP__KEY on top. Raises ConfigurationError."""
    return configuration.load(Configuration, path, "LATCHPIN_MCP", os.environ, "`latchpin mcp --help` shows a whole one")


def caller() -> AccessToken:
    """The token that came with this call. Raises ToolError: there is none, and the gate is open."""
    token = get_access_token()
    if token is None:
        raise ToolError("Who calls is not known.")
    return token


def caller_with(scope: str) -> str:
    """The name of the device (or else of the client) that calls, which must have `scope`. Raises ToolError."""
    token = caller()
    if scope not in token.scopes:
        raise ToolError(f"This wants the scope {scope}.")
    return str((token.claims or {}).get("device_id") or token.client_id)


def tools(configured: Configuration) -> MCPServer:
    """The official SDK's server with the tools of TOOLS, and a verifier that says yes only to what the gate let through."""
    settings = AuthSettings.model_validate(
        {
            "issuer_url": configured.issuer,
            "resource_server_url": configured.resource,
            "validate_token_resource": True,
        }
    )
    server = MCPServer("latchpin-demo", token_verifier=Admitted(), auth=settings)
    blinked: dict[str, int] = {}

    @server.tool()
    def whoami() -> dict[str, Any]:
        """Who calls: device, client, scopes and owner, as the access token says."""
        token = caller()
        claims = token.claims or {}
        return {
            "device": claims.get("device_id"),
            "client": token.client_id,
            "scopes": sorted(token.scopes),
            "owner": token.subject,
            "key": claims.get("cnf", {}).get("jkt"),
        }

    @server.tool()
    def read_led() -> str:
        """How often the LED of the calling device has blinked."""
        name = caller_with(TOOLS["read_led"])
        return f"The LED of {name} is off. It has blinked {_times(blinked.get(name, 0))}."

    @server.tool()
    def blink(times: Annotated[int, Field(ge=1, le=100, description="how often")] = 1) -> str:
        """Blinks the LED of the calling device."""
        name = caller_with(TOOLS["blink"])
        if name not in blinked and len(blinked) >= MAX_LEDS:
            del blinked[next(iter(blinked))]
        blinked[name] = blinked.get(name, 0) + times
        return f"The LED of {name} blinked {_times(times)}."

    return server


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def security(configured: Configuration) -> TransportSecuritySettings:
    """The hosts and origins that the SDK lets in (MCP 2026-07-28, transports, security)."""
    hosts = [urlsplit(configured.resource).netloc]
    hosts += [f"{name}:{configured.port}" for name in ("127.0.0.1", "localhost", "[::1]")]
    return TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"https://{host}" for host in hosts])


def gate(app: ASGIApp, configured: Configuration, methods: Sequence[str] = ("POST",)) -> DpopLayer:
    """What stands in front of an SDK's application with the tools of TOOLS."""
    issuer = Issuer(configured.issuer, str(configured.ca) if configured.ca else None)
    return DpopLayer(
        app,
        resource=configured.resource,
        issuer=configured.issuer,
        scopes=configured.scopes,
        tools=TOOLS,
        tokens=AccessTokens(IssuerKeys(issuer), configured.resource),
        proofs=Proofs(configured.resource, configured.dpop_nonces),
        introspection=_introspection(issuer, configured.introspection),
        allow_bearer=configured.allow_bearer,
        acr_values=configured.acr_values,
        max_age_s=configured.max_age_s,
        methods=methods,
    )


def _introspection(issuer: Issuer, settings: IntrospectionSettings | None) -> Introspection | None:
    secret = settings and settings.secret_of("client_secret")
    if settings is None or secret is None:
        return None
    return Introspection(issuer, settings.client_id, secret.get_secret_value(), settings.believed_s)


def build(configured: Configuration) -> DpopLayer:
    """The whole application: the gate, and behind it the SDK's."""
    app = tools(configured).streamable_http_app(
        streamable_http_path=urlsplit(configured.resource).path,
        stateless_http=True,
        json_response=True,
        transport_security=security(configured),
    )
    return gate(app, configured)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latchpin mcp`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="mcp.toml")


def run(args: argparse.Namespace) -> int:
    """Serves until SIGTERM or Ctrl-C; 0 then, 2 with one line on stderr if it cannot start."""
    try:
        configured = load(args.config)
        https_service.serve(build(configured), configured, configured.resource, "on")
    except ConfigurationError as error:
        print(f"latchpin mcp: {error}", file=sys.stderr)
        return 2
    return 0
