"""Which addresses the bridge may connect to: public ones, and those in networks that the operator names.

Not a firewall, and not for the broker, which is the operator's own.
"""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from broker_bridge.refusals import Refused

Networks = Sequence[IPv4Network | IPv6Network]

RETRY_S = 10
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052, section 2.1


def allowed(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    """True for an address of the public Internet and one in `networks`. An IPv4 address inside an IPv6 one counts as itself."""
    inner = _inner(address)
    if any(inner in network or address in network for network in networks):
        return True
    return inner.is_global and not inner.is_multicast and not inner.is_reserved


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, address))[1]


async def resolved(host: str, port: int, networks: Networks) -> list[str]:
    """The addresses of `host` that may be connected to, in the order in which they should be tried.

    Raises Refused: the name has no address, or none that may be.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise Refused("try_later", "resolve", RETRY_S) from None
    # A link-local address may have %INTERFACE behind it.
    addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    good = [str(address) for address in dict.fromkeys(addresses) if allowed(address, networks)]
    if not good:
        raise Refused("internal", "private_address")
    return good
