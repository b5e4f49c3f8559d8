"""Large messages, put together from their pieces as these arrive.

The sender's side is ``rapid/proto/pieces.py``. Reading goes on in steps, between which the reader may do
something else: each gives the messages that are ready with it, most often none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Generic, TypeVar

from rapid.errors import WireError
from rapid.overlay import footprint
from rapid.overlay.configuration import Configuration, ConfigurationDigest
from rapid.overlay.cut import Cut, CutDigest, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member
from rapid.proto import rapid_pb2 as pb
from rapid.proto import values, work
from rapid.proto.codec import parsed, read_facts, read_formerly
from rapid.proto.values import (
    CHUNK,
    CONFIGURATION,
    COUNT,
    HEADER,
    MEMBERS_LIMIT,
    NUMBER,
    PROPOSALS_LIMIT,
    RING_LIMIT,
    WORK,
    read_identifier,
    read_version,
)
from rapid.protocol.catch_up import CUTS_LIMIT
from rapid.protocol.messages import Cuts, Decided, Facts, Header, Message, Refounded, Snapshot

_T = TypeVar("_T")
Steps = Iterator[list[Message]]


def read_header(raw: pb.Header, sender: Endpoint) -> Header:
    """What the first chunk tells; raise :class:`WireError` when nothing like that is ever large."""
    known = _KINDS.get(raw.kind)
    if known is None:
        raise WireError(HEADER)
    cluster_id, version = read_identifier(ClusterId, raw.cluster_id), read_version(raw.version)
    if known.has_rings and not 1 <= raw.k <= RING_LIMIT:
        raise WireError(NUMBER)
    return Header(known.kind, sender, cluster_id, version, raw.k if known.has_rings else None)


def assembly(header: Header) -> Assembly:
    """What puts a message of this header together."""
    return next(known for known in _KINDS.values() if known.kind is header.kind)(header)


class Assembly(ABC):
    """One large message. ``memory`` is how many bytes are held of it, about.

    Every method raises :class:`WireError` when the message is malformed; then nothing can come of it.
    """

    kind: type[Message]
    field: str
    has_rings = False

    def __init__(self, header: Header) -> None:
        self.header = header
        self.memory = 0
        self._begun = False

    def add(self, data: bytes) -> Steps:
        """Read the next piece."""
        raw = parsed(data)
        if raw.WhichOneof("body") != self.field:
            raise WireError(HEADER)
        if work.of(raw) > work.LIMIT:
            raise WireError(WORK)
        body = getattr(raw, self.field)
        if not self._begun:
            self._begin(body)
            self._begun = True
        return self._add(body)

    def _agree(self, cluster_id: bytes, version: int, k: int | None = None) -> None:
        """The first piece must hold what the header has told."""
        if (cluster_id, version, k) != (self.header.cluster_id, self.header.version, self.header.k):
            raise WireError(HEADER)

    @abstractmethod
    def _begin(self, raw: Any) -> None:
        """Read what only the first piece holds."""

    @abstractmethod
    def _add(self, raw: Any) -> Steps: ...

    @abstractmethod
    def finish(self) -> Steps:
        """No piece comes any more."""


class _Members(Assembly):
    """A message that carries a configuration."""

    has_rings = True

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._members: dict[Endpoint, Member] = {}
        self._name: tuple[ClusterId, int] | None = None
        self._digest: ConfigurationDigest | None = None
        self._formerly: tuple[ClusterId, ...] = ()

    def _begin(self, raw: Any) -> None:
        part: pb.Snapshot = self._part(raw)
        self._agree(raw.cluster_id, raw.version, part.k)
        self._name = read_identifier(ClusterId, part.cluster_id), read_version(part.version)
        self._digest = read_identifier(ConfigurationDigest, part.digest)
        self._formerly = read_formerly(part)

    @abstractmethod
    def _part(self, raw: Any) -> pb.Snapshot: ...

    @abstractmethod
    def _message(self, configuration: Configuration) -> Message: ...

    def _add(self, raw: Any) -> Steps:
        k = self.header.k or 0
        for item in self._part(raw).members:
            member = values.read_member(item)
            if member.endpoint in self._members:
                raise WireError(CONFIGURATION)
            self._members[member.endpoint] = member
            self.memory += footprint.of_member(member, k)
        if len(self._members) > MEMBERS_LIMIT:
            raise WireError(COUNT)
        yield []

    def finish(self) -> Steps:
        assert self._name is not None, "there was a first piece"
        cluster_id, version = self._name
        if not self._members or not version:
            raise WireError(CONFIGURATION)
        making = _Paused(Configuration.in_steps(cluster_id, version, self._members, self.header.k or 0))
        yield from making
        if making.made.digest != self._digest:
            raise WireError(CONFIGURATION)
        yield [self._message(making.made)]


class _Snapshot(_Members):
    kind = Snapshot
    field = "snapshot"

    def _part(self, raw: Any) -> pb.Snapshot:
        part: pb.Snapshot = raw
        return part

    def _message(self, configuration: Configuration) -> Message:
        return Snapshot(self.header.sender, configuration, self._formerly)


class _Refounded(_Members):
    kind = Refounded
    field = "refounded"

    def _part(self, raw: Any) -> pb.Snapshot:
        part: pb.Snapshot = raw.configuration
        return part

    def _message(self, configuration: Configuration) -> Message:
        header = self.header
        assert header.cluster_id is not None, "a header without one is malformed"
        return Refounded(header.sender, header.cluster_id, header.version, configuration, self._formerly)


class _Changes(Assembly):
    """A message that carries cuts."""

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._cuts: list[Cut] = []
        self._removed: list[Removal] = []
        self._joined: list[Member] = []
        self._open = False
        self._closed_memory = 0

    def _read_cuts(self, raw: Sequence[pb.Cut]) -> Steps:
        """Read the cuts of a piece; that which goes on in the next one is kept open."""
        last = len(raw) - 1
        for number, item in enumerate(raw):
            if item.more and number != last:
                raise WireError(CHUNK)
            removed = list(map(values.read_removal, item.removed))
            joined = list(map(values.read_member, item.joined))
            self._removed += removed
            self._joined += joined
            self.memory += footprint.CHANGE * (len(removed) + 1) + sum(map(footprint.of_member, joined))
            if max(len(self._removed), len(self._joined)) > MEMBERS_LIMIT:
                raise WireError(COUNT)
            self._open = item.more
            if not item.more:
                making = _Paused(Cut.in_steps(self._removed, self._joined))
                yield from making
                self._cuts.append(making.made)
                self._removed, self._joined = [], []
                self._closed_memory = self.memory
        yield []

    def _closed(self) -> tuple[Cut, ...]:
        if self._open:
            raise WireError(CHUNK)
        return tuple(self._cuts)


class _Decided(_Changes):
    kind = Decided
    field = "decided"

    def _begin(self, raw: pb.Decided) -> None:
        self._agree(raw.cluster_id, raw.version)
        self._digest = read_identifier(CutDigest, raw.digest)

    def _add(self, raw: pb.Decided) -> Steps:
        if self._cuts:
            raise WireError(CHUNK)
        yield from self._read_cuts((raw.cut,) if raw.HasField("cut") else ())

    def finish(self) -> Steps:
        cut = next(iter(self._closed()), None)
        cluster_id = self.header.cluster_id
        assert cluster_id is not None, "a header without one is malformed"
        yield [Decided(self.header.sender, cluster_id, self.header.version, self._digest, cut)]


class _Cuts(_Changes):
    kind = Cuts
    field = "cuts"

    def _begin(self, raw: pb.Cuts) -> None:
        self._agree(raw.cluster_id, raw.version)

    def _add(self, raw: pb.Cuts) -> Steps:
        yield from self._read_cuts(raw.cuts)
        if len(self._cuts) > CUTS_LIMIT:
            raise WireError(COUNT)

    def finish(self) -> Steps:
        cluster_id = self.header.cluster_id
        assert cluster_id is not None, "a header without one is malformed"
        yield [Cuts(self.header.sender, cluster_id, self.header.version, self._closed())]


class _Facts(_Changes):
    """Facts are told as they arrive: they only add up, and many take the protocol long, too."""

    kind = Facts
    field = "facts"

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self._proposals = 0

    def _begin(self, raw: pb.Facts) -> None:
        self._agree(raw.cluster_id, raw.version)

    def _add(self, raw: pb.Facts) -> Steps:
        self._agree(raw.cluster_id, raw.version)
        yield from self._read_cuts(raw.proposals)
        self._proposals += len(self._cuts)
        if self._proposals > PROPOSALS_LIMIT:
            raise WireError(COUNT)
        cuts, self._cuts = tuple(self._cuts), []
        self.memory -= self._closed_memory
        self._closed_memory = 0
        yield [read_facts(raw, self.header.sender, cuts)]

    def finish(self) -> Steps:
        self._closed()
        yield []


class _Paused(Generic[_T]):
    """Steps that give no messages, and in the end what they made."""

    def __init__(self, steps: Generator[None, None, _T]) -> None:
        self._steps = steps
        self.made: _T

    def __iter__(self) -> Iterator[list[Message]]:
        self.made = yield from self._empty()

    def _empty(self) -> Generator[list[Message], None, _T]:
        while True:
            try:
                next(self._steps)
            except StopIteration as done:
                made: _T = done.value
                return made
            yield []


_KINDS: dict[int, type[Assembly]] = {
    pb.Message.DESCRIPTOR.fields_by_name[known.field].number: known
    for known in (_Snapshot, _Refounded, _Decided, _Cuts, _Facts)
}
