"""How much work a message is to read, in units of about 5 µs: the measure of what is read in one go.

A sender divides a message by it and a reader refuses a piece by it, before anything in it is converted.
Bytes are no measure: an entry of metadata takes as few as six of them, an empty submessage two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from typing import Any, Protocol

from rapid.detection.alert import Alert
from rapid.overlay.cut import Removal
from rapid.overlay.member import Member
from rapid.proto import rapid_pb2 as pb

LIMIT = 4096
"""Units of one encoded message, or of one piece of a large one: 20 ms of a slow core."""
UNMEASURED = 16 * 1024
"""Bytes of a message below which its work is bounded well enough by them."""

CUT = 2
CHANGE = 4
"""A member or a removal; each entry of metadata is one more."""
ALERT = 4
"""More than its subject."""
STATEMENT = 2
ENDPOINT = 2


class _HasMetadata(Protocol):
    @property
    def metadata(self) -> Sized: ...


def of_member(member: _HasMetadata) -> int:
    """Of a :class:`Member`, or of one that is not read yet."""
    return CHANGE + len(member.metadata)


def of_alert(alert: Alert) -> int:
    return ALERT + of_member(alert.subject)


def of_change(change: Member | Removal) -> int:
    return CHANGE if isinstance(change, Removal) else of_member(change)


def of(raw: pb.Message) -> int:
    """Of a message that was parsed and not read yet; above :data:`LIMIT` it may be any number above it."""
    kind = raw.WhichOneof("body")
    measure = _OF.get(kind) if kind is not None else None
    return 1 if measure is None else measure(getattr(raw, str(kind)))


def _of_members(members: Any) -> int:
    least = CHANGE * len(members)
    return least if least > LIMIT else sum(map(of_member, members))


def _of_cuts(cuts: Any) -> int:
    total = CUT * len(cuts)
    for cut in cuts:
        if total > LIMIT:
            break
        total += CHANGE * len(cut.removed) + _of_members(cut.joined)
    return total


def _of_alerts(alerts: Any) -> int:
    least = (ALERT + CHANGE) * len(alerts)
    if least > LIMIT:
        return least
    return least + sum(len(alert.subject.metadata) for alert in alerts)


def _of_facts(raw: pb.Facts) -> int:
    statements: Iterable[Sized] = (raw.prepares, raw.promises, raw.accepts, raw.votes)
    total = STATEMENT * sum(map(len, statements))
    return total if total > LIMIT else total + _of_alerts(raw.alerts) + _of_cuts(raw.proposals)


_OF: dict[str, Callable[[Any], int]] = {
    "facts": _of_facts,
    "cuts": lambda raw: _of_cuts(raw.cuts),
    "decided": lambda raw: _of_cuts((raw.cut,)),
    "snapshot": lambda raw: _of_members(raw.members),
    "refounded": lambda raw: _of_members(raw.configuration.members),
    "observe_request": lambda raw: of_member(raw.member),
    "join_reply": lambda raw: ENDPOINT * (len(raw.observers) + len(raw.holders)),
}
