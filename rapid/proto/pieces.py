"""Large messages, divided by their sender into pieces each of which is read by itself.

A piece is an encoded message that holds a run of the repeated fields; the first one holds all other
fields, too. The reader's side is ``rapid/proto/assembly.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from rapid.consensus.facts import Accept, Prepare, Promise, Vote
from rapid.detection.alert import Alert
from rapid.overlay.cut import Cut, Removal
from rapid.overlay.member import Endpoint, Member
from rapid.proto import rapid_pb2 as pb
from rapid.proto import values, work
from rapid.protocol.lineage import FORMERLY_LIMIT
from rapid.protocol.messages import Cuts, Decided, Facts, Message, Refounded, Snapshot

# What a field takes on the wire at most, without its texts.
_FIELDS = 96 + 18 * FORMERLY_LIMIT
"""All fields of a message that are only in its first piece."""
_CHANGE = 48
_ENTRY = 16
_ALERT = 64
_STATEMENT = 64

_Item = TypeVar("_Item")
_Change = Removal | Member
_Statement = Prepare | Promise | Accept | Vote


class LargeMessage:
    """A message above the limit of a frame. A piece is encoded when it is first asked for, and kept.

    ``size`` is the number of bytes of all pieces together, at most; ``len()`` gives the same.
    """

    __slots__ = ("_encoded", "header", "pieces", "size")

    def __init__(self, kind: str, message: Any, k: int, pieces: Sequence[_Piece]) -> None:
        self.pieces = pieces
        self.size = sum(piece.size for piece in pieces)
        self.header = pb.Header(
            kind=pb.Message.DESCRIPTOR.fields_by_name[kind].number,
            cluster_id=message.cluster_id,
            version=message.version,
            k=k,
            size=self.size,
        )
        self._encoded: list[bytes | None] = [None] * len(pieces)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        for number, piece in enumerate(self.pieces):
            encoded = self._encoded[number]
            if encoded is None:
                encoded = self._encoded[number] = piece.make().SerializeToString(deterministic=True)
            yield encoded


Encoded = bytes | LargeMessage


class _Piece:
    """How to make a piece, and how many bytes it takes at most."""

    __slots__ = ("make", "size")

    def __init__(self, size: int, make: Callable[[], pb.Message]) -> None:
        self.size = size
        self.make = make


NEVER = frozenset(Message.__args__) - {Facts, Snapshot, Refounded, Cuts, Decided}
"""Kinds of messages that are never large."""


def count(message: Message) -> int:
    """How many values a message repeats, of a kind that may be large."""
    match message:
        case Facts():
            statements = len(message.prepares) + len(message.promises) + len(message.accepts)
            cuts = sum(cut.size for cut in message.proposals) if message.proposals else 0
            return len(message.alerts) + statements + len(message.votes) + cuts
        case Snapshot() | Refounded():
            return message.configuration.size
        case Cuts():
            return sum(cut.size for cut in message.cuts)
        case Decided():
            return 0 if message.cut is None else message.cut.size
        case _:
            return 0


def divided(message: Message, limit: int) -> LargeMessage | None:
    """The pieces of a message, each of at most ``limit`` bytes and as much work as is read in one go.

    None when it is no more than that itself, or of a kind that never is. Pieces of facts are facts by
    themselves, but for a proposal that goes on in the next one.
    """
    runs = _Runs(limit - _FIELDS)
    match message:
        case Facts():
            large = LargeMessage("facts", message, 0, _facts(message, runs))
        case Decided():
            cuts = () if message.cut is None else (message.cut,)
            large = LargeMessage("decided", message, 0, _decided(message, runs.of_cuts(cuts)))
        case Cuts():
            large = LargeMessage("cuts", message, 0, _cuts(message, runs.of_cuts(message.cuts)))
        case Snapshot(configuration=configuration):
            members = runs.of(configuration.members, _member_size, work.of_member)
            pieces = _snapshot(message, members)
            large = LargeMessage("snapshot", configuration, configuration.k, pieces)
        case Refounded(configuration=configuration):
            members = runs.of(configuration.members, _member_size, work.of_member)
            large = LargeMessage("refounded", message, configuration.k, _refounded(message, members))
        case _:
            return None
    return None if runs.fit_together else large


class _Fragment:
    """A cut, or a part of one; ``more`` when it goes on in the next piece."""

    __slots__ = ("joined", "more", "removed")

    def __init__(self) -> None:
        self.removed: list[Removal] = []
        self.joined: list[Member] = []
        self.more = False

    def add(self, change: _Change) -> None:
        if isinstance(change, Removal):
            self.removed.append(change)
        else:
            self.joined.append(change)

    def packed(self) -> pb.Cut:
        return pb.Cut(
            removed=map(values.removal, self.removed),
            joined=map(values.member, self.joined),
            more=self.more,
        )


class _Runs:
    """Cuts sequences into runs that fit one piece each; a run comes with its size."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._unit = -(-limit // work.LIMIT)
        self._total = 0

    @property
    def fit_together(self) -> bool:
        """Whether one piece takes all that was cut so far."""
        return self._total <= self._limit

    def _cost(self, size: int, units: int) -> int:
        """Bytes that stand for both: what keeps to the limit by them keeps to that of the work as well."""
        cost = max(size, units * self._unit)
        self._total += cost
        return cost

    def of(
        self, items: Iterable[_Item], size: Callable[[_Item], int], units: Callable[[_Item], int]
    ) -> list[tuple[int, list[_Item]]]:
        runs: list[tuple[int, list[_Item]]] = []
        room, taken, run = self._limit, 0, list[_Item]()
        for item in items:
            bytes_of_it = size(item)
            cost = self._cost(bytes_of_it, units(item))
            if cost > room and run:
                runs.append((taken, run))
                room, taken, run = self._limit, 0, []
            run.append(item)
            room -= cost
            taken += bytes_of_it
        if run:
            runs.append((taken, run))
        return runs

    def of_cuts(self, cuts: Iterable[Cut]) -> list[tuple[int, list[_Fragment]]]:
        runs: list[tuple[int, list[_Fragment]]] = []
        room, taken, run = self._limit, 0, list[_Fragment]()
        for cut in cuts:
            cost = self._cost(_CHANGE, work.CUT)
            if cost > room and run:
                runs.append((taken, run))
                room, taken, run = self._limit, 0, []
            fragment = _Fragment()
            run.append(fragment)
            room -= cost
            taken += _CHANGE
            changes: tuple[_Change, ...] = (*cut.removed, *cut.joined)
            for change in changes:
                size = _change_size(change)
                cost = self._cost(size, work.of_change(change))
                if cost > room and (fragment.removed or fragment.joined or len(run) > 1):
                    fragment.more = True
                    runs.append((taken, run))
                    fragment = _Fragment()
                    room, taken, run = self._limit - _CHANGE, _CHANGE, [fragment]
                fragment.add(change)
                room -= cost
                taken += size
        if run:
            runs.append((taken, run))
        return runs


def _facts(message: Facts, runs: _Runs) -> list[_Piece]:
    made: list[_Piece] = []

    def add(found: Iterable[tuple[int, list[Any]]], field: str, pack: Callable[[Any], Any]) -> None:
        made.extend(
            _Piece(_FIELDS + size, partial(_packed_facts, message, field, pack, run)) for size, run in found
        )

    add(runs.of(message.alerts, _alert_size, work.of_alert), "alerts", values.alert)
    add(runs.of_cuts(message.proposals), "proposals", _Fragment.packed)
    add(runs.of(message.prepares, _statement_size, _statement_work), "prepares", values.prepare)
    add(runs.of(message.promises, _statement_size, _statement_work), "promises", values.promise)
    add(runs.of(message.accepts, _statement_size, _statement_work), "accepts", values.accept)
    add(runs.of(message.votes, _statement_size, _statement_work), "votes", values.vote)
    if message.complete or not made:
        made.append(_Piece(_FIELDS, partial(_last_facts, message)))
    return made


def _packed_facts(message: Facts, field: str, pack: Callable[[Any], Any], run: list[Any]) -> pb.Message:
    fields: dict[str, Any] = {field: map(pack, run)}
    return pb.Message(facts=pb.Facts(cluster_id=message.cluster_id, version=message.version, **fields))


def _last_facts(message: Facts) -> pb.Message:
    """Says that these are all, once all were told."""
    return pb.Message(
        facts=pb.Facts(cluster_id=message.cluster_id, version=message.version, complete=message.complete)
    )


def _decided(message: Decided, runs: list[tuple[int, list[_Fragment]]]) -> list[_Piece]:
    def piece(number: int, run: list[_Fragment]) -> pb.Message:
        decided = pb.Decided(cut=run[0].packed() if run else None)
        if number == 0:
            decided.cluster_id, decided.version = message.cluster_id, message.version
            decided.digest = message.digest
        return pb.Message(decided=decided)

    return _pieces(piece, runs)


def _cuts(message: Cuts, runs: list[tuple[int, list[_Fragment]]]) -> list[_Piece]:
    def piece(number: int, run: list[_Fragment]) -> pb.Message:
        cuts = pb.Cuts(cuts=[fragment.packed() for fragment in run])
        if number == 0:
            cuts.cluster_id, cuts.version = message.cluster_id, message.version
        return pb.Message(cuts=cuts)

    return _pieces(piece, runs)


def _snapshot(message: Snapshot, runs: list[tuple[int, list[Member]]]) -> list[_Piece]:
    def piece(number: int, run: list[Member]) -> pb.Message:
        return pb.Message(snapshot=_part(message, number, run))

    return _pieces(piece, runs)


def _refounded(message: Refounded, runs: list[tuple[int, list[Member]]]) -> list[_Piece]:
    def piece(number: int, run: list[Member]) -> pb.Message:
        refounded = pb.Refounded(configuration=_part(message, number, run))
        if number == 0:
            refounded.cluster_id, refounded.version = message.cluster_id, message.version
        return pb.Message(refounded=refounded)

    return _pieces(piece, runs)


def _part(message: Snapshot | Refounded, number: int, run: Iterable[Member]) -> pb.Snapshot:
    part = pb.Snapshot(members=map(values.member, run))
    if number == 0:
        configuration = message.configuration
        part.formerly.extend(message.formerly)
        part.cluster_id, part.version = configuration.cluster_id, configuration.version
        part.k, part.digest = configuration.k, configuration.digest
    return part


def _pieces(
    make: Callable[[int, list[Any]], pb.Message], runs: Iterable[tuple[int, list[Any]]]
) -> list[_Piece]:
    """A piece for each run; one without any when there is none."""
    found = list(runs) or [(0, [])]
    return [_Piece(_FIELDS + size, partial(make, number, run)) for number, (size, run) in enumerate(found)]


def _text(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _endpoint_size(endpoint: Endpoint) -> int:
    return 12 + _text(endpoint.host)


def _member_size(member: Member) -> int:
    entries = sum(_ENTRY + _text(key) + _text(value) for key, value in member.metadata.items())
    return _CHANGE + _text(member.endpoint.host) + entries


def _change_size(change: _Change) -> int:
    return _CHANGE + _text(change.endpoint.host) if isinstance(change, Removal) else _member_size(change)


def _alert_size(alert: Alert) -> int:
    observer = 0 if alert.observer is None else _endpoint_size(alert.observer)
    return _ALERT + observer + _member_size(alert.subject)


def _statement_size(statement: _Statement) -> int:
    voters = statement.voters if isinstance(statement, Promise | Vote) else 0
    return _STATEMENT + (voters.bit_length() + 7) // 8


def _statement_work(_: _Statement) -> int:
    return work.STATEMENT
