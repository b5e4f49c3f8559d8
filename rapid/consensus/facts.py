"""What members say in one agreement. Voters are bitmaps over ring 0: bit i is the member at index i."""

from __future__ import annotations

from typing import NamedTuple

from rapid.overlay.cut import CutDigest


class Rank(NamedTuple):
    """A round and the ring-0 index of its coordinator. Ranks are totally ordered."""

    round: int
    coordinator: int


FAST = Rank(1, 0)
NO_RANK = Rank(0, 0)
ROUND_LIMIT = 1 << 31


class Prepare(NamedTuple):
    """A coordinator opens a classic round (phase 1a)."""

    rank: Rank


class Promise(NamedTuple):
    """Voters will take part in nothing below ``rank``; their last vote was ``digest`` at ``vrank``.

    ``vrank`` is ``NO_RANK`` and ``digest`` None for voters that had not voted (phase 1b).
    """

    rank: Rank
    vrank: Rank
    digest: CutDigest | None
    voters: int


class Accept(NamedTuple):
    """The coordinator's pick for its round (phase 2a)."""

    rank: Rank
    digest: CutDigest


class Vote(NamedTuple):
    """Voters voted for ``digest`` at ``rank`` (fast round: the vote; classic: phase 2b)."""

    rank: Rank
    digest: CutDigest
    voters: int
