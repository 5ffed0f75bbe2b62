"""What the AS says about itself (RFC 8414, section 2), and nothing that it cannot do.

Not normalised: the issuer is the text of as.toml, byte for byte.
"""

from typing import Any

from host_sim.authorization_server import dpop
from host_sim.authorization_server.clients import GRANTS, METHODS
from host_sim.authorization_server.settings import Settings

# name in the metadata -> path below the issuer
ENDPOINTS = {
    "authorization_endpoint": "authorize",  # RFC 8414 wants it; here it is a page that says what is missing
    "token_endpoint": "token",
    "authorization_challenge_endpoint": "challenge",  # FiPA-04, section 8
    "revocation_endpoint": "revoke",
    "jwks_uri": "jwks.json",
}


def path(settings: Settings) -> str:
    """Where the document stands: RFC 8414, section 3.1 puts the issuer's path behind the well-known name."""
    return "/.well-known/oauth-authorization-server" + settings.base_path


def document(settings: Settings) -> dict[str, Any]:
    """The metadata. What is left out has its default: no `iss` in authorization responses (RFC 9207), for there are none."""
    return {
        "issuer": settings.issuer,
        **{name: settings.endpoint(place) for name, place in ENDPOINTS.items()},
        "response_types_supported": ["code"],
        "grant_types_supported": GRANTS,
        "scopes_supported": sorted({scope for resource in settings.resources for scope in resource.scopes}),
        "token_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": dpop.ALGORITHMS,
    }
