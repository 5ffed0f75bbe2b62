"""Which addresses the bridge connects to: a name or a number that leads into a private network is refused unless it is allowed.

Not for TLS and limits: test_as_client.py has those.
"""

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from broker_bridge.addresses import allowed
from broker_bridge.https_client import HttpsClient
from broker_bridge.refusals import Refused
from tests.bridge.foreign import Foreign, Said

PRIVATE = """
127.0.0.1 127.255.0.1 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 255.255.255.255 224.0.0.1
240.0.0.1 192.0.2.1 198.18.0.1 ::1 :: fe80::1 fc00::1 fd12:3456::1 ff02::1 2001:db8::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 2002:7f00:1:: 2002:a00:1::
2001:0:4136:e378:8000:63bf:f5ff:fffe
"""
PUBLIC = "8.8.8.8 93.184.215.14 172.32.0.1 2606:4700:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::"


@pytest.mark.parametrize("address", PRIVATE.split())
def test_an_address_that_is_not_of_the_public_internet_is_refused(address: str):
    assert not allowed(ip_address(address), [])


@pytest.mark.parametrize("address", PUBLIC.split())
def test_an_address_of_the_public_internet_is_not(address: str):
    assert allowed(ip_address(address), [])


def test_a_network_that_the_operator_names_is_allowed_in_each_of_its_spellings_and_no_other():
    networks = [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd12::1"):
        assert allowed(ip_address(address), networks)
    for address in ("10.2.0.1", "127.0.0.1", "fc00::1", "::1"):
        assert not allowed(ip_address(address), networks)


def fetched(server: Foreign, url: str, *networks: str, again_after: Callable[[HttpsClient], object] | None = None) -> int:
    """The status of the answer; with `again_after`, of a second one."""

    async def main() -> int:
        client = HttpsClient(server.ca, [ip_network(network) for network in networks])
        try:
            found = await client.fetch("GET", url, {})
            if again_after is not None:
                again_after(client)
                found = await client.fetch("GET", url, {})
            return found.status
        finally:
            await client.close()

    return asyncio.run(main())


def resolver(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """What names lead to: these answers in turn, the last one again and again."""
    left, real = list(answers), socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [found for address in addresses for found in real(address, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "0177.0.0.1"],
)
def test_neither_a_name_nor_a_number_leads_into_a_private_network(server: Foreign, host: str):
    with pytest.raises(Refused) as caught:
        fetched(server, f"https://{host}:{server.origin.rpartition(':')[2]}/", "10.0.0.0/8")
    assert caught.value.why in ("private_address", "resolve") and not server.asked


def test_of_several_addresses_only_those_allowed_are_tried_one_after_the_other(server: Foreign, monkeypatch: pytest.MonkeyPatch):
    server.says("/", Said(204))
    resolver(monkeypatch, ["10.0.0.1", "127.0.0.9", "127.0.0.1"])  # not allowed, nobody there, the server
    assert fetched(server, f"{server.origin}/", "127.0.0.0/8") == 204


def forget(client: HttpsClient) -> None:
    """As after RESOLVE_EVERY_S."""
    client._ways.clear()
    client._addresses.forget("localhost")


def test_a_name_that_leads_elsewhere_a_moment_later_changes_nothing(server: Foreign, monkeypatch: pytest.MonkeyPatch):
    """DNS rebinding: what is connected to is the address that was looked at, for as long as it was looked at."""
    server.says("/", Said(204))
    resolver(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    assert fetched(server, f"{server.origin}/", "127.0.0.1/32", again_after=lambda client: None) == 204
    resolver(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    with pytest.raises(Refused, match="private_address"):
        fetched(server, f"{server.origin}/", "127.0.0.1/32", again_after=forget)


def test_a_name_without_an_address_is_a_server_that_is_not_there(server: Foreign):
    with pytest.raises(Refused) as caught:
        fetched(server, "https://nowhere.invalid/")
    assert (caught.value.code, caught.value.why) == ("try_later", "resolve")
