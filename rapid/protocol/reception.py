"""A member's side of joining: answers those who want in, and lets its own observers reach them first."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace

from rapid.detection.alert import Status
from rapid.detection.cut_detector import ring_bits
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint, Member, NodeId
from rapid.protocol.admission import Admission, Joiner
from rapid.protocol.epoch import Epoch
from rapid.protocol.messages import (
    PROTOCOL_VERSION,
    Admitted,
    JoinReply,
    JoinRequest,
    ObserveRequest,
    Snapshot,
    Standing,
)
from rapid.protocol.outbox import Outbox
from rapid.settings import Settings


class Reception:
    """Phase 1 and 2 of joining as a seed and as an observer (paper section 4.1).

    ``probe`` sends a joiner a probe; ``hurry`` has a subject probed at once. A joiner's alert is
    made only after it answered as the process that asked and, with ``check``, the application found it
    well. Call :meth:`enter` with each epoch.
    """

    def __init__(
        self,
        me: Endpoint,
        settings: Settings,
        outbox: Outbox,
        probe: Callable[[Member], None],
        hurry: Callable[[Endpoint, float], None],
        check: Callable[[Member], None] | None = None,
    ) -> None:
        self._me = me
        self._settings = settings
        self._outbox = outbox
        self._hurry = hurry
        self._epoch: Epoch | None = None
        self._node_id: NodeId | None = None
        self._now = 0.0
        self._admission = Admission(settings, probe, self._reached, self._unreachable, check)

    @property
    def due(self) -> float:
        return self._admission.due

    def wake(self, now: float) -> None:
        self._now = now
        self._admission.wake(now)

    def answered(self, endpoint: Endpoint, node_id: NodeId, now: float) -> None:
        """An ack came, perhaps of a joiner."""
        self._now = now
        self._admission.answered(endpoint, node_id)

    def checked(self, endpoint: Endpoint, node_id: NodeId, passed: bool, now: float) -> None:
        """The application's word on a process, perhaps a joiner."""
        self._now = now
        self._admission.checked(endpoint, node_id, passed)

    def enter(self, node_id: NodeId, before: Configuration | None, epoch: Epoch) -> None:
        """A new epoch: tell those who are in, and send the rest to their new observers."""
        self._node_id = node_id
        self._epoch = epoch
        after = epoch.configuration
        for joiner in self._admission.take_all():
            endpoint = joiner.member.endpoint
            member = after.member(endpoint)
            if joiner.token is None:
                continue  # it asked others
            if member is None:
                self._outbox.answer(joiner.token, endpoint, self._welcome(endpoint, after))
                continue
            if member.node_id != joiner.member.node_id:
                continue
            watchers = before.subjects(endpoint) if before is not None else ()
            first = next((watcher for watcher in watchers if watcher in after), None)
            if first == self._me:
                self._outbox.answer(joiner.token, endpoint, Snapshot(self._me, after))
            else:
                admitted = Admitted(self._me, after.cluster_id, after.version)
                self._outbox.answer(joiner.token, endpoint, admitted)

    def close(self) -> None:
        """No member any longer: joiners find others."""
        self._epoch = None
        self._admission.take_all()

    def on_join_request(self, request: JoinRequest, token: Hashable | None, now: float) -> None:
        epoch, settings = self._epoch, self._settings
        assert epoch is not None, "only a member receives guests"
        mine = epoch.configuration
        for name, theirs, ours in (
            ("protocol version", request.protocol, PROTOCOL_VERSION),
            ("k", request.k, settings.k),
            ("h", request.h, settings.h),
            ("l", request.l, settings.l),
            ("cluster", request.expect or mine.cluster_id, mine.cluster_id),
        ):
            if theirs != ours:
                self._outbox.reject(f"join with another {name}", request.sender)
                detail = f"its {name} is {theirs}, this cluster's is {ours}"
                self._refuse(token, request.sender, Standing.INCOMPATIBLE, detail, request.attempt)
                return
        held = mine.member(request.sender)
        if held is None:
            epoch.batch.expect_more(now)
            reply = self._welcome(request.sender, mine, request.attempt)
            self._outbox.answer(token, request.sender, reply)
        elif held.node_id == request.node_id:
            self._outbox.answer(token, request.sender, Snapshot(self._me, mine))
        else:
            self._outbox.stats["joins from a held address"] += 1
            self._hurry(request.sender, now)
            held_by = replace(
                self._welcome(request.sender, mine, request.attempt),
                standing=Standing.ADDRESS_HELD,
                holders=mine.observers(request.sender),
            )
            self._outbox.answer(token, request.sender, held_by)

    def on_observe_request(self, request: ObserveRequest, token: Hashable | None, now: float) -> None:
        epoch, joiner = self._epoch, request.member
        if epoch is None or request.cluster_id != epoch.configuration.cluster_id:
            self._outbox.reject("observe request for another cluster", request.sender)
            return
        if request.sender != joiner.endpoint:
            self._outbox.reject("observe request for another process", request.sender)
            return
        mine = epoch.configuration
        held = mine.member(joiner.endpoint)
        if held is not None and held.node_id == joiner.node_id:
            self._outbox.answer(token, joiner.endpoint, Snapshot(self._me, mine))
        elif request.version < mine.version or (
            request.version == mine.version and self._me not in mine.subjects(joiner.endpoint)
        ):
            self._outbox.answer(token, joiner.endpoint, self._welcome(joiner.endpoint, mine))
        else:
            epoch.batch.expect_more(now)
            self._admit(joiner, request.version, token, now)
            self._admission.wake(now)

    def look_after(self, joiner: Member, now: float) -> None:
        """Others let this joiner in, which has not asked here: see for ourselves."""
        assert self._epoch is not None, "an unstable joiner is an epoch's"
        self._admit(joiner, self._epoch.configuration.version, None, now)

    def _admit(self, joiner: Member, version: int, token: Hashable | None, now: float) -> None:
        self._now = now
        if not self._admission.admit(joiner, version, token, now):
            self._outbox.stats["dropped:joiner"] += 1

    def _reached(self, joiner: Joiner) -> None:
        epoch = self._epoch
        if epoch is None or joiner.version != epoch.configuration.version:
            return
        rings = ring_bits(epoch.configuration.subjects(joiner.member.endpoint), self._me)
        if rings:
            epoch.alert(joiner.member, Status.UP, rings, self._now)

    def _unreachable(self, joiner: Joiner, detail: str) -> None:
        self._outbox.stats["unreachable joiners"] += 1
        if joiner.token is None:
            return  # it asked others
        self._refuse(joiner.token, joiner.member.endpoint, Standing.UNREACHABLE, detail)

    def _welcome(self, joiner: Endpoint, mine: Configuration, attempt: int = 0) -> JoinReply:
        detail = "its quorum is lost" if self._epoch is not None and self._epoch.quorum_lost else ""
        return JoinReply(
            self._me, Standing.WELCOME, mine.cluster_id, mine.version, mine.subjects(joiner), detail,
            self._node_id, attempt,
        )  # fmt: skip

    def _refuse(
        self, token: Hashable | None, joiner: Endpoint, standing: Standing, detail: str, attempt: int = 0
    ) -> None:
        self._outbox.stats["joins refused"] += 1
        mine = self._epoch.configuration if self._epoch is not None else None
        cluster_id, version = (mine.cluster_id, mine.version) if mine is not None else (None, 0)
        reply = JoinReply(self._me, standing, cluster_id, version, (), detail, self._node_id, attempt)
        self._outbox.answer(token, joiner, reply)
