"""The life of one configuration: from its installation until one change to it is agreed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile
from math import inf
from random import Random

from rapid.consensus.facts import FAST, NO_RANK, ROUND_LIMIT, Promise, Rank, Vote
from rapid.consensus.instance import Instance
from rapid.consensus.quorum import classic_quorum, tolerance
from rapid.detection.alert import Alert, Ground, Status
from rapid.detection.cut_detector import CutDetector, Tally, ring_bits
from rapid.detection.lag import Lag
from rapid.overlay import footprint
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, CutDigest
from rapid.overlay.member import Endpoint, Member
from rapid.protocol.batch import AlertBatch
from rapid.protocol.gossip import Gossip
from rapid.protocol.levelling import Levelling
from rapid.protocol.messages import Facts
from rapid.protocol.outbox import Outbox
from rapid.protocol.own_reports import OwnReports
from rapid.settings import Settings

FANOUT = 5
"""Subjects to which facts are passed on in a large cluster. What they miss the probes find."""
RANKS = 64
"""The highest ranks, of which all is kept that is said: lower ones cannot win any more. Rounds follow each
other for as long as the quorum is gone, so there is no end to their number."""
ROUNDS_AHEAD = 1 << 16
"""Rounds that a peer may be ahead: what a quorum that was gone for days has made of them."""
PROPOSALS = 1024
"""Proposals that peers may make; of more, those that a coordinator has picked, as many again."""
PROPOSALS_ROOM = 64 * 1024 * 1024
"""Bytes for these; as many again for those that a coordinator has picked."""
TURNS = 8
"""Coordinators that have a turn each; of the others about as many begin in the time of one turn."""
OWN_JOINERS = 1 << 15
"""Joiners that this member itself reports in one epoch."""


class Epoch:
    """All facts of one configuration, and what follows from them.

    Thrown away with its timers when ``decided`` is set. A subject that stays unstable for
    ``reinforcement_timeout`` is echoed by all its observers, a joiner by those that reach it, for
    which ``observe`` is called; after as long again it blocks no more. A member of which only one
    observer, or only such as seem worse themselves, say anything is not echoed, and blocks no more then.
    A report that found no others is withdrawn once its subject has answered for ``report_lifetime``.
    A joiner holds up removals for no longer than ``batch_limit``: its observers may be the next to go.
    When more members seem to have failed than a majority bears, the members agree to begin afresh
    instead: a cut without any change gives a new epoch, without the old one's alerts.

    From the first classic round on each levels with members drawn at random; one for which most of those
    that it observes are silent does so at once. If fewer than a third of those drawn say anything within
    ``quorum_timeout`` it is with a minority, though it has nothing to propose: a larger minority has. From
    then on it draws from all members, and ``quorum_lost`` ends once a majority of them answers. While a
    proposal of its own is not decided only a decision ends it.
    """

    def __init__(
        self,
        configuration: Configuration,
        me: Endpoint,
        settings: Settings,
        rng: Random,
        outbox: Outbox,
        observe: Callable[[Member], None],
        lag: Lag,
        alerted: Callable[[Configuration, Alert], None] | None = None,
    ) -> None:
        index = configuration.index(me)
        assert index is not None, "an epoch is a member's"
        self.configuration = configuration
        self._me = me
        self._settings = settings
        self._rng = rng
        self._stats = outbox.stats
        self._send = outbox.send
        self._observe = observe
        self._alerted = alerted
        self._small = small = configuration.size <= settings.everyone_limit
        others = configuration.endpoints if small else configuration.subjects(me)
        neighbours = [endpoint for endpoint in dict.fromkeys(others) if endpoint != me]
        self.gossip = Gossip(
            me, configuration.cluster_id, configuration.version, neighbours, settings.gossip_interval,
            lag, outbox.send, None if small else FANOUT,
        )  # fmt: skip
        self._bearable = configuration.size - classic_quorum(configuration.size)
        self.detector = CutDetector(configuration, settings.h, settings.l, self._bearable)
        self.instance = Instance(configuration.size, index)
        self.batch = AlertBatch(settings, alone=configuration.size == 1)
        self.bodies: dict[CutDigest, Cut] = {}
        self._bodies_size = 0
        self._ranks: dict[Rank, None] = {}
        self.proposal: Cut | None = None
        self._proposed_at = inf
        self._recover_at = inf
        self._recoveries = 0
        self._levelling = Levelling(configuration, me, settings, rng, self._level)
        self._own = OwnReports(me, settings.report_lifetime)
        self._unstable_since: dict[Tally, float] = {}
        """In the order of time; some are not unstable any longer."""
        self._reinforced: dict[Tally, None] = {}
        self._yield_at = inf
        self._quorum_at = inf
        self.quorum_lost = False

    @property
    def due(self) -> float:
        # asked for twice with each input, so without the calls of a longer min
        due, gossip = self.batch.due, self.gossip.due
        if gossip < due:
            due = gossip
        if self._recover_at < due:
            due = self._recover_at
        if (levelling := self._levelling.due) < due:
            due = levelling
        if self._quorum_at < due:
            due = self._quorum_at
        if self._yield_at < due:
            due = self._yield_at
        return min(due, self._reinforce_at) if self._unstable_since else due

    @property
    def decided(self) -> Cut | None:
        """The agreed cut, once its digest is decided and its body is here."""
        digest = self.instance.decided
        return None if digest is None else self.bodies.get(digest)

    def alert(
        self,
        subject: Member,
        status: Status,
        rings: int,
        now: float,
        ground: Ground = Ground.UNSTATED,
    ) -> None:
        """This member's own report; what it has reported before in this epoch is not reported again."""
        own = self._own
        if status is Status.UP and len(own) >= OWN_JOINERS and not own.knows(subject):
            self._stats["dropped:own alerts"] += 1
            return
        alert = own.make(subject, status, rings, ground, now)
        if alert is None:
            return
        if status is not Status.UP:
            if not self._small and ground is not Ground.REINFORCED and status is Status.DOWN:
                self.gossip.avoid(subject.endpoint)
            if 2 * own.rings_down > self._settings.k and self._quorum_at == inf:
                # most of what this member observes is silent: it may be with a few, and learn of little
                self._quorum_at = now + self._settings.quorum_timeout
                self._levelling.forget()
                self._levelling.begin(now)
        self.batch.add(alert, now)

    @property
    def review_due(self) -> float:
        """When to call :meth:`review`."""
        return self._own.due

    def review(self, healthy_since: Mapping[Endpoint, float], now: float) -> None:
        """Withdraw this member's reports of subjects that have answered for long and are not to be removed.

        ``healthy_since`` holds the subjects that answer now, and since when. Faults that are over must not
        add up with later ones (paper section 4.2 knows no end of an alert but that of its configuration).
        """
        for subject in self._own.outlived(healthy_since, now):
            if not self.bodies and not self.detector.is_stable(subject):
                self._stats["reports withdrawn"] += 1
                self.batch.add(self._own.withdraw(subject), now)

    def receive(self, facts: Facts, now: float) -> None:
        """Merge what a peer knows of this epoch."""
        source, conflicts, count = facts.sender, self.instance.conflicts, self.gossip.count
        self._levelling.heard(source)
        for alert in facts.alerts:
            if not self.detector.knows(alert):
                self._add_alert(alert, source, now)
        for cut in facts.proposals:
            self._learn(cut, source, now)
        for prepare in facts.prepares:
            if self._plausible(prepare.rank) and self.instance.add_prepare(prepare):
                self.gossip.append(prepare, source, now)
                self._levelling.begin(now)
                self._postpone_recovery(now)
        for promise in facts.promises:
            known = self._known_voters(promise.voters) and self._consistent(promise)
            if known and self._plausible(promise.rank) and (new := self.instance.add_promise(promise)):
                self.gossip.append(Promise(promise.rank, promise.vrank, promise.digest, new), source, now)
        for accept in facts.accepts:
            if self._plausible(accept.rank) and self.instance.add_accept(accept):
                self.gossip.append(accept, source, now)
        for vote in facts.votes:
            known = self._known_voters(vote.voters) and (vote.rank == FAST or self._plausible(vote.rank))
            if known and (new := self.instance.add_vote(vote)):
                self.gossip.append(Vote(vote.rank, vote.digest, new), source, now)
        if self.instance.conflicts > conflicts:
            self._stats["rejected:word against an earlier one"] += self.instance.conflicts - conflicts
        if self.gossip.count != count or self.instance.said:  # most of what arrives is known already
            self._speak(now)
            self._evaluate(now)

    def adopt(self, cut: Cut) -> bool:
        """Take a decision that another member made; False when it cannot be one of this epoch."""
        if self.instance.decided not in (None, cut.digest) or self._problem(cut):
            return False
        self.bodies[cut.digest] = cut
        self.instance.decided = cut.digest
        return True

    def wake(self, now: float) -> None:
        """Do what is due."""
        if now >= self.batch.due:
            for alert in self.batch.take():
                self._add_alert(alert, None, now)
            self._evaluate(now)
        if now >= self._reinforce_at:
            self._reinforce(now)
        if now >= self._yield_at:
            self._yield(now)
        if now >= self._recover_at and self.decided is None:
            self._recoveries += 1
            self._stats["classic rounds"] += 1
            self._recover_at = now + self._patience()
            self.instance.coordinate(min(self.instance.highest_round + 1, ROUND_LIMIT - 1))
            self._levelling.begin(now)
            self._speak(now)
        if now >= self._levelling.due and self.decided is None:
            # whether a majority is there only all of the members can tell
            asks_all = self.quorum_lost and self.proposal is None
            self._levelling.wake(() if asks_all else self.detector.failing, now)
        if now >= self._quorum_at and self.decided is None:
            self._quorum_at = self._look_for_a_quorum(now)
        self.gossip.wake(now)

    # -- alerts and the proposal

    def _add_alert(self, alert: Alert, source: Endpoint | None, now: float) -> None:
        problem = self.detector.problem(alert)
        if problem is not None:
            self._stats[f"rejected:alert: {problem}"] += 1
        elif (new := self.detector.add(alert)) is not None:
            self.gossip.append(new, source, now)
            if self._alerted is not None:
                for word in self.detector.parted(new):
                    self._alerted(self.configuration, word)

    def _evaluate(self, now: float) -> None:
        """Look at the tallies anew: watch the unstable, propose when there are none."""
        if self.detector.empty or self.decided is not None:
            return
        if self.proposal is None:
            inferred = self.detector.implicit
            self.proposal = self.detector.propose()
            self._stats["implicit alerts"] += self.detector.implicit - inferred
            if self.proposal is not None:
                self._stats["fresh beginnings proposed"] += self.proposal.size == 0
                self._propose(self.proposal, now)
        for tally in self.detector.take_unstable():
            self._unstable_since[tally] = now
        if self.proposal is not None or not self.detector.removals_wait:
            self._yield_at = inf
        elif self._yield_at == inf:
            self._yield_at = now + self._settings.batch_limit
        self._recover_early(now)

    def _propose(self, cut: Cut, now: float) -> None:
        self._proposed_at = now
        self._quorum_at = min(self._quorum_at, now + self._settings.quorum_timeout)
        self._learn(cut, None, now)
        self.instance.propose(cut.digest)
        self._recover_at = min(self._recover_at, now + self._patience())
        self._speak(now)

    @property
    def _reinforce_at(self) -> float:
        oldest = next(iter(self._unstable_since.values()), inf)
        return oldest + self._settings.reinforcement_timeout

    def _reinforce(self, now: float) -> None:
        """Paper section 4.2: echo what was unstable for too long, on every edge held here."""
        timeout = self._settings.reinforcement_timeout
        due = takewhile(lambda tally: self._unstable_since[tally] + timeout <= now, self._unstable_since)
        for tally in list(due):
            del self._unstable_since[tally]
            if not self.detector.is_unstable(tally):
                self._reinforced.pop(tally, None)
                continue
            if not self.detector.credible(tally):
                self._stats["words doubted"] += 1
                self.detector.doubt(tally)
                self._reinforced.pop(tally, None)
                continue
            if tally in self._reinforced:
                self._stats["unstable subjects expired"] += 1
                self.detector.expire(tally)
                continue
            self._reinforced[tally] = None
            self._unstable_since[tally] = now
            rings = ring_bits(tally.watchers, self._me) & ~tally.rings
            if rings:
                self._stats["reinforcements"] += 1
                if tally.up:
                    self._observe(tally.subject)
                else:
                    self.alert(tally.subject, Status.DOWN, rings, now, Ground.REINFORCED)
        self._evaluate(now)

    def _yield(self, now: float) -> None:
        """Removals have waited for joiners long enough: those get in with the next view."""
        self._yield_at = inf
        for tally in self.detector.unstable:
            if tally.up:
                self._stats["joiners passed over"] += 1
                self.detector.expire(tally)
        self._evaluate(now)

    # -- agreement

    def _learn(self, cut: Cut, source: Endpoint | None, now: float) -> None:
        if cut.digest in self.bodies:
            return
        if self._problem(cut) is not None:
            self._stats["rejected:proposal does not apply"] += 1
            return
        size = footprint.of_cut(cut)
        wanted = cut.digest == self.instance.decided or cut.digest in self.instance.accepts.values()
        rooms = 2 if wanted else 1
        full = len(self.bodies) >= rooms * PROPOSALS or self._bodies_size + size > rooms * PROPOSALS_ROOM
        if full and source is not None:
            self._stats["dropped:proposal"] += 1
            return
        self._bodies_size += size
        self.bodies[cut.digest] = cut
        self.gossip.append(cut, source, now)
        self.instance.learn(cut.digest)
        self._recover_at = min(self._recover_at, now + self._patience())

    def _speak(self, now: float) -> None:
        """Log what the instance said; start recovery early where the fast round cannot win."""
        said, self.instance.said = self.instance.said, []
        for statement in said:
            if statement.rank == FAST or self._keep(statement.rank):
                self.gossip.append(statement, None, now)
        self._recover_early(now)

    def _recover_early(self, now: float) -> None:
        """Do not wait for a fast round that cannot win: votes are split, or too many members are gone."""
        instance = self.instance
        if not self.bodies or instance.decided is not None or self._recoveries != 0:
            return
        silent = 0
        for endpoint in self.detector.failing:
            index = self.configuration.index(endpoint)
            silent |= 0 if index is None else 1 << index
        going = len(self.proposal.removed) if self.proposal is not None else 0
        hopeless = instance.fast_round_lost(silent) or going > tolerance(self.configuration.size)
        if hopeless and instance.highest_round == FAST.round:
            self._recover_at = min(self._recover_at, now + self._turn() * self._settings.fallback_stagger)

    def _turn(self) -> int:
        """How many members coordinate before this one: ring-0 order, without those that are going."""
        going = set(self.detector.failing)
        if self.proposal is not None:
            going |= {removal.endpoint for removal in self.proposal.removed}
        turn = 0
        for endpoint in self.configuration.endpoints:
            if endpoint == self._me:
                break
            turn += endpoint not in going
        return turn

    def _patience(self) -> float:
        """Until the next round: staggered by turn, then longer each time, with jitter."""
        delay = self._settings.fallback_delay
        growth: float = min(2.0**self._recoveries, 16.0)
        turn = self._turn()
        if turn < TURNS:
            later = turn + self._rng.random()
        else:
            # not all in one moment: each round makes every member speak
            later = TURNS + self._rng.random() * (self.configuration.size / TURNS)
        return delay * growth + later * self._settings.fallback_stagger * growth

    def _postpone_recovery(self, now: float) -> None:
        """Another coordinator is at work: give its round the time of one."""
        if self._recover_at < inf or self.bodies:
            self._recover_at = now + self._patience()

    def _level(self, other: Endpoint) -> None:
        self._stats["exchanges at random"] += 1
        self._send(other, self.gossip.everything(complete=True))

    def _look_for_a_quorum(self, now: float) -> float:
        """Whether this member is with a majority, by those who have answered; returns when to look again."""
        timeout, levelling = self._settings.quorum_timeout, self._levelling
        proposal_expires = self._proposed_at + timeout
        if now >= proposal_expires:
            self.quorum_lost = True
            return inf  # the decision ends it
        if not self.quorum_lost:
            self.quorum_lost = levelling.silence
            levelling.forget()
        elif self.proposal is None and (majority := levelling.majority) is not None:
            self.quorum_lost = not majority
            levelling.forget()
        if self.quorum_lost:
            levelling.begin(now)  # also where it had nobody to draw
        return min(proposal_expires, now + timeout)

    def _problem(self, cut: Cut) -> str | None:
        """Why nobody can have agreed on this cut."""
        if sum(not removal.left for removal in cut.removed) > self._bearable:
            return "it removes some of those who must have agreed"
        return self.configuration.problem(cut)

    def _plausible(self, rank: Rank) -> bool:
        """Whether to take what is said of a classic rank."""
        limit = min(ROUND_LIMIT - 1, self.instance.highest_round + ROUNDS_AHEAD)
        if FAST.round < rank.round <= limit and rank.coordinator < self.configuration.size:
            return self._keep(rank)
        self._stats["rejected:implausible rank"] += 1
        return False

    def _keep(self, rank: Rank) -> bool:
        """Whether this is one of the highest ranks; what is said of others is forgotten."""
        if rank in self._ranks:
            return True
        self._ranks[rank] = None
        if len(self._ranks) <= RANKS:
            return True
        lowest = min(self._ranks)
        del self._ranks[lowest]
        self.instance.forget(lowest)
        self.gossip.forget(lowest)
        self._stats["ranks forgotten"] += 1
        return lowest != rank

    def _consistent(self, promise: Promise) -> bool:
        """Whether there may have been such a last vote: none at all, or one below the rank promised."""
        vrank = promise.vrank
        voted = vrank == FAST or (vrank.round > FAST.round and vrank.coordinator < self.configuration.size)
        if vrank < promise.rank and (voted if promise.digest is not None else vrank == NO_RANK):
            return True
        self._stats["rejected:promise contradicts itself"] += 1
        return False

    def _known_voters(self, voters: int) -> bool:
        if voters and voters >> self.configuration.size == 0:
            return True
        self._stats["rejected:voter is no member"] += 1
        return False
