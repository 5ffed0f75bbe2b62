"""/openapi.json: made of the table of the routes; Schemathesis throws at the real server what it allows and what it forbids.

Not what an endpoint means by an answer: the other files here.
"""

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks

from host_sim.authorization_server import endpoints
from tests.authorization_server import running
from tests.authorization_server.web import CLIENTS, SECRET, SERVER, WEB

EXAMPLES = 20  # of one endpoint and mode
# Named one by one: others judge by rules of their own, such as that whatever the document allows is accepted.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running.server(tmp_path_factory.mktemp("as"), clients=CLIENTS) as started:
        yield started


@pytest.fixture(scope="module")
def document(server):
    return server.http.get("/openapi.json").json()


@pytest.mark.parametrize("endpoint", endpoints.TABLE, ids=lambda endpoint: endpoint.name)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "forbidden"])
def test_no_request_fails_the_server_and_each_answer_is_as_documented(server, document, endpoint, mode):
    operation = schemathesis.openapi.from_dict(document)[endpoint.path][endpoint.method]
    if mode is GenerationMode.NEGATIVE and not endpoint.fields and not endpoint.query:
        return  # nothing can be wrong about it
    session = requests.Session()
    session.trust_env = False
    headers = {"Authorization": f"Bearer {server.admin_token}"} if endpoint.said_by == "admin" else {}
    names = {"client": (WEB, SECRET), "resource server": (SERVER, SECRET)}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        options = {"auth": names.get(endpoint.said_by), "verify": str(server.ca), "allow_redirects": False}
        response = case.call(base_url=server.issuer, session=session, headers=headers, **options)
        case.validate_response(response, checks=CHECKS)

    ask()


def test_each_endpoint_that_programs_use_stands_in_the_document_and_nothing_else_does(server, document):
    metadata = server.http.get("/.well-known/oauth-authorization-server").json()
    documented = {server.issuer + path for path in document["paths"]}
    assert {url for name, url in metadata.items() if name.endswith("_endpoint") or name == "jwks_uri"} <= documented
    for path, operations in document["paths"].items():
        for method in ("get", "post"):
            refused = server.http.request(method, path).status_code == 405
            assert refused == (method not in operations and path != "/authorize"), (method, path)
