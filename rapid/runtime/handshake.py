"""What gRPC's texts say of a handshake that came to nothing. With TLS or without: it loads nothing of it."""

from __future__ import annotations

import re

_UNVERIFIED = re.compile(r"certificate_verify_failed(?:: (?P<why>[^:]+))?", re.IGNORECASE)


def handshake_trouble(details: str, *, secure: bool) -> str | None:
    """Why a connection came to nothing, when that was for TLS or the lack of it; else None.

    gRPC gives no codes for this, only texts, and for what the other end refused not even those.
    """
    text = details.lower()
    if not secure:
        closed = "socket closed" in text
        return "it closed the connection at once; perhaps it speaks only TLS" if closed else None
    if "wrong_version_number" in text:
        return "TLS handshake failed: it does not speak TLS"
    if unverified := _UNVERIFIED.search(details):
        why = f": {unverified['why'].strip()}" if unverified["why"] else ""
        return f"TLS handshake failed: its certificate is not valid under this member's ca{why}"
    if "hostname verification" in text or "peer name" in text:
        return "TLS handshake failed: its certificate does not name it"
    if "handshake" in text:
        return f"TLS handshake failed: {details}"
    if "socket closed" in text or "reset by peer" in text or "broken pipe" in text:
        return (
            "it closed the connection during the TLS handshake; "
            "perhaps this member's certificate is not valid under its ca"
        )
    return None
