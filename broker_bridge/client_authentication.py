"""How the bridge proves to the authorization server that it is its client, at the challenge and the token endpoint alike.

Not for the device's proofs: a DPoP header is carried as it came, and says nothing about the client.
"""

import base64
import secrets
import time
from urllib.parse import quote_plus

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from broker_bridge.configuration import ConfigurationError
from broker_bridge.settings import AuthorizationServer

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME_S = 60
MIN_RSA_BITS = 2048  # RFC 7518, section 3.3


class ClientAuthentication:
    """Made once from the settings, with the secret or the key of that moment. Does not print them.

    Raises ConfigurationError: the key cannot sign ES256 or RS256.
    """

    def __init__(self, configured: AuthorizationServer) -> None:
        self._configured = configured
        self._key, self._alg = _load(configured) if configured.client_authentication == "private_key_jwt" else (None, "")
        self._form: dict[str, str] = {}
        self._headers: dict[str, str] = {}
        secret = configured.secret()
        if secret is not None and configured.client_authentication == "client_secret_basic":
            # RFC 6749, section 2.3.1: both halves form-encoded first.
            pair = f"{quote_plus(configured.client_id)}:{quote_plus(secret.get_secret_value())}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        elif secret is not None:
            self._form["client_secret"] = secret.get_secret_value()

    def add(self, form: dict[str, str], headers: dict[str, str]) -> None:
        """Adds to a request what its client authentication needs."""
        form.update(self._form)
        headers.update(self._headers)
        if self._key is not None:
            form.update(client_assertion_type=ASSERTION, client_assertion=self._assertion())

    def _assertion(self) -> str:
        assert self._key is not None
        configured, now = self._configured, int(time.time())
        header = {"alg": self._alg, "typ": "JWT"}
        if configured.client_key_id is not None:
            header["kid"] = configured.client_key_id
        # RFC 7523, section 3. The issuer as only audience: what one server is given is worth nothing at another
        # (draft-ietf-oauth-rfc7523bis).
        claims = {
            "iss": configured.client_id,
            "sub": configured.client_id,
            "aud": configured.client_assertion_audience or configured.issuer,
            "iat": now,
            "exp": now + LIFETIME_S,
            "jti": secrets.token_urlsafe(16),
        }
        return jwt.encode(header, claims, self._key, algorithms=[self._alg])


def _load(configured: AuthorizationServer) -> tuple[ECKey | RSAKey, str]:
    file = configured.client_key_file
    assert file is not None
    try:
        pem = file.read_bytes()
    except OSError:
        raise ConfigurationError("authorization_server.client_key_file: cannot be read by this process") from None
    for kind, alg in ((ECKey, "ES256"), (RSAKey, "RS256")):
        try:
            key = kind.import_key(pem)
        except (JoseError, ValueError, TypeError):
            continue
        fits = key.curve_name == "P-256" if isinstance(key, ECKey) else key.raw_value.key_size >= MIN_RSA_BITS
        if key.is_private and fits:
            return key, alg
    raise ConfigurationError(
        "authorization_server.client_key_file: must be an unencrypted private key in PEM, P-256 or RSA of 2048 bits or more: "
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out client.key"
    )
