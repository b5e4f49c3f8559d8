"""A member's part for the joiners that came in by it: one word to it reaches all their observers."""

from __future__ import annotations

from collections.abc import Hashable
from math import inf
from typing import NamedTuple

from rapid.overlay import footprint
from rapid.overlay.member import Endpoint, Member, NodeId

RELAYS = 4096
"""Requests that are passed on within ``PERIOD``: anyone may ask for it, and each goes to many members ..."""
PERIOD = 1.0
"""... in seconds."""
ROOM = 32 * 1024 * 1024
"""Bytes for those sponsored, as for those observed."""


class Guest(NamedTuple):
    """A joiner that waits here for the epoch after ``version``."""

    member: Member
    version: int
    token: Hashable | None


class Sponsorship:
    """Remembers who waits for word from this member. Keyed by address; a newer process replaces the older."""

    def __init__(self, room: int = ROOM) -> None:
        self._guests: dict[Endpoint, Guest] = {}
        self._room = room
        self._relays = 0
        self._period_ends = -inf

    def guest(self, endpoint: Endpoint, node_id: NodeId) -> Guest | None:
        """This process, if it waits here."""
        guest = self._guests.get(endpoint)
        return guest if guest is not None and guest.member.node_id == node_id else None

    def take_in(self, guest: Guest, now: float) -> bool:
        """Remember this one, whose request is passed on; False when there are too many.

        It finds its observers itself then, later.
        """
        if now >= self._period_ends:
            self._relays, self._period_ends = 0, now + PERIOD
        if self._relays >= RELAYS:
            return False
        endpoint = guest.member.endpoint
        before = self._guests.get(endpoint)
        freed = footprint.of_joiner(before.member) if before is not None else 0
        grown = footprint.of_joiner(guest.member) - freed
        if grown > self._room:
            return False
        self._room -= grown
        self._relays += 1
        self._guests[endpoint] = guest
        return True

    def take(self, version: float) -> list[Guest]:
        """Forget those that wait for an epoch up to this one; give them in the order of arrival."""
        taken = [guest for guest in self._guests.values() if guest.version < version]
        for guest in taken:
            self._room += footprint.of_joiner(guest.member)
            del self._guests[guest.member.endpoint]
        return taken
