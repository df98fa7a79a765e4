"""Base URLs, and whether the address behind one is private, which decides ``request.allowPrivateNetwork``.

Measured on OpenClaw 2026.9.6: without the flag, a name inside the cluster works for chat but not for images. So every
private address needs ``true``. Loopback and public addresses need nothing. ``false`` disables the trust in the
configured origin, and is never rendered.
"""

import ipaddress
from collections.abc import Iterable
from enum import StrEnum
from urllib.parse import urlsplit


class Reach(StrEnum):
    """Kinds of addresses that OpenClaw's guard against private addresses distinguishes."""

    LOOPBACK = "Loopback"
    PRIVATE = "Private"
    PUBLIC = "Public"
    LINK_LOCAL = "LinkLocal"


_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)
"""Metadata services, which give out a machine's credentials, of Alibaba, Azure, Oracle, AWS and Google. The common
address 169.254.169.254 is link-local."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # the deprecated form of an IPv4 address in an IPv6 one

_PRIVATE_SUFFIXES = (".svc", ".cluster.local", ".local", ".internal", ".lan", ".home.arpa", ".localdomain", ".intranet")


def base_url(url: str) -> str:
    """The root of a LiteLLM proxy: no trailing slash, no ``/v1``."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def host(url: str) -> str:
    """The host of a URL, in lower case, without brackets and trailing dots."""
    return (urlsplit(url).hostname or "").rstrip(".").lower()


def reach_of_ip(text: str) -> Reach | None:
    """The kind of an IP address; None if the text isn't one."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if isinstance(ip, ipaddress.IPv6Address) and ip.sixtofour:
        ip = ip.sixtofour
    if isinstance(ip, ipaddress.IPv6Address) and (ip in _NAT64 or ip in _COMPATIBLE and int(ip) > 0xFFFF):
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip in _METADATA:
        return Reach.LINK_LOCAL
    if ip.is_loopback:
        return Reach.LOOPBACK
    if ip.is_link_local or ip.is_unspecified or ip.is_multicast:
        return Reach.LINK_LOCAL
    # Carrier-grade NAT (100.64.0.0/10) is neither private nor global for Python, and private for OpenClaw.
    return Reach.PUBLIC if ip.is_global else Reach.PRIVATE


def reach(url: str, resolved: Iterable[str] = ()) -> Reach:
    """The kind of address of a URL's host.

    Args:
        url: base URL of the proxy.
        resolved: IP addresses that the host's name resolves to, if known; the most dangerous one counts.
    """
    name = host(url)
    if by_ip := reach_of_ip(name):
        return by_ip
    if name in ("metadata", "metadata.google.internal"):
        return Reach.LINK_LOCAL
    if name == "localhost" or name.endswith(".localhost"):
        return Reach.LOOPBACK
    seen = {found for address in resolved if (found := reach_of_ip(address))}
    if Reach.LINK_LOCAL in seen:
        return Reach.LINK_LOCAL
    if "." not in name or name.endswith(_PRIVATE_SUFFIXES):
        return Reach.PRIVATE
    if seen & {Reach.PRIVATE, Reach.LOOPBACK}:
        return Reach.PRIVATE
    return Reach.PUBLIC


def allow_private_network(where: Reach, setting: str) -> bool:
    """Whether openclaw.json gets ``request.allowPrivateNetwork: true``; otherwise it doesn't have the field.

    Args:
        where: kind of the proxy's address.
        setting: ``Auto``, ``Always`` or ``Never``.
    """
    if setting == "Always":
        return True
    return setting == "Auto" and where is Reach.PRIVATE
