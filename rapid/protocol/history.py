"""The last cuts of a cluster, for members that missed them."""

from __future__ import annotations

from collections import deque

from rapid.overlay.cut import Cut


class History:
    """Keeps the ``limit`` latest cuts; the cut at version v leads from v to v + 1."""

    def __init__(self, limit: int) -> None:
        self._cuts: deque[tuple[int, Cut]] = deque(maxlen=limit)

    def append(self, version: int, cut: Cut) -> None:
        self._cuts.append((version, cut))

    def clear(self) -> None:
        self._cuts.clear()

    def since(self, version: int) -> tuple[Cut, ...] | None:
        """All cuts from ``version`` on, in order; None when some are not kept any more."""
        if not self._cuts or version < self._cuts[0][0]:
            return None
        return tuple(cut for at, cut in self._cuts if at >= version)
