"""Requests that are no proper form, too large, or say a thing twice.

Not what the fields mean.
"""

import random

import pytest

from tests.authorization_server import running
from tests.authorization_server.parties import Party, basic
from tests.requirements import proves

FORM = "application/x-www-form-urlencoded"


def post(server, body: bytes, content_type: str = FORM, path: str = "/challenge", **headers: str):
    return server.http.post(path, content=body, headers={"Content-Type": content_type} | headers)


@proves("RFC6749-3.2-a")
@pytest.mark.parametrize("path", ["/challenge", "/token", "/revoke"])
@pytest.mark.parametrize("name", ["client_id", "grant_type", "code", "scope", "auth_session", "pin", "unknown_parameter"])
def test_a_parameter_that_stands_there_twice_is_refused(server, path, name):
    response = post(server, f"client_id={running.APP}&{name}=1&{name}=2".encode(), path=path)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_two_resources_are_an_invalid_target(server):
    response = post(server, b"client_id=peer-app&resource=https%3A%2F%2Fa.example&resource=https%3A%2F%2Fb.example")
    assert (response.status_code, response.json()["error"]) == (400, "invalid_target")


@proves("RFC6749-3.2-b")
def test_a_parameter_without_a_value_counts_as_omitted(server):
    party = Party(server)
    assert party.start(response_type="").json()["error_description"] == "response_type is missing."
    party.start()
    assert party.follow(pin="", scope="", client_id="").json()["tries_left"] == 5


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"client_id":"peer-app"}', "application/json"),
        (b"client_id=peer-app", "text/plain"),
        (b"client_id=peer-app", ""),
        (b"client_id=peer-app", "multipart/form-data; boundary=x"),
        (b"client_id=%ff", FORM),
        (b"client_id=%zz", FORM),
        (b"client_id=%4", FORM),
        (b"client_id=\xc3\xa4", FORM),
        (b"client_id", FORM),
        (b"&&", FORM),
        (b"a=1&" * 40, FORM),
        (b"", "application/json"),
    ],
)
def test_what_is_no_form_is_an_invalid_request(server, body, content_type):
    for path in ("/challenge", "/token", "/revoke"):
        response = post(server, body, content_type, path)
        assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_parameters_in_the_url_are_refused(server):
    response = post(server, b"client_id=peer-app", path="/token?code=secret")
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/challenge", "/token", "/revoke", "/admin/pin"])
def test_a_body_beyond_16_kb_is_refused_without_being_read(server, path):
    response = post(server, b"a=" + b"x" * 20_000, path=path, Authorization=f"Bearer {server.admin_token}")
    assert (response.status_code, response.json()["error"]) == (413, "invalid_request")


@pytest.mark.parametrize("path", ["/challenge", "/token", "/revoke", "/admin/pin"])
def test_only_post_is_served_where_something_changes(server, path):
    for method in ("GET", "PUT", "DELETE"):
        response = server.http.request(method, path)
        assert response.status_code == 405
        assert response.json()["error"] == "invalid_request"


def test_two_thousand_random_bodies_never_make_it_fail(server):
    source = random.Random(7636)
    words = [
        *Party(server).first_fields(),
        "auth_session",
        "pin",
        "grant_type",
        "code",
        "refresh_token",
        "=",
        "&",
        "%",
        "+",
        "\x00",
        "é",
    ]
    authorization = basic(running.BRIDGE, running.BRIDGE_SECRET)
    for number in range(2000):
        if number % 2:
            body = bytes(source.randrange(256) for _ in range(source.randrange(64)))
        else:
            body = "".join(source.choice(words) for _ in range(source.randrange(24))).encode()
        path = source.choice(("/challenge", "/token", "/revoke"))
        response = post(server, body, path=path, Authorization=authorization)
        assert response.status_code < 500
        assert isinstance(response.json(), dict)
