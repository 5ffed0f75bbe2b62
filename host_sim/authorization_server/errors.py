"""Refusals of the AS: the error codes beyond RFC 6749's, with their status and where they come from.

Not for texts that quote anything from outside: descriptions are fixed, and their characters are those of RFC 6749, section 5.2.
"""

from authlib.oauth2.rfc6749 import OAuth2Error


class InvalidSession(OAuth2Error):
    """FiPA-04, section 5.2.2.1: invalid, expired, revoked or otherwise not acceptable; says no more, to nobody."""

    error = "invalid_session"
    description = "Start again without auth_session."


class InsufficientAuthorization(OAuth2Error):
    """FiPA-04, section 6.2: too long ago for a renewal; an auth_session comes with it where the challenge endpoint can help."""

    error = "insufficient_authorization"
    description = "What was proved for these tokens is too old: prove it again."
    status_code = 403


class InvalidTarget(OAuth2Error):
    """RFC 8707, section 2."""

    error = "invalid_target"


class InvalidDpopProof(OAuth2Error):
    """RFC 9449, section 5."""

    error = "invalid_dpop_proof"


class UseDpopNonce(OAuth2Error):
    """RFC 9449, section 8; the nonce itself is in the header that every response carries."""

    error = "use_dpop_nonce"
    description = "Sign again with the nonce of the DPoP-Nonce header."


class UnsupportedGrantType(OAuth2Error):
    """RFC 6749, section 5.2, without the reflected value of Authlib's own."""

    error = "unsupported_grant_type"
    description = "This server knows authorization_code, refresh_token and the device code grant."


class UnsupportedResponseType(OAuth2Error):
    """RFC 6749, section 4.1.2.1, without the reflected value of Authlib's own."""

    error = "unsupported_response_type"
    description = "response_type must be code."


class RequestNotSupported(OAuth2Error):
    """OpenID Connect Core 1.0, section 3.1.2.6; RFC 9101, section 6.3."""

    error = "request_not_supported"
    description = "Push the request instead (RFC 9126)."


class InteractionNeeded(OAuth2Error):
    """OpenID Connect Core 1.0, section 3.1.2.6: the client wants no page, and without one it cannot be."""

    def __init__(self, error: str) -> None:
        super().__init__()
        self.error = error


class RedirectToWeb(OAuth2Error):
    """FiPA-04, section 5.2.2.1; with where to go on, if the client can come back from there."""

    error = "redirect_to_web"
    description = "Policy wants a browser for this: start an authorization code flow there."
    status_code = 403

    def __init__(self, **members: object) -> None:
        super().__init__()
        self.members = members


class TooLarge(OAuth2Error):
    error = "invalid_request"
    description = "The request is too large."
    status_code = 413


class TryLater(OAuth2Error):
    """RFC 6749, section 4.1.2.1."""

    error = "temporarily_unavailable"
    description = "Too many sessions are open. Try again later."
    status_code = 503
