"""How much memory the values that peers tell take: what limits on them are measured in."""

from __future__ import annotations

from rapid.overlay.cut import Cut
from rapid.overlay.member import Member

JOINER = 2048
"""Bytes, about, of a joiner without metadata: a tally, ten alerts and their places in the log."""
CHANGE = 512
"""Bytes, about, of one change in a cut."""


def of_joiner(member: Member) -> int:
    return JOINER + _metadata(member)


def of_cut(cut: Cut) -> int:
    return CHANGE * (1 + cut.size) + sum(map(_metadata, cut.joined))


def _metadata(member: Member) -> int:
    return sum(len(key) + len(value) for key, value in member.metadata.items())
