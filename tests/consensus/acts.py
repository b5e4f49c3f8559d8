"""What a member can do in an agreement, done by the real :class:`Instance`."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from rapid.consensus.facts import Accept, Prepare, Promise, Rank
from rapid.consensus.instance import Instance
from rapid.overlay.cut import CutDigest

A = CutDigest(b"a" * 16)
B = CutDigest(b"b" * 16)
VALUES = {"a": (A,), "b": (B,), "*": (A, B)}

Proposals = tuple[tuple[CutDigest, ...], ...]


def proposals(pattern: str) -> Proposals:
    """A letter a member: it may propose A, or B, or one of them (``*``)."""
    return tuple(VALUES[letter] for letter in pattern)


def in_turn(*rounds: int) -> tuple[Rank, ...]:
    """Member 0 coordinates the first of these rounds, member 1 the second, and so on."""
    return tuple(Rank(round_number, member) for member, round_number in enumerate(rounds))


@dataclass(frozen=True, slots=True)
class Propose:
    """The member's own cut detector proposes the value."""

    digest: CutDigest


@dataclass(frozen=True, slots=True)
class Learn:
    """The body of the value reaches the member."""

    digest: CutDigest


@dataclass(frozen=True, slots=True)
class Coordinate:
    """The member opens the round."""

    round: int


Act = Propose | Learn | Coordinate | Prepare | Promise | Accept


def perform(instance: Instance, act: Act) -> None:
    match act:
        case Propose(digest):
            instance.propose(digest)
        case Learn(digest):
            instance.learn(digest)
        case Coordinate(round_number):
            instance.coordinate(round_number)
        case Prepare():
            instance.add_prepare(act)
        case Promise():
            instance.add_promise(act)
        case Accept():
            instance.add_accept(act)


def clone(instance: Instance) -> Instance:
    """A copy that shares nothing mutable with the original and has said nothing yet."""
    copy: Instance = object.__new__(type(instance))
    for name in Instance.__slots__:
        value = getattr(instance, name)
        if isinstance(value, dict):
            value = {
                key: dict(inner) if isinstance(inner, dict) else inner for key, inner in value.items()
            }
        setattr(copy, name, value)
    copy.said = []
    return copy


def full_state(instance: Instance) -> Hashable:
    """Everything that an instance knows but the votes, which no act depends on."""
    return (
        instance.promised,
        instance.voted,
        instance.preferred,
        frozenset(instance._bodies),
        frozenset(instance._picked.items()),
        frozenset((rank, frozenset(said.items())) for rank, said in instance.promises.items()),
        frozenset(instance.prepares),
        frozenset(instance.accepts.items()),
    )


def essence(instance: Instance) -> Hashable:
    """What can still matter of an instance: two that are equal in this act alike from here on.

    Promises matter to whom coordinates their rank and has not picked yet. Accepts matter as long as
    their body is missing: with the body at hand, one that had no effect will have none later, since
    what is promised and voted only grows.
    """
    waiting = [rank for rank, picked in instance._picked.items() if not picked]
    return (
        instance.promised,
        instance.voted,
        instance.preferred,
        frozenset(instance._bodies),
        frozenset(instance._picked.items()),
        frozenset((rank, frozenset(instance.promises.get(rank, {}).items())) for rank in waiting),
        frozenset(item for item in instance.accepts.items() if item[1] not in instance._bodies),
    )
