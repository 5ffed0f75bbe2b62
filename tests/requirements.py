"""What specifications demand, sentence by sentence, who bears it, and how a test says that it proves one.

Not the proofs: a test wears `@proves("FIPA-5.2.2.1-a")`, or the comment `# proves: FIPA-5.2.2.1-a` above it where it also
runs on MicroPython. tests/house_rules/test_requirements.py holds both directions: each requirement has a test or says why
not, and each mark names a requirement. An identifier is specification, section, letter.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

Test = TypeVar("Test", bound=Callable)


class Requirement(NamedTuple):
    bearer: str  # AS, bridge, device, client (bridge and device together), resource server, deployer
    level: str
    sentence: str
    unproved: str = ""  # why no test proves it; empty where one does


def proves(*identifiers: str) -> Callable[[Test], Test]:
    """Says that a test proves these requirements. Raises KeyError: there is no such requirement."""
    for identifier in identifiers:
        REQUIREMENTS[identifier]

    def mark(test: Test) -> Test:
        return test

    return mark


_DEPLOYER = "a duty of whoever deploys it: no program can prove it"
_NO_BROWSER = "a device has no browser: it shows a code and a URL for another one's (RFC 8628), or says that it needs one"

# draft-ietf-oauth-first-party-apps-04 (1 July 2026)
FIPA = {
    "FIPA-1.1-a": Requirement(
        "deployer",
        "MUST",
        "A profile for use beyond first-party applications describes how it avoids the risk of third-party ones.",
        "this AS serves first-party clients alone: FIPA-5-a",
    ),
    "FIPA-1.3-a": Requirement("AS", "SHOULD", "Consider the user's device when presenting challenges."),
    "FIPA-1.3-b": Requirement(
        "deployer", "SHOULD", "Consider whether the device gives a good experience, else RFC 8628.", _DEPLOYER
    ),
    "FIPA-4.1-a": Requirement("AS", "MUST", "The URL of the authorization challenge endpoint uses https."),
    "FIPA-4.1-b": Requirement("AS", "MUST", "Client authentication is demanded here whenever the token endpoint demands it."),
    "FIPA-4.1-c": Requirement(
        "AS", "SHOULD", "The endpoint is published as authorization_challenge_endpoint in RFC 8414 metadata."
    ),
    "FIPA-4.1-d": Requirement("AS", "MUST", "Parameters of an authorization request, and of supported extensions, are accepted."),
    "FIPA-5-a": Requirement("AS", "MUST", "The first-partyness of the client is verified before going on."),
    "FIPA-5-b": Requirement("AS", "SHOULD", "Practices of RFC 8252 hold for the web leg."),
    "FIPA-5-c": Requirement("client", "SHOULD", "Practices of RFC 8252 hold for the web leg.", _NO_BROWSER),
    "FIPA-5.1-a": Requirement("AS", "MUST", "A client_id that is not the client determined otherwise is rejected."),
    "FIPA-5.1-b": Requirement("client", "MUST", "response_type is code."),
    "FIPA-5.2-a": Requirement("AS", "MUST", "An error response follows where the information is not sufficient."),
    "FIPA-5.2.2-a": Requirement("AS", "MUST NOT", "error and error_description have characters outside RFC 6749's sets."),
    "FIPA-5.2.2-b": Requirement("client", "MUST", "An auth_session that came with an error is sent again."),
    "FIPA-5.2.2.1-a": Requirement("AS", "MUST", "insufficient_authorization is answered with status 403."),
    "FIPA-5.2.2.1-b": Requirement("AS", "MUST", "redirect_to_web is answered with status 403."),
    "FIPA-5.2.2.1.1-a": Requirement("client", "SHOULD", "code_challenge is in the first request where the web is likely."),
    "FIPA-5.2.2.1.1-b": Requirement("AS", "MUST NOT", "A request_uri is returned without a code_challenge."),
    "FIPA-5.2.2.1.1-c": Requirement("AS", "SHOULD", "RFC 9700 holds for the web leg, iss included."),
    "FIPA-5.2.2.1.1-d": Requirement("client", "SHOULD", "RFC 9700 holds for the web leg, iss included.", _NO_BROWSER),
    "FIPA-5.3.1-a": Requirement("AS", "MUST", "auth_session is protected from inspection by the client."),
    "FIPA-5.3.1-b": Requirement("AS", "MUST", "auth_session is unique, and SHOULD have 256 bits of entropy."),
    "FIPA-5.3.1-c": Requirement("client", "MUST", "auth_session is sent, stored, and replaced by any response that has one."),
    "FIPA-5.3.1-d": Requirement("AS", "SHOULD", "auth_session is bound to the device, and rejected from another one."),
    "FIPA-5.3.1-e": Requirement(
        "client",
        "SHOULD",
        "auth_session is discarded when the user logs out.",
    ),
    "FIPA-6-a": Requirement("AS", "MUST", "A token request for such a code has no redirect_uri."),
    "FIPA-6.2-b": Requirement(
        "AS",
        "MAY",
        "Any token request can be answered with insufficient_authorization and an auth_session.",
    ),
    "FIPA-6.2-a": Requirement("client", "MUST", "An auth_session that came with a token error is sent again."),
    "FIPA-9.2-a": Requirement("AS", "MAY", "The web can be forced at any stage."),
    "FIPA-9.3-a": Requirement("AS", "SHOULD", "Guessing and credential stuffing are met as at a web login."),
    "FIPA-9.3-b": Requirement("AS", "SHOULD", "Requests of the same auth_session are rate-limited."),
    "FIPA-9.3-c": Requirement(
        "AS",
        "SHOULD",
        "Client attestation is used where it is possible.",
        "the boards have no key that their maker attests; the bridge, which authenticates, vouches for each device",
    ),
    "FIPA-9.4-a": Requirement("deployer", "SHOULD", "Measures are taken against client impersonation.", _DEPLOYER),
    "FIPA-9.5-a": Requirement("AS", "SHOULD", "Tokens are sender-constrained."),
    "FIPA-9.5-b": Requirement(
        "resource server",
        "MUST",
        "A proof-of-possession token without valid proof is rejected.",
    ),
    "FIPA-9.5.1-a": Requirement("client", "SHOULD", "DPoP is used on every token request and resource call."),
    "FIPA-9.5.1-b": Requirement("client", "MUST", "The DPoP header is on the challenge request, for a code bound to it."),
    "FIPA-9.5.1-c": Requirement("AS", "MUST", "The proof is checked as RFC 9449, section 4.3 says."),
    "FIPA-9.5.1-d": Requirement("AS", "MUST", "The same key signs all later challenge requests and the token request."),
    "FIPA-9.5.1-e": Requirement("AS", "MUST", "Later challenge requests or a token request without that proof are rejected."),
    "FIPA-9.6.1-a": Requirement(
        "AS", "SHOULD", "auth_session is bound to the DPoP key; then the key is checked each time (MUST)."
    ),
    "FIPA-9.6.2-a": Requirement("client", "MUST NOT", "Depend on a lifetime of auth_session."),
    "FIPA-9.7.1-a": Requirement("deployer", "MUST", "Several first-party applications give an identical experience.", _DEPLOYER),
    "FIPA-9.7.3-a": Requirement("deployer", "RECOMMENDED", "They share one SDK.", _DEPLOYER),
    "FIPA-9.8-a": Requirement("deployer", "NOT RECOMMENDED", "Use in browser applications.", _DEPLOYER),
}

# Every MUST and SHOULD of the draft, row by row: who reads it from front to back finds each of them here.
FIPA_ROWS: dict[int, tuple[str, ...]] = {
    1: ("1.1-a",),
    2: ("1.3-a", "1.3-b"),
    3: ("4.1-a",),
    4: ("4.1-b",),
    5: ("4.1-c",),
    6: ("4.1-d",),
    7: ("5-a",),
    8: ("5-b", "5-c"),
    9: ("5.1-a",),
    10: ("5.1-b",),
    11: ("5.2-a",),
    12: ("5.2.2-a",),
    13: ("5.2.2-b",),
    14: ("5.2.2.1-a", "5.2.2.1-b"),
    15: ("5.2.2.1.1-a",),
    16: ("5.2.2.1.1-b",),
    17: ("5.2.2.1.1-c", "5.2.2.1.1-d"),
    18: ("5.3.1-a", "5.3.1-b"),
    19: ("5.3.1-c", "5.3.1-e"),
    20: ("5.3.1-d",),
    21: ("6.2-a",),
    22: ("9.3-a", "9.3-c"),
    23: ("9.3-b",),
    24: ("9.4-a",),
    25: ("9.5-a", "9.5-b"),
    26: ("9.5.1-a", "9.5.1-b", "9.5.1-c", "9.5.1-d", "9.5.1-e"),
    27: ("9.6.1-a",),
    28: ("9.6.2-a",),
    29: ("9.7.1-a",),
    30: ("9.7.3-a",),
    31: ("9.8-a",),
    32: ("9.2-a",),
}

# RFC 6749, 7009, 7636, 7662, 8252, 8414, 8628, 8707, 9068, 9126, 9207, 9449, 9470, 9700: what binds an AS that offers what ours
# offers.
OAUTH_SERVER = {
    "RFC6749-3.2-a": Requirement("AS", "MUST NOT", "Request parameters are included more than once."),
    "RFC6749-3.2-b": Requirement("AS", "MUST", "Parameters without a value are treated as omitted."),
    "RFC6749-4.1.2-a": Requirement("AS", "MUST NOT", "A code is used more than once; reuse SHOULD revoke what came from it."),
    "RFC6749-4.1.2-b": Requirement("AS", "MUST", "The authorization response has the code, and the state that the request had."),
    "RFC6749-4.1.2.1-b": Requirement("AS", "MUST", "Other errors are sent to the redirect_uri, with the state of the request."),
    "RFC6749-4.1.3-b": Requirement("AS", "MUST", "The redirect_uri of the token request is that of the authorization request."),
    "RFC6749-4.1.2.1-a": Requirement("AS", "MUST NOT", "A user agent is redirected to an invalid redirect_uri."),
    "RFC6749-4.1.3-a": Requirement("AS", "MUST", "A code is redeemed by the client that it was issued to alone."),
    "RFC6749-5.1-a": Requirement("AS", "MUST", "Responses with tokens or credentials have Cache-Control: no-store."),
    "RFC6749-5.2-a": Requirement("AS", "MUST", "A client that failed HTTP authentication gets 401 and WWW-Authenticate."),
    "RFC6238-4-a": Requirement("AS", "MUST", "A one-time password is HOTP over the number of 30-second steps."),
    "RFC6238-5.2-a": Requirement("AS", "MUST NOT", "A second attempt with the same one-time password is accepted."),
    "RFC6238-5.2-b": Requirement("AS", "SHOULD", "At most one step is allowed for the delay of the network."),
    "RFC7009-2.1-a": Requirement(
        "AS", "MUST", "A revoked refresh token cannot be used any more; a foreign client cannot revoke it."
    ),
    "RFC7009-2.2-a": Requirement("AS", "MUST", "An invalid token is answered with 200."),
    "RFC7662-2.1-a": Requirement("AS", "MUST", "Whoever introspects a token is authorized to."),
    "RFC7662-2.2-a": Requirement("AS", "MUST", "A token that is good now is active; of any other nothing else is said."),
    "RFC7662-4-a": Requirement("AS", "MUST", "Expiry, revocation and signature count; a server learns of its own tokens alone."),
    "RFC7636-4.6-a": Requirement("AS", "MUST", "The verifier's S256 equals the challenge, or the answer is invalid_grant."),
    "RFC8414-3-a": Requirement("AS", "MUST", "The document stands below the well-known path, the issuer's path behind it."),
    "RFC8414-3.3-a": Requirement("AS", "MUST", "issuer is identical to the issuer that the URL was made from."),
    "RFC8252-7.3-a": Requirement("AS", "MUST", "On a loopback redirect any port is accepted."),
    "RFC8252-8.6-a": Requirement("AS", "SHOULD NOT", "Consent is assumed for a client that cannot be told from others."),
    "RFC8628-3.2-a": Requirement("AS", "MUST", "Device code, user code, verification_uri and expires_in are answered."),
    "RFC8628-3.3.1-a": Requirement("AS", "MUST", "Whoever comes with the code in the URL still compares it with the device's."),
    "RFC8628-3.5-a": Requirement(
        "AS", "MUST", "A poll hears authorization_pending, slow_down (5 s more from then on), access_denied or expired_token."
    ),
    "RFC8628-5.1-a": Requirement("AS", "SHOULD", "Guessing of user codes is limited."),
    "RFC8628-6.1-a": Requirement(
        "AS", "SHOULD", "User codes have letters that are hard to mistake; case and hyphens do not count."
    ),
    "RFC8707-2-a": Requirement("AS", "SHOULD", "An unknown resource is refused with invalid_target."),
    "RFC9068-2-a": Requirement("AS", "MUST", "An access token has typ at+jwt and iss, exp, aud, sub, client_id, iat, jti."),
    "RFC9068-3-a": Requirement("AS", "SHOULD", "aud is the resource that was asked for."),
    "RFC9126-2.1-a": Requirement("AS", "MUST", "A pushed request is checked like one at the authorization endpoint."),
    "RFC9126-2.2-a": Requirement(
        "AS", "MUST", "201 with a request_uri of this client alone that nobody guesses, and expires_in."
    ),
    "RFC9126-4-a": Requirement("AS", "SHOULD", "A request_uri is good once, and what else stands in the URL does not count."),
    "RFC9207-2-a": Requirement("AS", "MUST", "Authorization responses have iss, errors too."),
    "RFC9449-10-a": Requirement("AS", "MUST", "A code is bound to the key of dpop_jkt, and a different proof is refused."),
    "RFC9470-4-a": Requirement("AS", "SHOULD", "acr_values and max_age are heeded; the token says acr and auth_time."),
    "RFC9470-5-a": Requirement("AS", "SHOULD", "Who was authenticated longer ago than max_age is authenticated again."),
    "RFC9700-2.1-a": Requirement("AS", "MUST", "Redirect URIs are compared character by character."),
    "RFC9700-2.1.1-a": Requirement("AS", "MUST", "PKCE is demanded, with S256."),
    "RFC9449-4.3-a": Requirement("AS", "MUST", "A proof that fails any of the checks is refused."),
    "RFC9449-5-a": Requirement(
        "AS", "MUST", "A token bound to a DPoP key has token_type DPoP; a refusal says invalid_dpop_proof."
    ),
    "RFC9449-6.1-a": Requirement("AS", "MUST", "The binding is the jkt of cnf: the RFC 7638 thumbprint of the key."),
    "RFC9449-8-a": Requirement("AS", "MUST", "Where a nonce is wanted, 400 use_dpop_nonce brings one in DPoP-Nonce."),
    "RFC9449-11.1-a": Requirement("AS", "MUST", "A proof is not accepted twice."),
}

# PROTOCOL, section 5: rules beside the drafts.
PROTOCOL_SERVER = {
    "PROTOCOL-5-a": Requirement("AS", "MUST", "auth_session rotates on each accepted request; a superseded one is refused."),
    "PROTOCOL-5-b": Requirement(
        "AS", "MAY", "A superseded auth_session whose successor was never used asks once more, without answers."
    ),
    "PROTOCOL-5-c": Requirement("AS", "MUST", "At most 5 wrong answers per session; then it is locked until a person acts."),
    "PROTOCOL-5-d": Requirement("AS", "MUST", "Unknown device, wrong, expired and locked look alike on the network."),
    "PROTOCOL-5-e": Requirement("AS", "MUST", "An attempt is counted before comparing, atomically."),
    "PROTOCOL-5-f": Requirement(
        "AS",
        "MUST",
        "A repeated refresh of the same key gets the same successor while that was never used; with another key the family ends.",
    ),
    "PROTOCOL-5-g": Requirement("AS", "MUST", "A satisfied session gives a fresh code; the older code and what came of it end."),
    "PROTOCOL-5-h": Requirement(
        "AS", "MUST", "A PIN has 8 random digits and a Damm digit, bound to device and session, kept as keyed hash."
    ),
    "PROTOCOL-5-i": Requirement("AS", "MUST", "What was answered survives a kill -9."),
    "PROTOCOL-5-k": Requirement("AS", "MUST", "A first challenge request that is repeated goes on with the session it began."),
    "PROTOCOL-5-l": Requirement("AS", "MUST", "A signing key is published before it signs, and until its last token is dead."),
    "PROTOCOL-5-q": Requirement(
        "AS", "MUST", "20 failures of a device or an account a day, and 100 in a row lock it until a person acts."
    ),
    "PROTOCOL-5-j": Requirement("AS", "MUST NOT", "PIN, code, token, verifier or auth_session stand in a log."),
}

# What binds a client of the device grant and of step-up, and one of MCP: pages of the specification of that date, by name.
CLIENT = {
    "RFC8628-3.3-a": Requirement("client", "MUST", "User code and verification URI are displayed, beside a QR code too."),
    "RFC8628-3.5-b": Requirement(
        "client", "MUST", "Polls wait for the interval, 5 s without one, and 5 s more after each slow_down."
    ),
    "RFC8628-3.5-c": Requirement("client", "SHOULD", "Polls get rarer while the server cannot be reached."),
    "RFC9470-4-b": Requirement("client", "SHOULD", "acr_values and max_age of the challenge go into the next request."),
    "MCP-1-a": Requirement("client", "MUST", "2026-07-28, basic/transports: JSON and event streams are both read."),
    "MCP-1-b": Requirement(
        "client", "SHOULD", "2026-07-28, basic/transports: a server that refuses its version with 4xx is met with initialize."
    ),
    "MCP-1-c": Requirement(
        "client", "MUST", "2025-11-25, basic/transports: later requests carry the version agreed on, and the Mcp-Session-Id."
    ),
    "MCP-1-d": Requirement("client", "MUST", "2025-11-25, basic/transports: 404 for a session begins a new one with initialize."),
    "MCP-2-a": Requirement(
        "client", "SHOULD", "2026-07-28, basic/authorization: insufficient_scope leads to a request for the union of scopes."
    ),
    "MCP-2-b": Requirement("client", "SHOULD", "2026-07-28, basic/authorization: such a request is retried a few times only."),
}

REQUIREMENTS: dict[str, Requirement] = FIPA | OAUTH_SERVER | PROTOCOL_SERVER | CLIENT
