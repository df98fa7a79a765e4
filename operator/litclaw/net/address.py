"""Base URLs, which addresses nothing is sent to, and whether one is private, which decides ``request.allowPrivateNetwork``.

Measured on OpenClaw 2026.9.6: without the flag, a name inside the cluster works for chat but not for images. So every
private address needs ``true``. Loopback and public addresses need nothing. ``false`` disables the trust in the
configured origin, and is never rendered.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215
_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")  # RFC 2765
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # the deprecated form of an IPv4 address in an IPv6 one
REFUSED_ADDRESS: Final = "a loopback, link-local or metadata address, or the API server's, where no proxy can be"
"""For messages: one text for all addresses that are refused, which doesn't tell what is there."""

_PRIVATE_SUFFIXES = (".svc", ".cluster.local", ".local", ".internal", ".lan", ".home.arpa", ".localdomain", ".intranet")


def base_url(url: str) -> str:
    """The root of a LiteLLM proxy: no trailing slash, no ``/v1``."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def host(url: str) -> str:
    """The host of a URL, in lower case, without brackets and trailing dots."""
    return (urlsplit(url).hostname or "").rstrip(".").lower()


def _targets(text: str) -> list[_Address]:
    """The addresses that an IP address may lead to: itself, or IPv4 ones in it; empty if the text isn't one."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return []
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    if within := ip.ipv4_mapped or ip.sixtofour:
        return [within]
    number = int(ip)
    if ip in _NAT64 or ip in _TRANSLATED or (ip in _COMPATIBLE and number > 0xFFFF):
        return [ipaddress.IPv4Address(number & 0xFFFFFFFF)]
    if ip not in _LOCAL_NAT64:
        return [ip]
    # Where the IPv4 address is depends on the length of the network's prefix: 96, 64, 56 or 48 (RFC 6052).
    places = (
        number & 0xFFFFFFFF,
        number >> 24 & 0xFFFFFFFF,
        (number >> 64 & 0xFF) << 24 | number >> 32 & 0xFFFFFF,
        (number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF,
    )
    return [ip, *(ipaddress.IPv4Address(place) for place in places if place >> 24)]


def reach_of_ip(text: str) -> Reach | None:
    """The kind of an IP address, the most dangerous one that it may have; None if the text isn't one."""
    found = [_kind(ip) for ip in _targets(text)]
    return next((kind for kind in (Reach.LINK_LOCAL, Reach.LOOPBACK) if kind in found), found[0] if found else None)


def _kind(ip: _Address) -> Reach:
    if ip in _METADATA:
        return Reach.LINK_LOCAL
    if ip.is_loopback:
        return Reach.LOOPBACK
    if ip.is_link_local or ip.is_unspecified or ip.is_multicast:
        return Reach.LINK_LOCAL
    # Carrier-grade NAT (100.64.0.0/10) is neither private nor global for Python, and private for OpenClaw.
    return Reach.PUBLIC if ip.is_global and ip not in _LOCAL_NAT64 else Reach.PRIVATE


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """The addresses that nothing is sent to: link-local and metadata addresses everywhere, and those named here.

    A route's author sees in its conditions whether something listens at its URL. At these addresses he sees nothing.

    Attributes:
        loopback: True in a pod: whatever listens there is the operator's own.
        api_server: the API server's address in the cluster; None: unknown.
    """

    loopback: bool = False
    api_server: str | None = None

    def refuses(self, address: str) -> bool:
        """True if nothing is sent to an IP address. A text that isn't one is no address."""
        where = reach_of_ip(address)
        if where is Reach.LINK_LOCAL or (self.loopback and where is Reach.LOOPBACK):
            return True
        return bool(self.api_server) and not set(_targets(address)).isdisjoint(_targets(self.api_server or ""))


OUTSIDE: Final = AddressGuard()
"""The guard of a process outside a cluster."""


def guard_of_a_pod(environment: Mapping[str, str]) -> AddressGuard:
    """The guard of an operator in a cluster.

    Args:
        environment: of its container, in which the kubelet names the API server.
    """
    return AddressGuard(loopback=True, api_server=environment.get("KUBERNETES_SERVICE_HOST"))


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
