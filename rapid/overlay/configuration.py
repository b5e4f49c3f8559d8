"""A configuration: the immutable membership between two view changes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from functools import cached_property

import xxhash

from rapid.errors import ConfigurationError
from rapid.overlay.cut import Cut, described, portions
from rapid.overlay.member import ClusterId, Endpoint, Identifier, Member
from rapid.overlay.rings import Ring, backward_ring, ring_keys, rings_in_steps, rings_of

NEIGHBOURHOODS = 1024
"""Whose observers and subjects are remembered once they were looked up."""
Neighbours = dict[Endpoint, tuple[Endpoint, ...]]
Neighbour = Callable[[Ring, int, Endpoint], Endpoint | None]
"""Who stands next to an endpoint with this key on a ring."""


class ConfigurationDigest(Identifier):
    """128 bits that name a configuration by its contents."""

    __slots__ = ()


class Configuration:
    """The members of one cluster at one version, on K rings. Immutable, shared freely.

    ``(cluster_id, version)`` orders the configurations of a cluster; ``digest`` guards against
    two that differ under one name. Members are indexed by their place on ring 0.
    """

    def __init__(
        self,
        cluster_id: ClusterId,
        version: int,
        rings: tuple[Ring, ...],
        by_endpoint: dict[Endpoint, Member],
    ) -> None:
        self.cluster_id = cluster_id
        self.version = version
        self.rings = rings
        self._by_endpoint = by_endpoint
        self._observers: Neighbours = {}
        self._subjects: Neighbours = {}

    @classmethod
    def of(cls, cluster_id: ClusterId, version: int, members: Iterable[Member], k: int) -> Configuration:
        """Build from scratch; raise :class:`ConfigurationError` when two members share an endpoint."""
        by_endpoint: dict[Endpoint, Member] = {}
        for member in members:
            if member.endpoint in by_endpoint:
                raise ConfigurationError(f"two members at {member.endpoint}")
            by_endpoint[member.endpoint] = member
        return cls(cluster_id, version, rings_of(by_endpoint, k), by_endpoint)

    @classmethod
    def in_steps(
        cls, cluster_id: ClusterId, version: int, by_endpoint: dict[Endpoint, Member], k: int
    ) -> Generator[None, None, Configuration]:
        """As :meth:`of`, for many members; the digest is computed as well."""
        rings = yield from rings_in_steps(by_endpoint, k)
        made = cls(cluster_id, version, rings, by_endpoint)
        content = xxhash.xxh3_128(made._name())
        for portion in portions(made.members):
            yield
            for member in portion:
                content.update(described(member))
        made.digest = ConfigurationDigest(content.digest())
        return made

    @property
    def k(self) -> int:
        return len(self.rings)

    @property
    def size(self) -> int:
        return len(self._by_endpoint)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """In ring-0 order."""
        return tuple(self.rings[0].endpoints)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """In ring-0 order."""
        return tuple(self._by_endpoint[endpoint] for endpoint in self.rings[0].endpoints)

    @cached_property
    def digest(self) -> ConfigurationDigest:
        content = self._name() + b"".join(map(described, self.members))
        return ConfigurationDigest(xxhash.xxh3_128_digest(content))

    def _name(self) -> bytes:
        return self.cluster_id + self.version.to_bytes(8, "little")

    @cached_property
    def _index(self) -> dict[Endpoint, int]:
        return {endpoint: at for at, endpoint in enumerate(self.rings[0].endpoints)}

    def index(self, endpoint: Endpoint) -> int | None:
        """The member's place on ring 0, or None."""
        return self._index.get(endpoint)

    def member(self, endpoint: Endpoint) -> Member | None:
        return self._by_endpoint.get(endpoint)

    def __contains__(self, endpoint: object) -> bool:
        return endpoint in self._by_endpoint

    def observers(self, endpoint: Endpoint) -> tuple[Endpoint, ...]:
        """Who watches this member: its successor on each ring, in ring order; none when alone.

        On the ring that :func:`backward_ring` names, if any, it is the predecessor instead.
        """
        known = self._observers.get(endpoint)
        if known is None:
            known = self._neighbours(endpoint, Ring.successor, Ring.predecessor)
            self._remember(self._observers, endpoint, known)
        return known

    def subjects(self, endpoint: Endpoint) -> tuple[Endpoint, ...]:
        """Whom this member watches: the other way round than :meth:`observers`; none when alone.

        For an endpoint that is not a member these are the observers it would be let in by.
        """
        known = self._subjects.get(endpoint)
        if known is None:
            known = self._neighbours(endpoint, Ring.predecessor, Ring.successor)
            self._remember(self._subjects, endpoint, known)
        return known

    @cached_property
    def _backward(self) -> int | None:
        return backward_ring(self.rings)

    def _neighbours(
        self, endpoint: Endpoint, forward: Neighbour, backward: Neighbour
    ) -> tuple[Endpoint, ...]:
        turned = self._backward if endpoint in self._by_endpoint else None
        found = (
            (backward if number == turned else forward)(ring, key, endpoint)
            for number, (ring, key) in enumerate(zip(self.rings, ring_keys(endpoint, self.k), strict=True))
        )
        return tuple(neighbour for neighbour in found if neighbour is not None)

    def _remember(self, found: Neighbours, endpoint: Endpoint, neighbours: tuple[Endpoint, ...]) -> None:
        """Every alert about one subject asks for the same; bounded, since joiners can be anyone."""
        if len(found) >= NEIGHBOURHOODS:
            del found[next(iter(found))]
        found[endpoint] = neighbours

    def problem(self, cut: Cut) -> str | None:
        """Why this cut cannot be applied here, or None when it can."""
        gone = set()
        for removal in cut.removed:
            member = self._by_endpoint.get(removal.endpoint)
            if member is None or member.node_id != removal.node_id or removal.endpoint in gone:
                return f"{removal.endpoint} is no member as {removal.node_id}"
            gone.add(removal.endpoint)
        taken = set()
        for member in cut.joined:
            held = member.endpoint in self._by_endpoint and member.endpoint not in gone
            if held or member.endpoint in taken:
                return f"{member.endpoint} is held by a member"
            taken.add(member.endpoint)
        return None

    def apply(self, cut: Cut) -> Configuration:
        """The next configuration. O(K(N + d)) for a cut of d changes.

        Raises :class:`ConfigurationError` when the cut removes a process that is not a member or
        joins an address that is held; this configuration is unchanged either way.
        """
        if problem := self.problem(cut):
            raise ConfigurationError(f"version {self.version} of cluster {self.cluster_id}: {problem}")
        by_endpoint = dict(self._by_endpoint)
        for removal in cut.removed:
            del by_endpoint[removal.endpoint]
        for member in cut.joined:
            by_endpoint[member.endpoint] = member
        removed = _on_each_ring([removal.endpoint for removal in cut.removed], self.k)
        joined = _on_each_ring([member.endpoint for member in cut.joined], self.k)
        rings = tuple(
            ring.changed(fewer, more) for ring, fewer, more in zip(self.rings, removed, joined, strict=True)
        )
        return Configuration(self.cluster_id, self.version + 1, rings, by_endpoint)

    def __repr__(self) -> str:
        return f"Configuration({self.cluster_id}, version={self.version}, size={self.size})"


def _on_each_ring(endpoints: list[Endpoint], k: int) -> list[list[tuple[int, Endpoint]]]:
    """For each ring the keys of these endpoints, with them."""
    if not endpoints:
        return [[] for _ in range(k)]
    columns = zip(*(ring_keys(endpoint, k) for endpoint in endpoints), strict=True)
    return [list(zip(keys, endpoints, strict=True)) for keys in columns]
