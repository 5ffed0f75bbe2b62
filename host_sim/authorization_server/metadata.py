"""What the AS says about itself (RFC 8414, section 2), and nothing that it cannot do: there is no registration_endpoint.

Not normalised: the issuer is the text of as.toml, byte for byte.
"""

from typing import Any

from host_sim.authorization_server import dpop
from host_sim.authorization_server.clients import GRANTS, METHODS
from host_sim.authorization_server.endpoints import TABLE
from host_sim.authorization_server.settings import Settings


def document(settings: Settings) -> dict[str, Any]:
    """The metadata."""
    return {
        "issuer": settings.issuer,
        **{endpoint.metadata: settings.endpoint(endpoint.path[1:]) for endpoint in TABLE if endpoint.metadata},
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": GRANTS,
        "scopes_supported": sorted({scope for resource in settings.resources for scope in resource.scopes}),
        "acr_values_supported": sorted({rule.acr for rule in settings.policy if rule.acr}),
        "prompt_values_supported": ["none", "login", "consent"],
        "token_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "introspection_endpoint_auth_methods_supported": METHODS[:1],
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": dpop.ALGORITHMS,
        "authorization_response_iss_parameter_supported": True,
        "require_pushed_authorization_requests": False,
    }
