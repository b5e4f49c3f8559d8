"""K rings of the members, each a pseudo-random order of its own (paper section 4.1)."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Generator, Iterable, Sequence
from functools import lru_cache
from struct import pack

from xxhash import xxh64_intdigest

from rapid.overlay.member import Endpoint

BACKWARD_LIMIT = 32
"""Members up to which :func:`backward_ring` looks. Beyond it the chance that it finds any is below 1e-12."""
FEW = 4
"""A change of more than one in so many members is quicker with all of them sorted anew."""
_HALF = 1 << 63
_MASK = (1 << 64) - 1


def unremembered_keys(endpoint: Endpoint, k: int) -> tuple[int, ...]:
    """As :func:`ring_keys`, for endpoints of which there may be any number."""
    parts = zip(_host_parts(endpoint.host, k), _port_parts(endpoint.port, k), strict=True)
    return tuple([(host + port + _HALF & _MASK) - _HALF for host, port in parts])


@lru_cache(maxsize=1 << 15)
def ring_keys(endpoint: Endpoint, k: int) -> tuple[int, ...]:
    """The places of an endpoint on the rings 0 to k - 1, signed 64-bit numbers.

    ``XXH64(host, seed=ring) * 31 + XXH64(port as int32 little-endian, seed=ring)``, wrapped: the
    order of the protocol's first implementation, so that rings can be compared with it.
    """
    return unremembered_keys(endpoint, k)


# many members share their port, or on one machine their host: a part of the key is known then
@lru_cache(maxsize=1 << 10)
def _host_parts(host: str, k: int) -> tuple[int, ...]:
    name = host.encode()
    return tuple([31 * xxh64_intdigest(name, ring) for ring in range(k)])


@lru_cache(maxsize=1 << 10)
def _port_parts(port: int, k: int) -> tuple[int, ...]:
    number = pack("<i", port)
    return tuple([xxh64_intdigest(number, ring) for ring in range(k)])


class Ring:
    """One immutable ring: keys in ascending order and the endpoint at each; ties by endpoint."""

    __slots__ = ("endpoints", "keys")

    def __init__(self, keys: array[int], endpoints: list[Endpoint]) -> None:
        self.keys = keys
        self.endpoints: Sequence[Endpoint] = endpoints

    def place(self, key: int, endpoint: Endpoint) -> int:
        """The index at which the endpoint stands, or would stand."""
        keys, endpoints = self.keys, self.endpoints
        at = bisect_left(keys, key)
        while at < len(keys) and keys[at] == key and endpoints[at] < endpoint:
            at += 1
        return at

    def successor(self, key: int, endpoint: Endpoint) -> Endpoint | None:
        """The next endpoint round the ring; None when there is no other."""
        endpoints = self.endpoints
        at = self.place(key, endpoint)
        if at < len(endpoints) and endpoints[at] == endpoint:
            at += 1
        found = endpoints[at % len(endpoints)] if endpoints else None
        return None if found == endpoint else found

    def predecessor(self, key: int, endpoint: Endpoint) -> Endpoint | None:
        """The endpoint before, round the ring; None when there is no other."""
        endpoints = self.endpoints
        found = endpoints[self.place(key, endpoint) - 1] if endpoints else None
        return None if found == endpoint else found

    def changed(self, removed: Sequence[tuple[int, Endpoint]], added: Sequence[tuple[int, Endpoint]]) -> Ring:
        """The ring without ``removed``, all of them on it, and with ``added``: (key, endpoint) pairs.

        An endpoint in both stays. Of many changes all is sorted anew; else what lies between two of them is
        copied as one piece.
        """
        if FEW * (len(removed) + len(added)) > len(self.keys):
            return self._sorted_anew(removed, added)
        keys: array[int] = array("q")
        endpoints: list[Endpoint] = []
        copied = 0
        edits = [(key, endpoint, False) for key, endpoint in removed]
        edits += [(key, endpoint, True) for key, endpoint in added]
        for key, endpoint, joins in sorted(edits):
            at = self.place(key, endpoint)
            keys += self.keys[copied:at]
            endpoints += self.endpoints[copied:at]
            if joins:
                keys.append(key)
                endpoints.append(endpoint)
                copied = max(copied, at)  # the place is passed already when its old holder went
            else:
                copied = at + 1
        keys += self.keys[copied:]
        endpoints += self.endpoints[copied:]
        return Ring(keys, endpoints)

    def _sorted_anew(
        self, removed: Sequence[tuple[int, Endpoint]], added: Sequence[tuple[int, Endpoint]]
    ) -> Ring:
        gone = {endpoint for _, endpoint in removed}
        kept = [at for at, endpoint in enumerate(self.endpoints) if endpoint not in gone]
        keys = [self.keys[at] for at in kept]
        keys += [key for key, _ in added]
        endpoints = [self.endpoints[at] for at in kept]
        endpoints += [endpoint for _, endpoint in added]
        return _ring_of(keys, endpoints)


def rings_of(endpoints: Iterable[Endpoint], k: int) -> tuple[Ring, ...]:
    """The K rings of these endpoints."""
    ordered = sorted(endpoints)
    keys_by_member = [ring_keys(endpoint, k) for endpoint in ordered]
    rings = []
    for keys in zip(*keys_by_member, strict=True) if ordered else [()] * k:
        places = sorted(range(len(keys)), key=keys.__getitem__)  # stable: equal keys stay by endpoint
        rings.append(Ring(array("q", [keys[at] for at in places]), [ordered[at] for at in places]))
    return tuple(rings)


def backward_ring(rings: Sequence[Ring]) -> int | None:
    """The ring on which members are observed by their predecessors, or None where none has to be.

    In a small cluster one process may follow a member on every ring. It would be the only observer, and
    one report is not enough to remove anybody, so that member could never be removed. Turning one ring
    round gives each member two observers. All members find the same ring, since they have the same rings.
    """
    size = len(rings[0].endpoints)
    if not 3 <= size <= BACKWARD_LIMIT or len(rings) < 2:
        return None
    after: dict[Endpoint, list[Endpoint]] = {endpoint: [] for endpoint in rings[0].endpoints}
    before: dict[Endpoint, list[Endpoint]] = {endpoint: [] for endpoint in rings[0].endpoints}
    for ring in rings:
        for at, endpoint in enumerate(ring.endpoints):
            follower = ring.endpoints[(at + 1) % size]
            after[endpoint].append(follower)
            before[follower].append(endpoint)
    if all(len(set(observers)) > 1 for observers in after.values()):
        return None
    for number in reversed(range(len(rings))):
        turned = (
            {*observers[:number], *observers[number + 1 :], before[endpoint][number]}
            for endpoint, observers in after.items()
        )
        if all(len(observers) > 1 for observers in turned):
            return number
    return None


KEYS_AT_ONCE = 8192
"""Keys that one step of :func:`rings_in_steps` makes: 15 ms."""


def rings_in_steps(endpoints: Iterable[Endpoint], k: int) -> Generator[None, None, tuple[Ring, ...]]:
    """As :func:`rings_of`, for many endpoints: the work of a step is little, or that of sorting one ring."""
    given = list(endpoints)
    columns = [array("q") for _ in range(k)]
    at_once = max(1, KEYS_AT_ONCE // k)
    for start in range(0, len(given), at_once):
        yield
        keys = [unremembered_keys(endpoint, k) for endpoint in given[start : start + at_once]]
        for column, more in zip(columns, zip(*keys, strict=True), strict=True):
            column.extend(more)
    rings = []
    for column in columns:
        yield
        places = sorted(range(len(given)), key=column.__getitem__)
        yield
        rings.append(_ring_at(places, column, given))
    return tuple(rings)


def _ring_of(keys: Sequence[int], endpoints: Sequence[Endpoint]) -> Ring:
    """The ring of these endpoints, whose keys are in the same order."""
    return _ring_at(sorted(range(len(keys)), key=keys.__getitem__), keys, endpoints)


def _ring_at(places: Sequence[int], keys: Sequence[int], endpoints: Sequence[Endpoint]) -> Ring:
    """The ring on which those at these places follow each other, in the order of their keys."""
    ring = Ring(array("q", [keys[at] for at in places]), ordered := [endpoints[at] for at in places])
    _settle_ties(ring.keys, ordered)
    return ring


def _settle_ties(keys: array[int], endpoints: list[Endpoint]) -> None:
    """Put endpoints of equal keys in order. There may be none in all the world, other than made ones."""
    if len(set(keys)) == len(keys):
        return
    start = 0
    for end in range(1, len(keys) + 1):
        if end == len(keys) or keys[end] != keys[start]:
            endpoints[start:end] = sorted(endpoints[start:end])
            start = end
