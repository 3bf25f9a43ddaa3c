"""Who asks: clients among whom connections are shared out fairly."""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Hashable

from .. import conf
from .incoming import Incoming

logger: logging.Logger = logging.getLogger("pooled_db")

#: What WSGI calls the address of the other end.
ADDRESS = "REMOTE_ADDR"
#: An address with a port, as some proxies write it.
_WITH_PORT = re.compile(r"\[(.+)\](?::\d+)?|([^:]+):\d+")

#: How the project's function has failed: each is logged once.
_logged_failures: set[type[Exception]] = set()


def client_of(incoming: Incoming) -> Hashable:
    """Tell who sent the request: two that are equal share a line.

    ``None`` is everybody of whom nothing is known.
    """
    setting = conf.middleware_settings().client
    if setting is None:
        return None
    if callable(setting):
        try:
            client = setting(incoming.headers())
            hash(client)
        except Exception as error:  # noqa: BLE001  whatever it is, there is the address
            _log_once(error)
            client = None
        return _network(incoming.address) if client is None else client
    header, proxies = (setting, 1) if isinstance(setting, str) else setting
    address = incoming.address
    if header != ADDRESS:
        # The last proxy writes to the right of what it was sent, and the client can
        # have sent anything.
        hops = (incoming.header(header) or "").split(",")
        if len(hops) >= proxies and (hop := hops[-proxies].strip()):
            address = hop
    return _network(address)


def _network(address: str) -> Hashable:
    """Return *address* without its port, and of IPv6 the network of its subscriber."""
    if ":" not in address:
        return address or None
    match = _WITH_PORT.fullmatch(address)
    if match is not None:
        address = match[1] or match[2]
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    # https://www.rfc-editor.org/rfc/rfc6177: a site has a /64 at least.
    return ip.packed[:8]


def _log_once(error: Exception) -> None:
    if type(error) not in _logged_failures:
        _logged_failures.add(type(error))
        logger.error(
            'The function in POOLED_DB["CLIENT"] has failed: %s. Clients are told '
            "apart by their addresses.",
            type(error).__name__,
            exc_info=error,
        )
