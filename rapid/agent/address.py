"""Where an agent's admin endpoint is: for the agent and for those who talk to it."""

from __future__ import annotations

from ipaddress import ip_address

from rapid.errors import EndpointError
from rapid.overlay.member import Endpoint

LOOPBACK = "127.0.0.1"


def admin_endpoint(text: str) -> Endpoint:
    """Read ``HOST:PORT``, or a port alone, which is on this machine's loopback.

    Raises :class:`EndpointError` for anything else.
    """
    port = text.strip().removeprefix(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        try:
            return Endpoint.parse(text)
        except EndpointError as problem:
            raise EndpointError(f"{problem}; or give a port alone, for {LOOPBACK}") from None
    return Endpoint.checked(LOOPBACK, int(port))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host; names other than localhost are not looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
