"""What observers say of a subject."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from rapid.overlay.member import Endpoint, Member


class Status(IntEnum):
    """What an alert says of its subject."""

    UP = 1
    """A process outside the view is reachable and wants in."""
    DOWN = 2
    """A member does not answer, or another process answers at its address."""
    LEAVING = 3
    """A member goes on purpose; tallied together with DOWN."""
    WITHDRAWN = 4
    """The observer takes back that a member is DOWN: the member answers it again."""


class Ground(IntEnum):
    """Why an observer says that a member is down, or lets no joiner in. Nothing is decided by it."""

    UNSTATED = 0
    """None is given: joiners and leavers need none, and one of another version may not be known here."""
    SILENT = 1
    """Probes went unanswered."""
    REFUSED = 2
    """The host refused or reset connections: no such process listens."""
    UNHEALTHY = 3
    """The observer's application has a check of its own, which failed or took too long."""
    REPLACED = 4
    """Another process answers at the address, or this one in another cluster."""
    REINFORCED = 5
    """The observer has no verdict of its own: it echoes what enough others say (paper section 4.2)."""


REVISION_LIMIT = 1 << 31
"""Revisions of one edge's report are below this."""


class Alert(NamedTuple):
    """One fact about a subject. ``rings`` is a bitmap: bit k is ring k, whose observer says so.

    UP and LEAVING are irrevocable within their epoch. A report that a member is DOWN can be superseded by
    its observer: of the reports about one edge the one with the highest ``revision`` holds. Even revisions
    say DOWN and odd ones WITHDRAWN, so a report can be withdrawn and made again any number of times.

    ``observer`` is None where the reports of several are passed on as one: the rings name them, and all of
    them have the same ``ground``, which adds nothing to what is said: the same on another ground is not new.
    ``subject`` carries the node id; its metadata counts for UP alone and is empty otherwise.
    """

    observer: Endpoint | None
    subject: Member
    status: Status
    rings: int
    ground: Ground = Ground.UNSTATED
    revision: int = 0
