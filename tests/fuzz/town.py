"""A small cluster in virtual time, and somebody who says anything to one of its members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from rapid.detection.alert import Alert, Status
from rapid.detection.cut_detector import ring_bits
from rapid.overlay.configuration import Configuration, ConfigurationDigest
from rapid.overlay.cut import Cut, CutDigest, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.messages import (
    PROTOCOL_VERSION,
    Cuts,
    Decided,
    Facts,
    JoinRequest,
    Message,
    Refounded,
    Snapshot,
)
from rapid.protocol.node import Node
from rapid.protocol.outputs import Evicted, Installed
from rapid.simulation.size import state_size
from tests.protocol.harness import Net, at, view

SIZE = 4
JOINER, NOBODY = at(6), 9
KNOWN = 8
"""Below it the first byte of an identifier stands for one that exists: what no fuzzer could guess.

A node id is then that of the process at the address beside it, or at the sender's.
"""
HELD = 1 << 31
"""Of an alert's rings: those that its observer holds."""
EPOCH = 8
"""A version up to twice this is as far from the member's own as from this."""
ACTS = 200_000
"""What may happen in all, in a town of this size."""
REMEMBERED = 5000
TWENTYFOLD = 20
"""Values that a member may remember: some, and so many for each byte that was told."""


class Town:
    """Messages are made to fit: see :data:`KNOWN`, :data:`HELD` and :data:`EPOCH`."""

    def __init__(self) -> None:
        self.net = _CountingNet()
        self.members = self.net.form(SIZE)
        self.victim = self.members[0]
        # it finds nobody, so that it listens to whoever comes first
        self.joiner = Node(JOINER, self.net.settings, self.net.rng, expected=3)
        self.net.nodes[JOINER], self.net.events[JOINER] = self.joiner, []
        self.joiner.join([JOINER, at(NOBODY)], self.net.now)
        self.net.settle(self.joiner)
        self.lied = False
        self._sender = JOINER

    def hear(self, speaker: int, pause: int, message: Message) -> None:
        """The message reaches the member, or with the highest bit of ``speaker`` the joiner."""
        self.net.run(pause / 64)
        one = self.joiner if speaker & 128 else self.victim
        self._sender = at(speaker % 8)
        message = replace(self._fitted(message), sender=self._sender)
        self.lied |= _lies(message)
        if self.net.nodes.get(one.member.endpoint) is one:
            self.net.deliver(message.sender, one.member.endpoint, message)

    def happen(self, what: int, pause: int) -> None:
        """The member leaves, or is told to go on without the others; or one of these crashes."""
        self.net.run(pause / 64)
        if what % 4 == 0:
            self.victim.leave(self.net.now)
        elif what % 4 == 1:
            self.victim.force_new_cluster(self.net.now)
        elif (member := self.members[what % 4]).member.endpoint in self.net.nodes:
            self.net.crash(member)
        self.net.settle(self.victim)

    def check(self, told: int) -> None:
        """After a while nobody has failed, and nobody remembers more than it may; all have the same views.

        Not where somebody lied about the agreement itself: members believe what others say that members
        have said.
        """
        self.net.run(8.0)
        for node in (*self.members, self.joiner):
            assert state_size(node) < REMEMBERED + TWENTYFOLD * told, node.stats
            self._goes_forward(node)
        if self.lied:
            return
        views: dict[tuple[ClusterId, int], ConfigurationDigest] = {}
        for endpoint in self.net.nodes:
            for configuration in self._told(endpoint):
                name = (configuration.cluster_id, configuration.version)
                assert views.setdefault(name, configuration.digest) == configuration.digest

    def _told(self, endpoint: Any) -> list[Configuration]:
        events = self.net.events[endpoint]
        return [event.configuration for event in events if isinstance(event, Installed)]

    def _goes_forward(self, node: Node) -> None:
        """From its joining until its removal a member's version grows."""
        latest: Counter[ClusterId] = Counter()
        for event in self.net.events[node.member.endpoint]:
            if isinstance(event, Evicted):
                latest.clear()
            elif isinstance(event, Installed):
                configuration = event.configuration
                assert configuration.version > latest[configuration.cluster_id]
                latest[configuration.cluster_id] = configuration.version

    # -- making messages fit

    def _fitted(self, value: Any) -> Any:
        fit = _FITS.get(type(value))
        if fit is not None:
            return fit(self, value)
        if isinstance(value, tuple):
            parts = map(self._fitted, value)
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        if hasattr(value, "sender"):
            changes = {field.name: self._fitted(getattr(value, field.name)) for field in fields(value)}
            for name in ("version", "have"):
                if changes.get(name) is not None:
                    changes[name] = self._version(changes[name])
            return replace(value, **changes)
        return value

    def _version(self, version: int) -> int:
        mine = view(self.victim).version
        return max(1, mine + version - EPOCH) if version <= 2 * EPOCH else version

    def _cluster_id(self, cluster_id: ClusterId) -> ClusterId:
        return view(self.members[-1]).cluster_id if cluster_id[0] < KNOWN else cluster_id

    def _node_id(self, node_id: NodeId, endpoint: Endpoint | None = None) -> NodeId:
        known = self.net.nodes.get(endpoint or self._sender) if node_id[0] < KNOWN else None
        return known.node_id if known is not None else node_id

    def _digest(self, digest: CutDigest) -> CutDigest:
        epoch = self.victim._epoch
        bodies = list(epoch.bodies) if epoch is not None else []
        return bodies[digest[0]] if digest[0] < min(KNOWN, len(bodies)) else digest

    def _member(self, member: Member) -> Member:
        return Member(member.endpoint, self._node_id(member.node_id, member.endpoint), member.metadata)

    def _removal(self, removal: Removal) -> Removal:
        node_id = self._node_id(removal.node_id, removal.endpoint)
        return Removal(removal.endpoint, node_id, removal.left)

    def _cut(self, cut: Cut) -> Cut:
        return Cut.of(map(self._removal, cut.removed), map(self._member, cut.joined))

    def _configuration(self, configuration: Configuration) -> Configuration:
        k = self.net.settings.k if configuration.k < KNOWN else configuration.k
        cluster_id, version = self._cluster_id(configuration.cluster_id), self._version(configuration.version)
        return Configuration.of(cluster_id, version, map(self._member, configuration.members), k)

    def _alert(self, alert: Alert) -> Alert:
        subject, mine = self._member(alert.subject), view(self.victim)
        rings = alert.rings
        if rings & HELD and mine.size > 1 and alert.observer is not None:
            of = mine.subjects if alert.status is Status.UP else mine.observers
            held = ring_bits(of(subject.endpoint), alert.observer)
            rings = held & rings or held or rings
        return alert._replace(subject=subject, rings=rings)

    def _join_request(self, request: JoinRequest) -> JoinRequest:
        settings = self.net.settings
        if request.k < KNOWN:
            request = replace(
                request, protocol=PROTOCOL_VERSION, k=settings.k, h=settings.h, l=settings.l
            )  # fmt: skip
        expect = self._cluster_id(request.expect) if request.expect is not None else None
        return replace(request, node_id=self._node_id(request.node_id), expect=expect)


_FITS: dict[type[Any], Callable[[Town, Any], Any]] = {
    ClusterId: Town._cluster_id,
    NodeId: Town._node_id,
    CutDigest: Town._digest,
    Member: Town._member,
    Removal: Town._removal,
    Cut: Town._cut,
    Configuration: Town._configuration,
    Alert: Town._alert,
    JoinRequest: Town._join_request,
}


class _CountingNet(Net):
    """Fails when so much happens that somebody must be going round in circles."""

    def __init__(self) -> None:
        super().__init__()
        self.acts = 0

    def _after(self, delay: float, act: Callable[[], None]) -> None:
        self.acts += 1
        assert self.acts < ACTS, self.trace[-20:]
        super()._after(delay, act)


def _lies(message: Message) -> bool:
    """Whether the message tells what members have agreed on, or what they have said about it."""
    if isinstance(message, Facts):
        return bool(message.promises or message.accepts or message.votes)
    return isinstance(message, Decided | Cuts | Snapshot | Refounded)
