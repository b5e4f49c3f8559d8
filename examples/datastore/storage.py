"""What one server keeps: a log of transactions, and the values that its agreed part makes. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One transaction at its place in the log. ``client`` and ``number`` tell it from all others."""

    term: int
    client: str
    number: int
    writes: dict[str, Any]


class Value(NamedTuple):
    """``version`` is the place in the log of the transaction that wrote it, from 1 on."""

    version: int
    value: Any


class Storage:
    """Takes entries from the serialiser of the highest term that it has heard of, and of no other."""

    def __init__(self) -> None:
        self.term = 0
        self.log: list[Entry] = []
        self.agreed = 0
        """The first so many entries are on a majority of the servers, for ever."""
        self.values: dict[str, Value] = {}
        self.done: dict[str, tuple[int, int]] = {}
        """Of each client, the number of its newest agreed transaction, and its place."""

    @property
    def newest(self) -> tuple[int, int]:
        """The term of the last entry, and how many there are: of two logs the greater has all of the other
        that may have been agreed on."""
        return (self.log[-1].term if self.log else 0, len(self.log))

    def promise(self, term: int) -> bool:
        """Take nothing of lower terms any more; False, and nothing has changed, for a term that is low."""
        if term < self.term:
            return False
        self.term = term
        return True

    def append(self, term: int, start: int, before: int, entries: Sequence[Entry], agreed: int) -> bool:
        """Put the entries behind the first ``start``, the last of which is of the term ``before``.

        False, and nothing is appended, for a term that is low and when this log has no such place.
        ``agreed`` is how many the serialiser knows to be agreed on.
        """
        if not self.promise(term) or start > len(self.log):
            return False
        if start and self.log[start - 1].term != before:
            return False
        for place, entry in enumerate(entries, start):
            if place < len(self.log) and self.log[place].term != entry.term:
                # of an older serialiser, and never agreed on
                del self.log[place:]
            if place == len(self.log):
                self.log.append(entry)
        self.agree(min(agreed, start + len(entries)))
        return True

    def adopt(self, start: int, entries: Sequence[Entry]) -> None:
        """Have these instead of whatever is behind the first ``start``, which are agreed on."""
        self.log[start:] = entries

    def agree(self, count: int) -> None:
        """The first so many entries are agreed on: they count from now on."""
        for place in range(self.agreed, count):
            entry = self.log[place]
            for key, value in entry.writes.items():
                self.values[key] = Value(place + 1, value)
            self.done[entry.client] = (entry.number, place + 1)
        self.agreed = max(self.agreed, count)
