"""Authlib's OAuth 2 client in a web app: code flow with PKCE, refresh, revocation; and a resource server's introspection.

Not our client in disguise: Authlib's half for clients shares nothing with the grants that the AS builds on.
"""

import pytest
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from tests.authorization_server import running
from tests.authorization_server.web import BACK, CLIENTS, SECRET, SERVER, WEB, decide, person
from tests.requirements import proves


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running.server(tmp_path_factory.mktemp("as"), clients=CLIENTS) as started:
        yield started


def session(server: running.Server, client: str, **options) -> OAuth2Session:
    found = OAuth2Session(client, SECRET, token_endpoint_auth_method="client_secret_basic", **options)
    found.verify = str(server.ca)
    found.trust_env = False
    return found


@proves("RFC9207-2-a", "RFC7662-2.2-a", "RFC7009-2.1-a")
def test_it_goes_through_the_code_flow_refreshes_introspects_and_revokes(server):
    metadata = server.http.get("/.well-known/oauth-authorization-server").json()
    app = session(server, WEB, scope="led:read led:write", redirect_uri=BACK, code_challenge_method="S256")
    verifier = generate_token(48)
    url, state = app.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=verifier, resource=running.RESOURCE
    )

    browser = person(server)
    browser.get(url.removeprefix(server.issuer))
    back = decide(browser).headers["location"]
    token = app.fetch_token(metadata["token_endpoint"], authorization_response=back, code_verifier=verifier, state=state)
    assert token["token_type"] == "Bearer" and token["scope"] == "led:read led:write"

    serving = session(server, SERVER)
    known = serving.introspect_token(metadata["introspection_endpoint"], token=token["access_token"]).json()
    assert known["active"] is True and known["aud"] == running.RESOURCE and known["client_id"] == WEB

    newer = app.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])
    assert newer["refresh_token"] != token["refresh_token"]
    assert app.revoke_token(metadata["revocation_endpoint"], token=newer["refresh_token"]).status_code == 200
    assert serving.introspect_token(metadata["introspection_endpoint"], token=newer["access_token"]).json() == {"active": False}
    with pytest.raises(OAuthError, match="invalid_grant"):
        app.refresh_token(metadata["token_endpoint"], refresh_token=newer["refresh_token"])
