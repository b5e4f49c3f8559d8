"""Who holds how many of whose rings in a Rapid cluster: what one observer's word is worth."""

from __future__ import annotations

from collections.abc import Sequence

from rapid import Endpoint, Member, NodeId, Settings
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId


def rings(observer: str, subject: str, everyone: Sequence[str]) -> int:
    """How many of the subject's rings the observer holds, in a cluster of all these."""
    return _configuration(everyone).observers(Endpoint.parse(subject)).count(Endpoint.parse(observer))


def most_rings(observer: str, everyone: Sequence[str]) -> int:
    """How many the observer holds of the member of which it holds most."""
    subjects = _configuration(everyone).subjects(Endpoint.parse(observer))
    return max(map(subjects.count, subjects))


def _configuration(everyone: Sequence[str]) -> Configuration:
    # rings are a function of the endpoints alone
    members = [Member(Endpoint.parse(at), NodeId(n.to_bytes(16, "big"))) for n, at in enumerate(everyone)]
    return Configuration.of(ClusterId(bytes(16)), 1, members, Settings.lan().k)
