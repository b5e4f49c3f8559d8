"""Who does what: functions of a view's members alone, so that all who hold the view agree on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise, repeat
from math import inf, log
from typing import TypeVar

from xxhash import xxh3_64_intdigest

from rapid.errors import PlacementError, SettingsError
from rapid.overlay.member import Member

Where = Callable[[Member], bool]
Key = TypeVar("Key", str, bytes)

_SPAN = 2.0**-64
"""From a 64-bit hash to the interval from 0 to 1."""


def eligible(members: Iterable[Member], role: str | None, where: Where | None) -> tuple[Member, ...]:
    """Those with this ``role`` in their metadata for which ``where`` holds; None asks for nothing."""
    return tuple(
        member
        for member in members
        if (role is None or member.metadata.get("role") == role) and (where is None or where(member))
    )


def leader(members: Iterable[Member], name: str) -> Member | None:
    """The member whose node id has the lowest hash under ``name``; None of none.

    Which one leads among n is a matter of luck, so one more member takes the lead with a chance of
    1 / (n + 1), and no function of the members alone can do better. Neither the cluster id nor the
    version enters: a leader stays one when the survivors go on as a new cluster.
    """
    seed = xxh3_64_intdigest(name.encode())
    return min(members, key=lambda m: (xxh3_64_intdigest(m.node_id, seed), m.endpoint), default=None)


class HashRing:
    """Which members own a key, by weighted rendezvous hashing. Immutable.

    Every member draws a number for a key, and the highest owns it. So a member that joins takes keys
    from the others and nothing else moves; when one goes its keys are spread over the rest. Members
    are known by their endpoints here: a process that is restarted at its address gets the same keys.

    A member's share is in proportion to the number in its metadata under ``weight``: 1 when there is
    none or it is no number from 0 up, and with 0 it owns nothing. ``zone`` names what it has in common
    with others that may fail together. None as either key: no weights, or no zones.

    Raises :class:`SettingsError` when ``replicas`` is less than 1.
    """

    def __init__(
        self,
        members: Iterable[Member],
        *,
        replicas: int = 1,
        weight: str | None = "weight",
        zone: str | None = "zone",
    ) -> None:
        weighed = ((_weight(member, weight), member) for member in members)
        able = sorted((pair for pair in weighed if pair[0] > 0), key=lambda pair: (pair[0], pair[1].endpoint))
        self.replicas = _count("replicas", replicas)
        self.members = tuple(member for _, member in able)
        """Those that may own keys, by weight and endpoint."""
        self._names = [str(member.endpoint).encode() for member in self.members]
        self._weights = [w for w, _ in able]
        self._zones = ["" if zone is None else member.metadata.get(zone, "") for member in self.members]
        self._zoned = len(set(self._zones)) > 1
        steps = [at for at in range(1, len(able)) if self._weights[at] != self._weights[at - 1]]
        self._equals = list(pairwise([0, *steps, len(able)])) if able else []
        """Where members of one weight begin and end."""

    def owner(self, key: str | bytes) -> Member:
        """The member that owns the key. :class:`PlacementError` when there is no member to own it."""
        draws = self._draws(key)
        best = []
        for start, end in self._equals:
            # among equals the draw itself decides: a logarithm for each would take most of the time
            highest = max(draws[start:end])
            at = draws.index(highest, start, end)
            best.append((self._cost(highest, at), -highest, at))
        if not best:
            raise PlacementError(f"nobody can own {key!r}: no member that was asked for has a weight above 0")
        return self.members[min(best)[-1]]

    def owners(self, key: str | bytes, n: int | None = None) -> tuple[Member, ...]:
        """The ``n`` members that own the key, ``replicas`` by default; all there are when they are fewer.

        The first is :meth:`owner`. No zone has two of them while another has none, none has three
        while another that has more members has one, and so on. With a larger ``n`` the same ones come first.
        """
        wanted = self.replicas if n is None else _count("n", n)
        draws = self._draws(key)
        order = sorted(range(len(draws)), key=draws.__getitem__, reverse=True)
        if len(self._equals) > 1:
            costs = [self._cost(draw, at) for at, draw in enumerate(draws)]
            order.sort(key=costs.__getitem__)
        if self._zoned:
            order = self._spread(order, wanted)
        return tuple(self.members[at] for at in order[:wanted])

    def _spread(self, order: list[int], wanted: int) -> list[int]:
        """The best of each zone, then the second of each, and so on; no less than ``wanted``."""
        taken: Counter[str] = Counter()
        rounds = []
        for at in order:
            zone = self._zones[at]
            rounds.append((taken[zone], at))
            taken[zone] += 1
            if len(taken) == wanted:
                break  # the first round is enough
        rounds.sort(key=lambda place: place[0])  # stable: within a round they stay by cost
        return [at for _, at in rounds]

    def _draws(self, key: str | bytes) -> list[int]:
        """What each member draws for the key; an equal draw goes to the one that comes first."""
        seed = xxh3_64_intdigest(key if isinstance(key, bytes) else key.encode(errors="surrogatepass"))
        return list(map(xxh3_64_intdigest, self._names, repeat(seed)))

    def _cost(self, draw: int, at: int) -> float:
        """An exponential variable of rate w: the least of several is each one's in proportion to w."""
        return -log((draw + 0.5) * _SPAN) / self._weights[at]

    def __repr__(self) -> str:
        return f"HashRing(members={len(self.members)}, replicas={self.replicas})"


def moved(
    keys: Iterable[Key], before: HashRing, after: HashRing
) -> dict[Key, tuple[Member | None, Member | None]]:
    """For each key whose owner is another one ``after``: (old owner, new owner), None for nobody.

    A process that was restarted at the same address is another one: it has forgotten what it held.
    """
    found = {}
    for key in keys:
        old = before.owner(key) if before.members else None
        new = after.owner(key) if after.members else None
        if old != new:
            found[key] = (old, new)
    return found


def _weight(member: Member, key: str | None) -> float:
    """What a member says of itself must not keep the others from placing their keys."""
    text = None if key is None else member.metadata.get(key)
    if text is None:
        return 1.0
    try:
        weight = float(text)
    except ValueError:
        return 1.0
    return weight if 0 <= weight < inf else 1.0


def _count(field: str, n: int) -> int:
    if n < 1:
        raise SettingsError(field, f"{n} owners of a key; take 1 or more")
    return n
