"""Fencing tokens: by them a resource tells the word of a new leader from that of one who was."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from rapid.errors import TokenError
from rapid.overlay.member import ClusterId

_TEXT = re.compile(r"([0-9a-f]{32}):(0|[1-9][0-9]{0,19})")
_VERSION_BYTES = 8


@dataclass(frozen=True, slots=True)
class FencingToken:
    """The name of one view, ordered by ``version`` among those of the same cluster.

    Two of different clusters are unequal and have no order: to compare them raises
    :class:`TokenError`, and so does building one of parts that no view has.
    """

    cluster_id: str
    """Hex, as in :class:`rapid.View`."""
    version: int

    def __post_init__(self) -> None:
        if not _TEXT.fullmatch(str(self)) or self.version >> 8 * _VERSION_BYTES:
            raise TokenError(
                f"{self.cluster_id!r} and {self.version!r} make no fencing token: take those of a view, "
                "32 hexadecimal digits and a number that fits into 64 bits"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str()`` gave; raise :class:`TokenError` on anything else."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise TokenError(f"{text!r} is no fencing token; one is CLUSTER_ID:VERSION, as str() gives it")
        return cls(found[1], int(found[2]))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what ``bytes()`` gave; raise :class:`TokenError` on anything else."""
        if len(data) != ClusterId.SIZE + _VERSION_BYTES:
            raise TokenError(f"{len(data)} bytes are no fencing token: one takes 24")
        return cls(data[: ClusterId.SIZE].hex(), int.from_bytes(data[ClusterId.SIZE :], "big"))

    def __str__(self) -> str:
        return f"{self.cluster_id}:{self.version}"

    def __bytes__(self) -> bytes:
        """24 bytes; within one cluster they sort as the tokens do."""
        return bytes.fromhex(self.cluster_id) + self.version.to_bytes(_VERSION_BYTES, "big")

    def __lt__(self, other: object) -> bool:
        return NotImplemented if (theirs := self._comparable(other)) is None else self.version < theirs

    def __le__(self, other: object) -> bool:
        return NotImplemented if (theirs := self._comparable(other)) is None else self.version <= theirs

    def __gt__(self, other: object) -> bool:
        return NotImplemented if (theirs := self._comparable(other)) is None else self.version > theirs

    def __ge__(self, other: object) -> bool:
        return NotImplemented if (theirs := self._comparable(other)) is None else self.version >= theirs

    def _comparable(self, other: object) -> int | None:
        """The version of another token of this cluster; None for what is no token."""
        if not isinstance(other, FencingToken):
            return None
        if other.cluster_id != self.cluster_id:
            raise TokenError(
                f"{self} and {other} are of different clusters, and neither is newer: "
                "compare cluster_id first, and have an operator say which cluster is the right one"
            )
        return other.version
