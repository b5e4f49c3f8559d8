"""How much memory takes what peers tell: the measure of the limits on it, in bytes, about."""

from __future__ import annotations

from rapid.overlay.cut import Cut
from rapid.overlay.member import Member

JOINER = 2048
"""A joiner without metadata: a tally, ten alerts and their places in the log."""
CHANGE = 512
"""One change in a cut, or one statement; a member without metadata in a configuration without rings."""
PLACE = 24
"""A member's place on one ring, and its key while the ring is made."""
METADATA = 256
"""The mapping of a member that has metadata."""
ENTRY = 200
"""One entry of it without its characters: two strings and their place in the mapping."""
WIDEST = 4
"""Bytes of a character in a string that is not all ASCII."""


def of_joiner(member: Member) -> int:
    return JOINER + of_metadata(member)


def of_cut(cut: Cut) -> int:
    return CHANGE * (1 + cut.size) + sum(map(of_metadata, cut.joined))


def of_member(member: Member, k: int = 0) -> int:
    """Of a member in a configuration of ``k`` rings."""
    return CHANGE + PLACE * k + of_metadata(member)


def of_metadata(member: Member) -> int:
    if not member.metadata:
        return 0
    return METADATA + sum(ENTRY + _of_text(key) + _of_text(value) for key, value in member.metadata.items())


def _of_text(text: str) -> int:
    return len(text) if text.isascii() else WIDEST * len(text)
