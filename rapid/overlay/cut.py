"""A cut: the whole change from one configuration to the next, and its name."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import xxhash

from rapid.overlay.member import Endpoint, Identifier, Member, NodeId

AT_ONCE = 8192
"""Members, and entries of their metadata, that one step of a digest hashes: 20 ms."""


class CutDigest(Identifier):
    """128 bits that name a cut by its contents."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Removal:
    """One member that goes: which process, and whether it left (else it failed)."""

    endpoint: Endpoint
    node_id: NodeId
    left: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """Removals, then joins, each in the order of endpoints. Build it with :meth:`of`.

    It names processes, not addresses alone: two members that decide the same digest
    apply the same node ids and the same metadata.
    """

    removed: tuple[Removal, ...]
    joined: tuple[Member, ...]
    digest: CutDigest = field(compare=False)

    @classmethod
    def of(cls, removed: Iterable[Removal] = (), joined: Iterable[Member] = ()) -> Cut:
        """The canonical cut of these changes."""
        steps = cls.in_steps(removed, joined)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                made: Cut = done.value
                return made

    @classmethod
    def in_steps(cls, removed: Iterable[Removal], joined: Iterable[Member]) -> Generator[None, None, Cut]:
        """As :meth:`of`, for many changes: the work of a step is little."""
        ordered_removed = tuple(sorted(removed, key=lambda r: (r.endpoint, r.node_id, r.left)))
        ordered_joined = tuple(sorted(joined, key=lambda m: (m.endpoint, m.node_id)))
        content = xxhash.xxh3_128()
        for removal in ordered_removed:
            content.update(b"-left" if removal.left else b"-fail")
            content.update(described(Member(removal.endpoint, removal.node_id)))
        for members in portions(ordered_joined):
            yield
            for member in members:
                content.update(b"+join" + described(member))
        return cls(ordered_removed, ordered_joined, CutDigest(content.digest()))

    @property
    def size(self) -> int:
        return len(self.removed) + len(self.joined)


def described(member: Member) -> bytes:
    """What is hashed of one member: no two different ones, or rows of them, have the same bytes."""
    host = member.endpoint.host.encode()
    said = [b"%d:%b:%d:%d:%b" % (len(host), host, member.endpoint.port, len(member.metadata), member.node_id)]
    for key, value in member.metadata.items():
        raw_key, raw_value = key.encode(), value.encode()
        said.append(b"%d:%b:%d:%b" % (len(raw_key), raw_key, len(raw_value), raw_value))
    return b"".join(said)


def portions(members: Sequence[Member]) -> Iterator[Sequence[Member]]:
    """Runs of the members that take about as long each: a quarter as many where each has three entries."""
    start, room = 0, AT_ONCE
    for number, member in enumerate(members):
        if room <= 0:
            yield members[start:number]
            start, room = number, AT_ONCE
        room -= 1 + len(member.metadata)
    yield members[start:]
