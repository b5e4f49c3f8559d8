"""Which messages are taken, from whom and when: told by their headers, before the bodies are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint
from rapid.protocol.catch_up import CatchUp
from rapid.protocol.epoch import Epoch
from rapid.protocol.joining import Joining
from rapid.protocol.messages import (
    Admitted,
    ConfigurationRequest,
    Cuts,
    Decided,
    Facts,
    Header,
    JoinReply,
    JoinRequest,
    Leaving,
    ObserveRequest,
    Probe,
    ProbeAck,
    Refounded,
    Restarted,
    Snapshot,
    Unreached,
)

VERSIONS_AHEAD = 1 << 32
"""Versions that others may be ahead: more views than any cluster has in a century."""
LATE = "late "
"""How a reason begins that is no fault of anybody."""
PAST_LIMIT = 4096
"""Former members of this one's views that are remembered."""


class Situation(NamedTuple):
    """Where a member stands when a message comes."""

    k: int
    configuration: Configuration | None
    epoch: Epoch | None
    joining: Joining | None
    catch_up: CatchUp
    knows: Callable[[Endpoint], bool]
    """Whether an address was or is a member's, or is a seed's."""
    now: float


class Acquaintances:
    """The addresses of members, past and present, and of seeds: those whose word is asked for or believed."""

    def __init__(self) -> None:
        self._past: dict[Endpoint, None] = {}

    def installed(self, before: Configuration | None, after: Configuration) -> None:
        """One view gave way to another, of the same cluster or not."""
        if before is None or before is after:
            return
        for endpoint in before.endpoints:
            if endpoint not in after:
                self._past.pop(endpoint, None)
                self._past[endpoint] = None
        while len(self._past) > PAST_LIMIT:
            del self._past[next(iter(self._past))]

    def include(self, endpoint: Endpoint, mine: Configuration | None, seeds: Iterable[Endpoint]) -> bool:
        return (mine is not None and endpoint in mine) or endpoint in self._past or endpoint in seeds


def refusal(header: Header, here: Situation) -> str | None:
    """Why a message with this header is not taken now, or None. What is not in the table is of no kind."""
    return RULES[header.kind](header, here)


def _anyone(header: Header, here: Situation) -> str | None:
    return None


def _to_a_joiner(header: Header, here: Situation) -> str | None:
    """While this process wants to join, from those that it asked or was told to ask; late ones do no harm."""
    if here.joining is None or here.joining.expects(header.sender):
        return None
    return "admission nobody asked for"


def _of_a_member(name: str) -> Callable[[Header, Situation], str | None]:
    """From members of the view, or those that its members let in just now."""

    def rule(header: Header, here: Situation) -> str | None:
        mine = here.configuration
        if mine is None or header.cluster_id != mine.cluster_id:
            return f"{name} of another cluster"
        if header.sender not in mine and not (
            here.epoch is not None and here.epoch.detector.expects(header.sender)
        ):
            # who has been removed meanwhile may not know it yet
            return f"{LATE}{name}" if header.version < mine.version else f"{name} of a non-member"
        return _implausible(header, mine.version)

    return rule


def _leaving(header: Header, here: Situation) -> str | None:
    mine = here.configuration
    # also from a joiner that has given up, or was let in without knowing
    ours = mine is not None and header.cluster_id == mine.cluster_id
    return None if ours and here.epoch is not None else "departure of a non-member"


def _unreached(header: Header, here: Situation) -> str | None:
    member = here.epoch is not None and header.sender in here.epoch.configuration
    return None if member else "word of a joiner that is not waiting here"


def _facts(header: Header, here: Situation) -> str | None:
    """A joiner keeps those of the cluster that it asked, since it does not know the members of that yet."""
    if here.joining is not None and here.joining.cluster_id == header.cluster_id:
        return None
    if here.epoch is None:
        return None  # nothing is done about them
    return _FACTS(header, here)


def _answer(name: str) -> Callable[[Header, Situation], str | None]:
    """From those of whom it was requested."""

    def rule(header: Header, here: Situation) -> str | None:
        mine = here.configuration
        if header.k not in (None, here.k):
            return f"{name} with another K"
        if header.kind is Snapshot and here.joining is not None and (
            here.epoch is None or header.cluster_id == here.joining.cluster_id
        ):
            if not here.joining.expects(header.sender):
                return f"{name} nobody asked for"
            known = header.cluster_id == here.joining.cluster_id
            return _implausible(header, here.joining.version) if known else None
        if mine is None or here.epoch is None or header.cluster_id != mine.cluster_id:
            return f"{name} of another cluster"
        if not here.catch_up.asked_lately(header.sender, here.now):
            return f"{name} nobody asked for"
        return _implausible(header, mine.version)

    return rule


def _refounded(header: Header, here: Situation) -> str | None:
    """From members of this process' views, past and present, and from seeds."""
    mine = here.configuration
    if mine is None or here.epoch is None or header.k != here.k:
        return "refounding without this member"
    return _implausible(header, mine.version) if here.knows(header.sender) else "refounding of a non-member"


def _implausible(header: Header, known: int) -> str | None:
    return "implausible version" if header.version > known + VERSIONS_AHEAD else None


_FACTS = _of_a_member("facts")
RULES: dict[type[Any], Callable[[Header, Situation], str | None]] = {
    # who asks where it is, or to be let in, is answered; what else may follow from it is decided there
    Probe: _anyone,
    ProbeAck: _anyone,
    JoinRequest: _anyone,
    ObserveRequest: _anyone,
    ConfigurationRequest: _anyone,
    Restarted: _anyone,
    # one attempt at joining is known by its number
    JoinReply: _anyone,
    Admitted: _to_a_joiner,
    # members speak for themselves, and for joiners that came by this one
    Leaving: _leaving,
    Unreached: _unreached,
    Facts: _facts,
    Decided: _of_a_member("decision"),
    # answers to requests
    Cuts: _answer("cuts"),
    Snapshot: _answer("snapshot"),
    # an operator's word is not asked for
    Refounded: _refounded,
}
"""Who may say what, and when. Those that anyone may say are small."""
FROM_ANYONE = frozenset(kind for kind, rule in RULES.items() if rule is _anyone)
