"""The multi-node cut detector (paper section 4.2): from alerts about edges to one proposed cut."""

from __future__ import annotations

from math import inf

from rapid.detection.alert import Alert, Status
from rapid.overlay import footprint
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, Removal
from rapid.overlay.member import Endpoint, Member, NodeId

UP, LEAVING, WITHDRAWN = Status.UP, Status.LEAVING, Status.WITHDRAWN
"""To reach an enum's member by its class takes a call before Python 3.12."""
Process = tuple[Endpoint, NodeId]

ROOM = 32 * 1024 * 1024
"""Bytes for what is told of joiners: 16,000 of them, or 10,000 with a kilobyte of metadata each."""


class Tally:
    """The rings on which one process was reported, and how."""

    __slots__ = (
        "doubted", "down", "expired", "inferred", "leaving", "observers", "reported", "revisions", "subject",
        "up", "watchers",
    )  # fmt: skip

    def __init__(self, subject: Member, up: bool, watchers: tuple[Endpoint, ...]) -> None:
        self.subject = subject
        self.up = up
        self.watchers = watchers
        self.observers = {} if up else rings_by_watcher(watchers)
        """Each observer of a member, with the bitmap of the rings that it holds."""
        self.reported = 0
        """The rings whose observer has ever reported it, as UP or DOWN."""
        self.down = 0
        """Those of them whose report was not withdrawn since."""
        self.revisions: dict[int, int] | None = None
        """The revision of each ring's report, where it is not 0; None where all are."""
        self.leaving = 0
        self.inferred = 0
        self.expired = False
        self.doubted = False

    @property
    def rings(self) -> int:
        """The rings on which it is reported now."""
        return self.down | self.leaving

    @property
    def covered(self) -> int:
        """The rings that count: reported, or inferred from the state of the observer."""
        return self.down | self.leaving | self.inferred

    @property
    def reporters(self) -> set[Endpoint]:
        """The observers that report it themselves: what is inferred is nobody's report."""
        rings = self.down | self.leaving
        return {watcher for ring, watcher in enumerate(self.watchers) if rings >> ring & 1}

    def news(self, alert: Alert) -> int:
        """The rings of an alert for which it supersedes what is known."""
        if alert.status is LEAVING:
            return alert.rings & ~self.leaving
        new = alert.rings & ~self.reported
        if alert.revision:
            known, revisions = alert.rings & self.reported, self.revisions or {}
            for ring in range(known.bit_length()):
                if known >> ring & 1 and revisions.get(ring, 0) < alert.revision:
                    new |= 1 << ring
        return new

    def record(self, alert: Alert, new: int) -> None:
        """Take over these rings of an alert."""
        if alert.status is LEAVING:
            self.leaving |= new
            return
        self.reported |= new
        self.down = self.down & ~new if alert.status is WITHDRAWN else self.down | new
        if alert.revision:
            self.revisions = self.revisions or {}
            for ring in range(new.bit_length()):
                if new >> ring & 1:
                    self.revisions[ring] = alert.revision


class CutDetector:
    """Tallies alerts of one configuration and proposes a cut once nothing is unstable.

    A subject reported on at least ``h`` rings, by more than one observer if it has more, is stable; else on
    ``l`` rings or more unstable, and then it blocks every proposal; on fewer, noise. So is the report
    of a single observer that is to be removed itself. Built anew for each configuration.

    Whether a member has more than one reporter is a matter of real reports: what is inferred here counts
    as a ring, never as a witness. So one faulty observer removes nobody, whatever it reports.

    At most ``bearable`` members are proposed as failed, any number by default. When more seem to
    have, then whoever would agree to that is among them: the alerts are from a time that is over, and
    the proposal is to begin afresh, with the same members.

    Peers may tell of joiners that do not exist: ``room`` limits how many are believed.
    """

    def __init__(
        self,
        configuration: Configuration,
        h: int,
        l: int,  # noqa: E741 - the paper's name
        bearable: int | None = None,
        room: int = ROOM,
    ) -> None:
        self._configuration = configuration
        self._bearable = inf if bearable is None else bearable
        self._h = h
        self._l = l
        self._room = room
        self._tallies: dict[Process, Tally] = {}
        self._unstable: dict[Process, None] = {}
        self._stable: dict[Process, None] = {}
        self._suspects: dict[Process, None] = {}
        """The members reported on ``l`` rings or more."""
        self._candidates: dict[Process, None] = {}
        """The joiners reported on ``l`` rings or more."""
        self._inferring = False
        """Whether anything was inferred when that was last looked at."""
        self._restless: list[Tally] = []
        self._reported: dict[Endpoint, int] = {}
        """On how many rings a member was reported as failed, by others' words and not by inference."""
        self._joiners: dict[Endpoint, None] = {}
        """Addresses at which members have let somebody in."""
        self._changed = False
        self._proposal: Cut | None = None
        self.implicit = 0
        """Ring reports that were inferred instead of received."""

    def expects(self, endpoint: Endpoint) -> bool:
        """Whether a joiner at this address was reported."""
        return endpoint in self._joiners

    def knows(self, alert: Alert) -> bool:
        """Whether this alert counts, and nothing of it is new: so it is with most that arrive."""
        subject = alert.subject
        tally = self._tallies.get((subject.endpoint, subject.node_id))
        if tally is None or tally.up is not (alert.status is UP):
            return False
        rings, observer = alert.rings, alert.observer
        if not rings or tally.news(alert):
            return False
        return observer is None or not rings & ~ring_bits(tally.watchers, observer)

    def problem(self, alert: Alert) -> str | None:
        """Why an alert does not count in this configuration, or None when it does."""
        configuration, subject = self._configuration, alert.subject
        if alert.observer is not None and alert.observer not in configuration:
            return "observer is no member"
        member = configuration.member(subject.endpoint)
        same = member is not None and member.node_id == subject.node_id
        up = alert.status is UP
        tally = self._tallies.get((subject.endpoint, subject.node_id))
        if up and same:
            return "joiner is a member already"
        if not up and not same:
            return "subject is no member"
        if (alert.status is WITHDRAWN) is not bool(alert.revision % 2):
            return "revision contradicts its status"
        if alert.revision and alert.status in (UP, LEAVING):
            return "only what is down can be withdrawn"
        if up and tally is None and footprint.of_joiner(subject) > self._room:
            return "too many joiners"
        if alert.observer is None:
            held = (1 << configuration.k) - 1
        else:
            watchers = tally.watchers if tally is not None else self._watchers(subject.endpoint, up)
            held = ring_bits(watchers, alert.observer)
        if not alert.rings or alert.rings & ~held:
            return "observer does not hold these rings"
        return None

    def add(self, alert: Alert) -> Alert | None:
        """Record a valid alert; give what of it was new, or None when nothing was.

        A joiner is described as it was the first time.
        """
        up = alert.status is UP
        process = (alert.subject.endpoint, alert.subject.node_id)
        tally = self._tallies.get(process)
        if tally is None:
            subject = alert.subject
            if up:
                self._room -= footprint.of_joiner(subject)
                self._joiners[subject.endpoint] = None
            elif subject.metadata:
                subject = Member(*process)
            tally = self._tallies[process] = Tally(subject, up, self._watchers(subject.endpoint, up))
        new = tally.news(alert)
        if not new:
            return None
        tally.record(alert, new)
        if not up:
            self._reported[process[0]] = (tally.down & ~tally.leaving).bit_count()
        self._changed = True
        self._place(process, tally)
        return alert._replace(subject=tally.subject, rings=new)

    def parted(self, alert: Alert) -> list[Alert]:
        """The reports of each observer in a valid alert, by itself."""
        if alert.observer is not None:
            return [alert]
        watchers = self._watchers(alert.subject.endpoint, alert.status is UP)
        parts = ((watcher, ring_bits(watchers, watcher) & alert.rings) for watcher in dict.fromkeys(watchers))
        return [alert._replace(observer=watcher, rings=rings) for watcher, rings in parts if rings]

    def rings_reported(self, process: Process) -> int:
        """The bitmap of rings on which this process was reported, implicit reports included."""
        tally = self._tallies.get(process)
        return tally.covered if tally else 0

    @property
    def unstable(self) -> list[Tally]:
        """The subjects between the watermarks, oldest first."""
        return [self._tallies[process] for process in self._unstable]

    def is_unstable(self, tally: Tally) -> bool:
        return (tally.subject.endpoint, tally.subject.node_id) in self._unstable

    def take_unstable(self) -> list[Tally]:
        """The subjects that have become unstable since the last call."""
        restless, self._restless = self._restless, []
        return restless

    def expire(self, tally: Tally) -> None:
        """This unstable subject has blocked for too long, though all who observe it could speak.

        Who is still silent is gone too. A member is taken as failed then; a joiner as not there.
        """
        tally.expired = self._changed = True
        self._place((tally.subject.endpoint, tally.subject.node_id), tally)

    def corroborated(self, tally: Tally) -> bool:
        """Whether more than one observer reports it, or there is only one; a joiner needs no other.

        In a small cluster one alone may hold ``l`` rings of a subject, or even ``h``. There is only one
        observer in a cluster of two, or with one ring.
        """
        if tally.up:
            return True
        rings, reporters = tally.down | tally.leaving, 0
        for held in tally.observers.values():
            if rings & held:
                reporters += 1
                if reporters > 1:
                    return True
        return reporters == len(tally.observers)

    def is_stable(self, subject: Member) -> bool:
        """Whether this process is to be part of the next cut, as far as is known here."""
        return (subject.endpoint, subject.node_id) in self._stable

    def credible(self, tally: Tally) -> bool:
        """Whether to act on these reports though they are not enough yet; see :meth:`doubt`.

        More than one observer must report a member, and on ``l`` rings such as are reported on fewer.
        """
        return self.corroborated(tally) and self._stands(tally)

    def doubt(self, tally: Tally) -> None:
        """These reports have found no others for so long: they count no more until they do."""
        tally.doubted = self._changed = True
        self._place((tally.subject.endpoint, tally.subject.node_id), tally)

    @property
    def failing(self) -> list[Endpoint]:
        """The members that seem to have failed: at or past the low watermark, and not by leaving."""
        groups = (self._stable, self._unstable)
        tallies = [self._tallies[process] for group in groups for process in group]
        return [t.subject.endpoint for t in tallies if not t.up and not t.leaving]

    @property
    def removals_wait(self) -> bool:
        """Whether a member is to go, and something unstable holds that up."""
        return bool(self._unstable) and any(not self._tallies[process].up for process in self._stable)

    @property
    def changing(self) -> bool:
        """Whether any subject is unstable or stable: there will be another configuration before long."""
        return bool(self._unstable or self._stable)

    @property
    def empty(self) -> bool:
        return not self._tallies

    def propose(self) -> Cut | None:
        """The cut of all stable subjects, or None while there is none or something is unstable."""
        if self._changed:
            self._changed = False
            self._proposal = self._proposed()
        return self._proposal

    def _proposed(self) -> Cut | None:
        if self._suspects or self._inferring:
            self._infer()
        if self._blocked() or not self._stable:
            return None
        tallies = [self._tallies[process] for process in self._stable]
        removed = [
            Removal(t.subject.endpoint, t.subject.node_id, 2 * t.leaving.bit_count() > t.rings.bit_count())
            for t in tallies
            if not t.up
        ]
        if sum(not removal.left for removal in removed) > self._bearable:
            return Cut.of()
        freed = {removal.endpoint for removal in removed}
        joined: dict[Endpoint, Member] = {}
        for tally in tallies:
            endpoint = tally.subject.endpoint
            if not tally.up or (endpoint in self._configuration and endpoint not in freed):
                continue
            other = joined.get(endpoint)  # two lives of one address in one epoch: all pick the same
            if other is None or tally.subject.node_id < other.node_id:
                joined[endpoint] = tally.subject
        return Cut.of(removed, joined.values()) if removed or joined else None

    def _blocked(self) -> bool:
        """Whether something is unstable, other than by the only report of one that is to go itself."""
        lone: set[Endpoint] = set()
        for process in self._unstable:
            tally = self._tallies[process]
            if self.corroborated(tally):
                return True
            lone |= tally.reporters
        going = {process[0] for process in self._stable if not self._tallies[process].up} if lone else set()
        return not lone <= going

    def _stands(self, tally: Tally) -> bool:
        """Whether ``l`` rings are reported by observers that are reported on fewer rings themselves.

        Of a joiner, and of a member that leaves, they only pass the word on.
        """
        if tally.up:
            return True
        trusted, rings, accused = tally.leaving, tally.down | tally.leaving, self._reported
        count = rings.bit_count()
        for watcher, held in tally.observers.items():
            if rings & held and accused.get(watcher, 0) < count:
                trusted |= rings & held
        return trusted.bit_count() >= self._l

    def _watchers(self, endpoint: Endpoint, up: bool) -> tuple[Endpoint, ...]:
        """Who reports this subject on each ring."""
        return self._configuration.subjects(endpoint) if up else self._configuration.observers(endpoint)

    def _place(self, process: Process, tally: Tally) -> None:
        """Sort a subject anew: noise, unstable or stable."""
        reported = tally.rings.bit_count()
        past_low = self._candidates if tally.up else self._suspects
        if reported >= self._l:
            past_low[process] = None
        else:
            past_low.pop(process, None)
            tally.inferred = 0
        count, sure = tally.covered.bit_count(), self.corroborated(tally)
        if (count >= self._h and sure) or (tally.expired and not tally.up):
            self._unstable.pop(process, None)
            self._stable[process] = None
            return
        self._stable.pop(process, None)
        if tally.expired or count < self._l or (tally.doubted and not self.credible(tally)):
            self._unstable.pop(process, None)
        elif process not in self._unstable:
            self._unstable[process] = None
            self._restless.append(tally)

    def _infer(self) -> None:
        """Implicit alerts: an edge whose both ends are past the low watermark counts as reported.

        A member counts so only if its reports are credible. Where one observer alone reports it, or such as
        are reported on as many rings, it is they who hear nothing: nothing is inferred of that member, nor
        from it. So what is inferred follows from what is reported now, in whatever order it came.
        """
        tallies = self._tallies
        gone = {process[0] for process in self._suspects if self.credible(tallies[process])}
        self._inferring = False
        for process in [*self._suspects, *self._candidates]:
            tally = tallies[process]
            inferred, rings = 0, tally.down | tally.leaving
            if gone and (tally.up or process[0] in gone) and rings.bit_count() < self._h:
                observers = tally.observers or rings_by_watcher(tally.watchers)
                for observer, held in observers.items():
                    if observer in gone:
                        inferred |= held
                inferred &= ~rings
            self._inferring |= inferred > 0
            self.implicit += (inferred & ~tally.inferred).bit_count()
            if inferred != tally.inferred or tally.doubted:
                tally.inferred = inferred
                self._place(process, tally)


def rings_by_watcher(watchers: tuple[Endpoint, ...]) -> dict[Endpoint, int]:
    """Each of the watchers once, with the bitmap of the rings on which it watches."""
    held: dict[Endpoint, int] = {}
    for ring, watcher in enumerate(watchers):
        held[watcher] = held.get(watcher, 0) | 1 << ring
    return held


def ring_bits(watchers: tuple[Endpoint, ...], observer: Endpoint) -> int:
    """The bitmap of the rings on which ``observer`` is the watcher."""
    bits = 0
    for ring, watcher in enumerate(watchers):
        if watcher == observer:
            bits |= 1 << ring
    return bits
