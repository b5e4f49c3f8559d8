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


class Alert(NamedTuple):
    """Irrevocable within its epoch. ``rings`` is a bitmap: bit k is ring k, whose observer says so.

    ``observer`` is None where the words of several are passed on as one: the rings name them.
    ``subject`` carries the node id; its metadata counts for UP alone and is empty otherwise.
    """

    observer: Endpoint | None
    subject: Member
    status: Status
    rings: int
