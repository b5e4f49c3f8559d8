"""A member's side of joining: answers those who want in, and lets its own observers reach them first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import replace
from math import inf

from rapid.detection.alert import Ground, Status
from rapid.detection.cut_detector import ring_bits
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint, Member, NodeId
from rapid.protocol.admission import Admission, Joiner
from rapid.protocol.epoch import Epoch
from rapid.protocol.lineage import Lineage
from rapid.protocol.messages import (
    PROTOCOL_VERSION,
    Admitted,
    JoinReply,
    JoinRequest,
    Leaving,
    ObserveRequest,
    Snapshot,
    Standing,
    Unreached,
)
from rapid.protocol.outbox import Outbox
from rapid.protocol.sponsorship import Guest, Sponsorship
from rapid.settings import Settings

AHEAD = 64
"""Versions that a joiner may be ahead, which has asked others before."""
KEPT = 64
"""Requests of sponsors that are not known here yet."""
REASONS = {
    Ground.SILENT: "its probes went unanswered",
    Ground.REFUSED: "its host refused the connection",
    Ground.UNHEALTHY: "the application's prober finds it unhealthy",
}
"""What a joiner is told by an observer that does not let it in; of another version, it may have others."""


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
        lineage: Lineage | None = None,
    ) -> None:
        self._me = me
        self._settings = settings
        self._outbox = outbox
        self._hurry = hurry
        self._lineage = Lineage() if lineage is None else lineage
        self._epoch: Epoch | None = None
        self._node_id: NodeId | None = None
        self._now = 0.0
        self._kept = deque[ObserveRequest](maxlen=KEPT)
        """Of sponsors that may be members by the version that they name: looked at then."""
        self._gone: dict[Endpoint, NodeId] = {}
        """Joiners that have given up, but may be let in by this epoch all the same."""
        self._admission = Admission(settings, probe, self._reached, self._unreachable, check)
        self._sponsorship = Sponsorship()

    @property
    def due(self) -> float:
        return self._admission.due

    def wake(self, now: float) -> None:
        self._now = now
        self._admission.wake(now)

    def answered(self, endpoint: Endpoint, node_id: NodeId, now: float) -> None:
        """An ack came, perhaps of a joiner."""
        self._now = now
        self._admission.answered(endpoint, node_id, now)

    def refused(self, endpoint: Endpoint) -> None:
        """A connection to this address was refused, perhaps a joiner's."""
        self._admission.refused(endpoint)

    def checked(self, endpoint: Endpoint, node_id: NodeId, passed: bool, now: float) -> None:
        """The application's word on a process, perhaps a joiner."""
        self._now = now
        self._admission.checked(endpoint, node_id, passed, now)

    def enter(self, node_id: NodeId, before: Configuration | None, epoch: Epoch, now: float) -> None:
        """A new epoch: tell those who are in, and send the rest to their new observers.

        Who asked for just this epoch, and was ahead of this member, is looked after.
        """
        self._now = now
        self._node_id = node_id
        self._epoch = epoch
        after = epoch.configuration
        guests = self._sponsorship.take(after.version)
        sponsored = {guest.member.endpoint for guest in guests}
        for joiner in self._admission.take(after.version, now):
            if joiner.member.endpoint not in sponsored:
                self._tell(joiner.member, joiner.token, before, after, observed=True)
        for guest in guests:
            self._tell(guest.member, guest.token, before, after, observed=False)
        self._admission.look_again()
        gone, self._gone = self._gone, {}
        for endpoint, node_id in gone.items():
            member = after.member(endpoint)
            rings = ring_bits(after.observers(endpoint), self._me) if member is not None else 0
            if member is not None and member.node_id == node_id and rings:
                epoch.alert(member, Status.LEAVING, rings, now)
        kept, self._kept = self._kept, deque(maxlen=KEPT)
        for request in kept:
            self.on_observe_request(request, None, now)

    def _tell(
        self,
        joiner: Member,
        token: Hashable | None,
        before: Configuration | None,
        after: Configuration,
        *,
        observed: bool,
    ) -> None:
        """How a joiner fared: its first observer sends it the snapshot, others that it is in."""
        endpoint = joiner.endpoint
        member = after.member(endpoint)
        if member is not None and member.node_id == joiner.node_id:
            watchers = before.subjects(endpoint) if before is not None else ()
            first = next((watcher for watcher in watchers if watcher in after), None)
            if first == self._me:
                self._outbox.answer(token, endpoint, self._snapshot(after))
            elif token is not None or not observed:
                admitted = Admitted(self._me, after.cluster_id, after.version)
                self._outbox.answer(token, endpoint, admitted)
        elif member is None and (token is not None or not observed):
            self._outbox.answer(token, endpoint, self._welcome(endpoint, after))

    def close(self) -> None:
        """No member any longer: joiners find others."""
        self._epoch = None
        self._kept.clear()
        self._gone.clear()
        self._admission.take(inf, self._now)
        self._sponsorship.take(inf)

    def on_join_request(self, request: JoinRequest, token: Hashable | None, now: float) -> None:
        epoch, settings = self._epoch, self._settings
        assert epoch is not None, "only a member receives guests"
        mine = epoch.configuration
        expected = request.expect
        if expected is None or expected in self._lineage.ids:  # it is answered with the id of today
            expected = mine.cluster_id
        for name, theirs, ours in (
            ("protocol version", request.protocol, PROTOCOL_VERSION),
            ("k", request.k, settings.k),
            ("h", request.h, settings.h),
            ("l", request.l, settings.l),
            ("cluster", expected, mine.cluster_id),
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
            self._outbox.answer(token, request.sender, self._snapshot(mine))
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
        mine = epoch.configuration
        own = request.sender == joiner.endpoint
        sponsor = request.sender in mine
        if not own and (request.relay or (not sponsor and request.version <= mine.version)):
            self._outbox.reject("observe request for another process", request.sender)
            return
        if not sponsor and request.version > mine.version + AHEAD:
            self._outbox.reject("observe request far ahead", request.sender)
            return
        if not own:
            if not sponsor:  # one that is ahead may be a member that is not known here yet
                self._kept.append(request)
                return
            token = None  # the way back to the sponsor
        held = mine.member(joiner.endpoint)
        stale = request.version < mine.version or (
            request.version == mine.version
            and not request.relay
            and self._me not in mine.subjects(joiner.endpoint)
        )
        if held is not None and held.node_id == joiner.node_id:
            self._outbox.answer(token, joiner.endpoint, self._snapshot(mine))
        elif stale and own:
            self._outbox.answer(token, joiner.endpoint, self._welcome(joiner.endpoint, mine))
        elif stale:
            self._outbox.stats["late observe requests"] += 1  # the sponsor learns of the new epoch, too
        elif request.relay:
            self._sponsor(request, token, now)
        else:
            epoch.batch.expect_more(now)
            self._admit(joiner, request.version, token, now, None if own else request.sender)
            self._admission.wake(now)

    def _sponsor(self, request: ObserveRequest, token: Hashable | None, now: float) -> None:
        """Pass a joiner's request on: that spares it and each of its observers a connection."""
        assert self._epoch is not None, "only a member sponsors"
        mine, joiner = self._epoch.configuration, request.member
        if not self._sponsorship.take_in(Guest(joiner, request.version, token), now):
            self._outbox.stats["dropped:joiner"] += 1
            return
        passed_on = replace(request, sender=self._me, relay=False)
        for observer in dict.fromkeys(mine.subjects(joiner.endpoint)):
            if observer == self._me:
                self.on_observe_request(passed_on, None, now)
            else:
                self._outbox.send(observer, passed_on)

    def look_after(self, joiner: Member, now: float) -> None:
        """Others let this joiner in, which has not asked here: see for ourselves."""
        assert self._epoch is not None, "an unstable joiner is an epoch's"
        self._admit(joiner, self._epoch.configuration.version, None, now)

    def withdrawn(self, leaving: Leaving, token: Hashable | None, now: float) -> None:
        """A joiner has given up. Where nobody has reported it yet it is not reported from here, and told so.

        Else it is to be let in, since other changes would wait for it otherwise, and then to leave.
        """
        assert self._epoch is not None, "others are refused"
        endpoint, node_id = leaving.sender, leaving.node_id
        reported = self._admission.forget(endpoint, node_id, now)
        if reported or self._epoch.detector.expects(endpoint):
            if len(self._gone) < KEPT:
                self._gone[endpoint] = node_id
            return
        if reported is None and self._sponsorship.guest(endpoint, node_id) is None:
            self._outbox.reject("departure of a non-member", endpoint)
        else:
            self._refuse(token, endpoint, Standing.UNREACHABLE, "it has given up", observers=(self._me,))

    def unreached(self, word: Unreached, now: float) -> None:
        """An observer's answer for a joiner that came by this member."""
        self._now = now
        guest = self._sponsorship.guest(word.joiner, word.node_id)
        if guest is None:
            self._outbox.reject("word of a joiner that is not waiting here", word.sender)
        else:
            self._refuse_unreached(guest.token, word.joiner, word.ground, word.sender)

    def _admit(
        self,
        joiner: Member,
        version: int,
        token: Hashable | None,
        now: float,
        sponsor: Endpoint | None = None,
    ) -> None:
        self._now = now
        if not self._admission.admit(joiner, version, token, now, sponsor):
            self._outbox.stats["dropped:joiner"] += 1

    def _reached(self, joiner: Joiner) -> None:
        epoch = self._epoch
        if epoch is None or joiner.version != epoch.configuration.version:
            return
        rings = ring_bits(epoch.configuration.subjects(joiner.member.endpoint), self._me)
        if rings:
            epoch.alert(joiner.member, Status.UP, rings, self._now)
            if self._admission.expects_more:
                epoch.batch.expect_more(self._now)

    def _unreachable(self, joiner: Joiner, ground: Ground) -> None:
        self._outbox.stats["unreachable joiners"] += 1
        member, sponsor = joiner.member, joiner.sponsor
        if joiner.token is not None:
            self._refuse_unreached(joiner.token, member.endpoint, ground, self._me)
        elif sponsor == self._me:
            if (guest := self._sponsorship.guest(member.endpoint, member.node_id)) is not None:
                self._refuse_unreached(guest.token, member.endpoint, ground, self._me)
        elif sponsor is not None:
            self._outbox.send(sponsor, Unreached(self._me, member.endpoint, member.node_id, ground))

    def _snapshot(self, mine: Configuration) -> Snapshot:
        return Snapshot(self._me, mine, self._lineage.ids)

    def _welcome(self, joiner: Endpoint, mine: Configuration, attempt: int = 0) -> JoinReply:
        detail = "its quorum is lost" if self._epoch is not None and self._epoch.quorum_lost else ""
        return JoinReply(
            self._me, Standing.WELCOME, mine.cluster_id, mine.version, mine.subjects(joiner), detail,
            self._node_id, attempt,
        )  # fmt: skip

    def _refuse_unreached(
        self, token: Hashable | None, joiner: Endpoint, ground: Ground, observer: Endpoint
    ) -> None:
        detail = REASONS.get(ground, "on a ground that is not known")
        self._refuse(token, joiner, Standing.UNREACHABLE, detail, observers=(observer,))

    def _refuse(
        self,
        token: Hashable | None,
        joiner: Endpoint,
        standing: Standing,
        detail: str,
        attempt: int = 0,
        observers: tuple[Endpoint, ...] = (),
    ) -> None:
        self._outbox.stats["joins refused"] += 1
        mine = self._epoch.configuration if self._epoch is not None else None
        cluster_id, version = (mine.cluster_id, mine.version) if mine is not None else (None, 0)
        reply = JoinReply(self._me, standing, cluster_id, version, observers, detail, self._node_id, attempt)
        self._outbox.answer(token, joiner, reply)
