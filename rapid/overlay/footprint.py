"""How much memory takes what peers tell: the measure of the limits on it, in bytes, about."""

from __future__ import annotations

from rapid.overlay.cut import Cut
from rapid.overlay.member import Member

JOINER = 2048
"""A joiner without metadata: a tally, ten alerts and their places in the log."""
CHANGE = 512
"""One change in a cut, or one statement."""


def of_joiner(member: Member) -> int:
    return JOINER + of_metadata(member)


def of_cut(cut: Cut) -> int:
    return CHANGE * (1 + cut.size) + sum(map(of_metadata, cut.joined))


def of_metadata(member: Member) -> int:
    return sum(len(key) + len(value) for key, value in member.metadata.items())
