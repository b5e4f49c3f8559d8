"""An address in the world, and the lives of the processes that run there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut
from rapid.overlay.member import Endpoint
from rapid.protocol.messages import Message
from rapid.protocol.node import Node
from rapid.protocol.outputs import Event
from rapid.settings import Settings
from rapid.simulation.links import Link

HealthCheck = Callable[[Endpoint], bool | None]
"""The result of checking the member at an address; None: the check never ends."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A view that a process installed: when, which, by which cut (None: it came whole), past how many."""

    at: float
    configuration: Configuration
    cut: Cut | None
    skipped: int


class Place:
    """One address: its present process, if any, and the state of its host and links."""

    __slots__ = (
        "delay", "down", "egress", "endpoint", "groups", "health_check", "index", "ingress", "life", "links",
        "lives", "metadata", "options", "rate", "seeds", "service", "settings",
    )  # fmt: skip

    def __init__(
        self, index: int, endpoint: Endpoint, seeds: tuple[Endpoint, ...], metadata: Mapping[str, str] | None,
        settings: Settings, options: dict[str, Any], health_check: HealthCheck | None = None,
    ) -> None:  # fmt: skip
        self.index = index
        self.endpoint = endpoint
        self.seeds = seeds
        self.metadata = metadata
        self.settings = settings
        self.options = options
        """Of its nodes, by name."""
        self.health_check = health_check
        """The application's check of a member, where its nodes ask for one."""
        self.service = 0
        """Which service's processes run here. Those of two services never belong to one cluster."""
        self.life: Life | None = None
        self.lives: list[Life] = []
        self.down = False
        """The host is gone: it answers nothing, not even by refusing."""
        self.delay = 0.0
        self.rate = 1.0
        self.links: dict[Place, Link] = {}
        self.ingress: Link | None = None
        self.egress: Link | None = None
        self.groups = 0
        """A bitmap of the sides of a partition that this address is on; 0: reaches everyone."""

    def __repr__(self) -> str:
        return str(self.endpoint)


class Life:
    """One process, from its start to its end."""

    __slots__ = (
        "_local", "_rate", "_since", "alive", "arrivals", "between", "busy_until", "done", "ended_by",
        "events", "inbox",
        "node", "node_id", "number", "ordinal", "paused", "place", "refusals", "seeds", "token", "views",
        "wake_at",
        "quorum_lost", "service", "unsent",
    )  # fmt: skip

    def __init__(self, place: Place, number: int, node: Node, now: float, clock: float) -> None:
        self.place = place
        self.number = number
        self.ordinal = len(place.lives) + 1
        """Which process of its address this is, from 1."""
        self.node = node
        self.token = (place.endpoint, number)
        """The way back to this process, and to no later one at its address."""
        self.node_id = node.node_id
        """Who it is at present: an evicted process goes by a new one."""
        self.service = place.service
        self.seeds: tuple[Endpoint, ...] = ()
        """Whom it asks to be let in."""
        self.alive = True
        self.between = False
        """It was evicted, and is in no view yet again."""
        self.done = False
        """It left, was evicted or could not join; the protocol is over for it."""
        self.ended_by: Event | None = None
        """What told its application so."""
        self.paused = False
        self.inbox: list[tuple[int, Message | None, Life | None]] = []
        self.busy_until = 0.0
        self.wake_at = inf
        self.arrivals: dict[Place, float] = {}
        """When the latest message to each address arrives: later ones do not overtake it."""
        self.refusals: set[Place] = set()
        self.unsent: set[Place] = set()
        """Addresses to which a connection has failed, of which the node is about to be told."""
        self.quorum_lost = False
        """The last that the application was told of the quorum is that it is lost."""
        self.views: list[Seen] = []
        self.events: list[tuple[float, Event]] = []
        """What the application was told, other than views and rejected messages."""
        self._since = now
        self._local = clock
        self._rate = place.rate

    def clock(self, now: float) -> float:
        """What this process's own monotonic clock reads."""
        return self._local + (now - self._since) * self._rate

    def when(self, local: float) -> float:
        """The world's time at which this process's clock reads ``local``."""
        return self._since + (local - self._local) / self._rate

    def drift(self, now: float, rate: float) -> None:
        """From now on this clock runs ``rate`` times as fast as the world's."""
        self._local, self._since, self._rate = self.clock(now), now, rate

    @property
    def configuration(self) -> Configuration | None:
        return self.views[-1].configuration if self.views else None

    @property
    def membership(self) -> Configuration | None:
        """The view that this process is a member of now; None while it is in no cluster."""
        epoch = self.node._epoch
        return None if epoch is None else epoch.configuration

    @property
    def live(self) -> bool:
        """It runs (or is paused), and belongs or wants to belong to a cluster."""
        return self.alive and not self.done

    def __repr__(self) -> str:
        return f"{self.place.endpoint}#{self.ordinal}"
