"""The joiner's side: find a seed, ask its observers, wait to be let in (paper section 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from random import Random
from typing import NamedTuple

from rapid.overlay.member import ClusterId, Endpoint, Member
from rapid.protocol.foreign import names_differ
from rapid.protocol.founding import Founding
from rapid.protocol.messages import (
    PROTOCOL_VERSION,
    Admitted,
    ConfigurationRequest,
    JoinReply,
    JoinRequest,
    Leaving,
    ObserveRequest,
    Restarted,
    Standing,
)
from rapid.protocol.outbox import Outbox
from rapid.protocol.outputs import Discover
from rapid.settings import Settings

ATTEMPT_LIMIT = (1 << 32) - 1
"""The highest number of a try that can be said; after it comes 1 again."""
NAMED = 256
"""Members that a seed or a member has named, who may answer."""
HEARD_OF = 3
"""Members of a cluster that probed this address, asked besides the seeds."""
OBSERVED = 3
"""For so many attempts a joiner waits for its observers before it asks again."""
MEMORY = 10
"""For so many attempts nobody founds anything after a cluster was heard of."""


class Trusted(NamedTuple):
    """Which clusters' members are a way in when they probe this process, though no seed has named them.

    With ``named`` any does that gives the same name as this process' application.
    """

    cluster_ids: frozenset[ClusterId] = frozenset()
    named: bool = False


NONE_TRUSTED = Trusted()


class Joining:
    """Asks the seeds, round by round, until one lets this process in or the deadline is over.

    A round asks one seed after another, the next when the last one has answered or takes too long.
    Between rounds it backs off, and has the seeds looked up anew. ``found`` is called when this
    process shall found the cluster itself, ``failed`` with the reason at the deadline, ``renew``
    for a new node id: one that may have been let in and removed unnoticed is never used again.
    ``due`` is the next time to :meth:`wake`. Who gives up calls :meth:`withdraw`.
    """

    def __init__(
        self,
        member: Member,
        seeds: Sequence[Endpoint],
        settings: Settings,
        rng: Random,
        outbox: Outbox,
        now: float,
        *,
        found: Callable[[], None],
        failed: Callable[[str], None],
        renew: Callable[[], Member],
        founds: bool = False,
        expected: int = 1,
        cluster_id: ClusterId | None = None,
        deadline: float = inf,
        pause: float = 0.0,
        trusted: Trusted = NONE_TRUSTED,
    ) -> None:
        self._member = member
        self._settings = settings
        self._rng = rng
        self._outbox = outbox
        self._found = found
        self._failed = failed
        self._renew = renew
        self._founds = founds and expected <= 1
        self._founder = False
        self._founding = Founding(member.endpoint, expected, settings) if founds and expected > 1 else None
        self._cluster_id = cluster_id
        self._trusted = trusted
        self._told_of: dict[ClusterId, None] = {}
        """The clusters of those that have answered."""
        self._strange: Endpoint | None = None
        """A member of a cluster that nobody has named, which has probed this process."""
        self._began = now
        self._cluster_until = -inf
        self._deadline = deadline
        self._pause = settings.join_retry
        self._seeds: tuple[Endpoint, ...] = ()
        self._next_seeds: tuple[Endpoint, ...] = ()
        self._mine = {member.endpoint: None}
        """The addresses by which this process is known to reach itself."""
        self._heard_of: dict[Endpoint, None] = {}
        self._named: dict[Endpoint, None] = {}
        """Those that have answered this process, and whom they have named."""
        self._waiting: list[Endpoint] = []
        self._asked: dict[int, tuple[Endpoint, float]] = {}
        self._attempt = 0
        self._refusals: dict[Endpoint, None] = {}
        self._known: tuple[ClusterId, int] | None = None
        """The version whose observers were asked, under the present node id."""
        self._observed_until = -inf
        self._observers: dict[Endpoint, None] = {}
        """Those of that version that were asked to let this process in, the sponsor among them."""
        self._fetched_until = -inf
        """Until then an answer to a request for the view may be on its way to a process that has given up."""
        self._withdrawn_until: float | None = None
        """How long a process that has given up may be let in all the same."""
        self._sponsor: Endpoint | None = None
        """Who passes the request to the observers on."""
        self._blind: dict[Endpoint, str] = {}
        """The observers that do not let this process in, and why."""
        self._admitted: Admitted | None = None
        self._trouble = "no seed answered"
        self.discovered(seeds)
        self._seeds = self._next_seeds
        self._waiting = list(self._seeds)
        self.due = now + pause

    def discovered(self, seeds: Sequence[Endpoint]) -> None:
        """The seeds to ask from the next round on."""
        self._looked_up = distinct = dict.fromkeys(seeds)
        self._next_seeds = tuple(seed for seed in distinct if seed not in self._mine)
        self._founder = self._founds and next(iter(distinct), None) in self._mine
        if self._founding is not None:
            self._founding.is_seed = len(distinct) > len(self._next_seeds)
            self._founding.seeds = len(self._next_seeds) + self._founding.is_seed

    def may_be_admitted(self, now: float) -> bool:
        """Whether observers are at work on letting this process in."""
        if self._withdrawn_until is not None:
            return now < self._withdrawn_until
        return self._admitted is not None or now < self._observed_until

    def withdraw(self, now: float, *, waits: bool = True) -> bool:
        """Give up, and tell those that were asked; whether this process may be let in all the same.

        It may be where some have reported it already, or the word that it was let in was lost. So those
        that were asked are told again and again while it ``waits``, for as long as observers have for one
        try, and answer when it is in.
        """
        self._founds = self._founder = False
        self._founding = None
        if self._known is None:
            self.due = inf
            return False
        self._withdrawn_until = now + (OBSERVED * self._settings.join_attempt if waits else 0.0)
        self._tell_departure(now)
        return True

    def wake(self, now: float) -> None:
        """Make the next try, or give up."""
        if now < self.due:
            return
        if self._withdrawn_until is not None:
            self._tell_departure(now)
            return
        if now >= self._deadline:
            self._give_up(self.reason)
            return
        if self._admitted is not None:
            self._fetch(self._admitted)
            self._admitted = None
            self._until(now + self._settings.join_attempt, now)
            return
        if now < self._observed_until:
            self._until(self._observed_until, now)
            return
        for attempt, (seed, until) in list(self._asked.items()):
            if until <= now:
                del self._asked[attempt]
                self._trouble = f"seed {seed} does not answer"
        if self._waiting:
            self._ask(self._waiting.pop(0), now)
            wait = self._settings.join_attempt * (0.25 if self._waiting else 1.0)
            self._until(now + wait, now)
        elif self._asked:
            self._until(min(until for _, until in self._asked.values()), now)
        else:
            self._conclude(now)

    def unreachable(self, endpoint: Endpoint, now: float) -> None:
        """The connection to this address failed."""
        if self._withdrawn_until is not None:
            return
        for attempt, (seed, _) in list(self._asked.items()):
            if seed == endpoint:
                del self._asked[attempt]
                self._trouble = f"seed {endpoint} cannot be reached"
                self._go_on(now)
        if endpoint == self._sponsor:
            self._sponsor = None
            self._observed_until = min(self._observed_until, now)
            self._go_on(now)

    @property
    def cluster_id(self) -> ClusterId | None:
        """The cluster whose observers were asked last."""
        return self._known[0] if self._known is not None else None

    @property
    def version(self) -> int:
        """The version whose observers were asked last; 0 for none."""
        return self._known[1] if self._known is not None else 0

    def expects(self, sender: Endpoint) -> bool:
        """Whether this process has asked for an answer of this one, or was told to."""
        return (
            sender in self._named
            or sender in self._seeds
            or sender in self._next_seeds
            or sender in self._heard_of
            or any(sender == asked for asked, _ in self._asked.values())
        )

    def probed(self, sender: Endpoint, cluster_id: ClusterId | None, size: int, now: float) -> None:
        """A member of a cluster knows this address: it is a way in, too, if that cluster is known.

        Else an earlier process at this address may have belonged to something else altogether; but nobody
        founds a cluster while that is open.
        """
        if cluster_id is None or not size or sender in self._seeds or sender in self._heard_of:
            return
        if self._withdrawn_until is not None:
            return
        if self._cluster_id not in (None, cluster_id):
            return
        self._cluster_until = now + MEMORY * self._settings.join_attempt
        trusted = self._trusted.named or cluster_id in self._trusted.cluster_ids
        if not trusted and cluster_id not in self._told_of and cluster_id != self._cluster_id:
            self._strange = sender
            return
        self._heard_of[sender] = None
        if len(self._heard_of) > HEARD_OF:
            del self._heard_of[next(iter(self._heard_of))]
        if self._known is None:
            self._waiting.insert(0, sender)
            self._go_on(now)

    def requested(self, request: JoinRequest, now: float) -> Standing:
        """Another process wants in by this one, which is in no cluster itself."""
        if self._founding is None or now < self._cluster_until or request.sender == self._member.endpoint:
            return Standing.NOT_A_MEMBER
        self._founding.saw(request.sender, request.sender in self._seeds, now)
        if request.founding and self._founding.follow(request.sender, now):
            return Standing.FOLLOWING
        return Standing.NOT_A_MEMBER

    def replied(self, reply: JoinReply, now: float) -> None:
        """A seed or an observer answered."""
        if self._withdrawn_until is not None:
            self._replied_to_departure(reply, now)
            return
        asked = self._asked.pop(reply.attempt, None)
        if asked is None and not self.expects(reply.sender):
            self._outbox.reject("reply nobody asked for", reply.sender)
            return
        if reply.node_id != self._member.node_id:
            self._name(reply.sender, *reply.observers, *reply.holders)
        if reply.cluster_id is not None:
            self._told_of.pop(reply.cluster_id, None)
            self._told_of[reply.cluster_id] = None
            if len(self._told_of) > HEARD_OF:
                del self._told_of[next(iter(self._told_of))]
            self._cluster_until = now + MEMORY * self._settings.join_attempt
        if reply.node_id == self._member.node_id:
            if asked is not None:  # a seed is this process itself, under another name
                self._mine[asked[0]] = None
                self.discovered(list(self._looked_up))
            self._go_on(now)
        elif reply.cluster_id is not None and reply.standing in (Standing.WELCOME, Standing.ADDRESS_HELD):
            restarted = Restarted(self._member.endpoint, self._member.node_id)
            for observer in dict.fromkeys(reply.holders):
                self._outbox.send(observer, restarted)
            if self._cluster_id is not None:
                # whoever welcomes a process that expects another id continues that cluster under this one
                self._cluster_id = reply.cluster_id
            self._welcomed(reply, reply.cluster_id, now)
        elif reply.standing is Standing.UNREACHABLE:
            # too few may be left to let this process in: they all look again, after a while
            self._blind.update(dict.fromkeys(reply.observers, reply.detail))
            pause = self._settings.join_attempt * (0.5 + self._rng.random())
            self._observed_until = min(self._observed_until, now + pause)
            self._until(self._observed_until, now)
        elif reply.standing is Standing.INCOMPATIBLE:
            self._trouble = f"{reply.sender} refused: {reply.detail}"
            if asked is not None:
                self._refusals[asked[0]] = None
                if self._seeds and all(seed in self._refusals for seed in self._seeds):
                    self._give_up(self._trouble)
                    return
            self._go_on(now)
        else:
            self._trouble = f"seed {reply.sender} is not in a cluster yet"
            if self._founding is not None:
                self._founding.saw(reply.sender, asked is not None and asked[0] in self._seeds, now)
                if (
                    reply.standing is Standing.FOLLOWING
                    and asked is not None
                    and now >= self._cluster_until
                    and self._founding.followed(reply.sender, asked[1] - self._settings.join_attempt, now)
                ):
                    self._end(self._found)
                    return
            self._go_on(now)

    def foreign(self, reply: JoinReply, now: float) -> None:
        """A seed belongs to a cluster of another name: it counts as not there, unless all do."""
        asked = self._asked.pop(reply.attempt, None)
        if asked is None:
            return
        detail = names_differ(self._outbox.cluster_name, reply.cluster_name)
        self._trouble = f"{reply.sender} refused: {detail}"
        self._refusals[asked[0]] = None
        waits = self._founder or self._founding is not None
        if not waits and self._seeds and all(seed in self._refusals for seed in self._seeds):
            self._give_up(self._trouble)
        else:
            self._go_on(now)

    def admitted(self, admitted: Admitted, now: float) -> None:
        """Let in; the snapshot is on its way from another observer, or has to be fetched."""
        if self._admitted is None and now >= self._fetched_until:
            self._admitted = admitted
            pause = self._settings.join_attempt / 2 if self._withdrawn_until is None else 0.0
            self._until(now + pause, now)

    # -- inside

    def _tell_departure(self, now: float) -> None:
        """Tell those that were asked that this process goes; once it was let in, fetch that view first."""
        assert self._known is not None, "it has asked somebody"
        assert self._withdrawn_until is not None, "it has given up"
        if self._admitted is not None:
            self._fetch(self._admitted)
            self._admitted = None
            self._fetched_until = now + self._settings.join_attempt / 2
        else:
            leaving = Leaving(self._member.endpoint, self._member.node_id, *self._known)
            for member in self._observers:
                self._outbox.send(member, leaving)
        over = now >= self._withdrawn_until
        self.due = inf if over else min(now + self._settings.join_attempt / 2, self._withdrawn_until)

    def _replied_to_departure(self, reply: JoinReply, now: float) -> None:
        """An observer has not reported this process, and will not; or the next view came without it."""
        assert self._known is not None, "it has asked somebody"
        cluster_id, version = self._known
        if reply.cluster_id != cluster_id or not self.expects(reply.sender):
            return
        if reply.standing is Standing.UNREACHABLE:
            for observer in reply.observers:
                self._observers.pop(observer, None)
        elif reply.standing is Standing.WELCOME and reply.version > version:
            self._observers.clear()
        if not self._observers and self._admitted is None and now >= self._fetched_until:
            self._withdrawn_until = self.due = now

    def _name(self, *members: Endpoint) -> None:
        for member in members:
            self._named.pop(member, None)
            self._named[member] = None
        while len(self._named) > NAMED:
            del self._named[next(iter(self._named))]

    def _welcomed(self, reply: JoinReply, cluster_id: ClusterId, now: float) -> None:
        """Ask the observers of this version, if they were not asked already."""
        version = reply.version
        if self._known is not None:
            known_id, known = self._known
            # of two clusters that would let it in the first one has its time: it may have done so already
            if now < self._observed_until and (known_id != cluster_id or version <= known):
                return
            if known_id != cluster_id or not known - 1 <= version <= known + 1:
                # between the two this process may have been let in and removed
                self._member = self._renew()
        first_try = self._known != (cluster_id, version)
        if first_try:
            self._known = (cluster_id, version)
            self._blind.clear()
            self._pause = self._settings.join_retry
        self._asked.clear()
        self._observers = dict.fromkeys((reply.sender, *reply.observers))
        held = f": an earlier process at {self._member.endpoint} is still a member" if reply.holders else ""
        lost = f" ({reply.sender}: {reply.detail})" if reply.detail else ""
        self._trouble = f"cluster {cluster_id} did not agree on letting this member in{held}{lost}"
        # where the sponsor's word did not do, each observer is asked, and can say why
        request = ObserveRequest(self._member.endpoint, self._member, cluster_id, version, relay=first_try)
        self._sponsor = reply.sender if first_try else None
        for observer in (reply.sender,) if first_try else dict.fromkeys(reply.observers):
            self._outbox.send(observer, request)
        # an earlier process at this address has to go first, and the word of it may be lost
        patience = self._settings.join_attempt * (1 if reply.holders else OBSERVED)
        self._observed_until = now + patience
        self._until(self._observed_until, now)

    def _ask(self, seed: Endpoint, now: float) -> None:
        settings, member = self._settings, self._member
        self._attempt = self._attempt % ATTEMPT_LIMIT + 1
        self._asked[self._attempt] = (seed, now + settings.join_attempt)
        founding = self._founding is not None and now >= self._cluster_until and self._founding.aspires(now)
        self._outbox.send(
            seed,
            JoinRequest(
                member.endpoint, member.node_id, PROTOCOL_VERSION, settings.k, settings.h, settings.l,
                self._cluster_id, self._attempt, founding,
            ),
        )  # fmt: skip

    def _conclude(self, now: float) -> None:
        """All were asked, and none let this process in: found, or ask again after a while."""
        # the only seed of all has nobody to look for
        delay = self._settings.found_delay if self._seeds or self._next_seeds else 0.0
        if self._founder and now >= max(self._began + delay, self._cluster_until):
            self._end(self._found)
            return
        self._outbox.put(Discover())
        self._refusals.clear()
        pause = self._pause * (0.5 + self._rng.random())
        self._pause = min(2 * self._pause, self._settings.join_attempt)
        self._seeds = self._next_seeds
        seen = self._founding.seen if self._founding is not None else []
        asked = dict.fromkeys((*self._seeds, *self._heard_of, *seen))
        self._waiting = list(asked)
        self._until(now + pause, now)

    def _go_on(self, now: float) -> None:
        """Make the next try at once, unless observers are at work."""
        if now >= self._observed_until and self._admitted is None and (self._waiting or not self._asked):
            self._until(now, now)

    @property
    def reason(self) -> str:
        """Why joining takes long."""
        trouble = self._trouble
        if self._strange is not None:
            trouble += (
                f"; {self._strange} probes {self._member.endpoint}, but no seed is known to be in its "
                "cluster: where this process belongs there, name it as a seed, or use cluster_name"
            )
        if not self._blind:
            return trouble
        reasons: dict[str, list[str]] = {}
        for observer, reason in self._blind.items():
            reasons.setdefault(reason, []).append(str(observer))
        by = " and by ".join(f"{', '.join(observers)} ({reason})" for reason, observers in reasons.items())
        return f"{trouble}: {self._member.endpoint} was turned away by its observers {by}"

    def _give_up(self, reason: str) -> None:
        self._end(lambda: self._failed(reason))

    def _end(self, outcome: Callable[[], None]) -> None:
        self.due = inf
        outcome()

    def _fetch(self, admitted: Admitted) -> None:
        request = ConfigurationRequest(self._member.endpoint, admitted.cluster_id, None, self._member.node_id)
        self._outbox.send(admitted.sender, request)

    def _until(self, at: float, now: float) -> None:
        self.due = max(now, min(at, self._deadline))
