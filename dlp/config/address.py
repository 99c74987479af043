"""Addresses and ports of the policy file."""

from __future__ import annotations

import ipaddress
import re

from dlp.config.model import Network, PortRange, TcpAddress
from dlp.config.section import Value

PORT = 65535

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
                   r"(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")  # fmt: skip
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


def tcp_address(value: Value) -> TcpAddress | None:
    """`host:port`, an IPv6 address in brackets."""
    text = value.text('an address as "127.0.0.1:8470"')
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= PORT:
        value.expected('"host:port" with a port from 1 to 65535', 'write it as "127.0.0.1:8470"')
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        valid = _is_ip(host, version=6)
    elif re.fullmatch(r"[0-9.]+", host):
        valid = _is_ip(host, version=4)
    else:
        valid = bool(_HOST.fullmatch(host))
    if not valid:
        value.expected(
            "a host name or an address before the port",
            'write it as "127.0.0.1:8470" or "[::1]:8470"',
        )
        return None
    return TcpAddress(host=host, port=int(port))


def network(value: Value) -> Network:
    """A network of either family; a bare address is one of a single host."""
    remedy = "write it as 10.0.0.0/8 or 2001:db8::/32"
    text = value.text("a network", remedy)
    fallback = ipaddress.IPv4Network("0.0.0.0/32")
    if not text:
        return fallback
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        value.expected("a network of IPv4 or IPv6", remedy)
        return fallback
    if "%" in text:
        value.problem("found a network with a scope", "leave out % and what follows")
    elif str(loose.network_address) != str(ipaddress.ip_address(text.split("/", 1)[0])):
        value.problem("found a network with host bits set", f"write {loose}")
    elif (
        isinstance(loose, ipaddress.IPv6Network)
        and loose.prefixlen < _MAPPED.prefixlen
        and _MAPPED.subnet_of(loose)
    ):
        # The kernel compares IPv4 addresses in their mapped form.
        value.problem(
            "this network holds all IPv4 addresses too (::ffff:0:0/96)",
            "write 2000::/3, fc00::/7, fe80::/10 and ff00::/8 for all of IPv6",
        )
    return loose


def port_range(value: Value) -> PortRange:
    """A number, or `low-high`."""
    text = value.text("a port")
    found = _PORTS.fullmatch(text)
    if found:
        low = int(found[1])
        high = int(found[2] or found[1])
        if 1 <= low <= high <= PORT:
            return PortRange(low=low, high=high)
        if high < low:
            value.problem("found a range whose end lies before its start", "write the lower first")
            return PortRange(low=1, high=1)
    if text:
        value.expected('a port from 1 to 65535, or "low-high"', 'write 443 or "8000-8099"')
    return PortRange(low=1, high=1)


def _is_ip(text: str, *, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version and "%" not in text
    except ValueError:
        return False
