"""An operator's last resort: what is left of a cluster without a quorum goes on as a new one."""

from __future__ import annotations

from math import inf
from random import Random

from rapid.consensus.quorum import classic_quorum
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.acceptance import VERSIONS_AHEAD
from rapid.protocol.messages import Refounded
from rapid.settings import Settings

WINDOW = 4.0
"""Probe timeouts for which the members are asked ..."""
QUORUM_WINDOW = 2.0
"""... and after which a quorum of answers is enough to refuse."""
PACE = 0.25
"""Probe timeouts between two questions to a member that has not answered."""
LAG_FACTOR = 10.0
"""Times its own lag that a member waits longer for the answers."""
REPEATS = 3
"""How often the members of a newer configuration are asked instead, before the question is given up."""
ROUNDS = 20
"""How often the members of the new cluster that were not heard of in it are probed."""
SIZE_PROBED_EACH = 20
"""With more members than this each of them probes those left behind less often."""
DAY = 86400.0
"""Seconds for which members that were left behind are probed."""
INTRODUCTIONS = 5
"""How often a cluster that may come from the same one is told of the new cluster."""
UNKNOWN_LIMIT = 16
"""Such clusters that are remembered."""
NOTICES_LIMIT = 1024
"""Peers of which it is remembered when they were last told."""


def contradiction(word: Refounded, mine: Configuration) -> str | None:
    """Why this cannot have come of what an operator did, or None."""
    theirs = word.configuration
    if theirs.version <= word.version:
        return "refounding that goes back"
    if theirs.version > mine.version + VERSIONS_AHEAD:
        return "implausible version"
    first = theirs.version == word.version + 1
    if first and (word.cluster_id, word.version) == (mine.cluster_id, mine.version):
        # those who answered, and nobody else
        for member in theirs.members:
            if (known := mine.member(member.endpoint)) is None or known.node_id != member.node_id:
                return "refounding with strangers"
    return None


class Refounding:
    """Asks every member of the configuration, repeatedly, whether it is there. ``due``: when to ask next.

    Only the answers of members of this cluster count; those at a later version show that this member
    has to catch up first. With a quorum of answers there is no reason to found anything.
    """

    def __init__(
        self,
        me: Member,
        configuration: Configuration,
        settings: Settings,
        now: float,
        repeats: int = 0,
        *,
        asked_for: bool = True,
    ) -> None:
        self.configuration = configuration
        self._me = me
        self._timeout = settings.probe_timeout
        self._repeats = repeats
        self.asked_for = asked_for
        """Whether an operator waits for the outcome."""
        self._began = now
        self._there: dict[Endpoint, None] = {me.endpoint: None}
        self._ahead: dict[Endpoint, int] = {}
        self._settings = settings
        self.due = now

    def answered(
        self, endpoint: Endpoint, node_id: NodeId, cluster_id: ClusterId | None, version: int
    ) -> None:
        """A process says who it is, and where it stands; its latest word counts."""
        member = self.configuration.member(endpoint)
        if member is None or member.node_id != node_id:
            return
        self._there.pop(endpoint, None)
        self._ahead.pop(endpoint, None)
        if cluster_id == self.configuration.cluster_id:
            if version > self.configuration.version:
                self._ahead[endpoint] = version
            else:
                self._there[endpoint] = None

    def over(self, lag: float, now: float) -> bool:
        """Whether there is nothing to wait for any more; ``lag`` is how late this process is, in seconds."""
        passed, there = now - self._began, len(self._there)
        if there >= classic_quorum(self.configuration.size):
            return there == self.configuration.size or passed >= QUORUM_WINDOW * self._timeout
        return passed >= WINDOW * self._timeout + LAG_FACTOR * lag

    def ask(self, now: float) -> list[Member]:
        """The members to ask now: all that have not answered."""
        early = self._began + QUORUM_WINDOW * self._timeout
        self.due = now + PACE * self._timeout
        if now < early < self.due:
            self.due = early
        return [member for member in self.configuration.members if member.endpoint not in self._there]

    def again(self, configuration: Configuration, now: float) -> Refounding | None:
        """The same question to the members of a newer configuration; None when it was repeated too often."""
        if configuration.cluster_id != self.configuration.cluster_id or self._repeats >= REPEATS:
            return None
        repeats = self._repeats + 1
        return Refounding(
            self._me, configuration, self._settings, now, repeats, asked_for=self.asked_for
        )  # fmt: skip

    def refusal(self) -> str | None:
        """Why nothing may be founded, or None."""
        old, there, ahead = self.configuration, len(self._there), len(self._ahead)
        if there + ahead >= classic_quorum(old.size):
            return (
                f"{there + ahead} of the {old.size} members of version {old.version} answer: they are "
                "a quorum and need no new cluster"
            )
        if ahead:
            endpoint, version = next(iter(self._ahead.items()))
            return (
                f"{endpoint} is at version {version}, and this member is still at version {old.version}: "
                "try again once it has caught up"
            )
        return None

    def outcome(self, cluster_id: ClusterId) -> Configuration:
        """The new cluster: those that answered. Its version is above all that they know of."""
        old = self.configuration
        members = [member for member in old.members if member.endpoint in self._there]
        return Configuration.of(cluster_id, old.version + 1, members, old.k)


class LeftBehind:
    """Members of a replaced cluster of which nothing was heard in the new one. ``due``: when to :meth:`wake`.

    They are probed, so that they are told when they answer: those that belong to the new cluster at once,
    a few times; the others one at a time, as rarely as seeds are, for a day.
    """

    def __init__(self, settings: Settings, rng: Random) -> None:
        self._settings = settings
        self._rng = rng
        self._waiting: dict[Endpoint, None] = {}
        self._urgent: dict[Endpoint, None] = {}
        self._founded: Configuration | None = None
        """What this member has told those who are urgent of."""
        self._strangers: dict[Endpoint, None] = {}
        """Others at the addresses of those left behind."""
        self._rounds = 0
        self._rare_at = inf
        self._urgent_at = inf
        self._ends = -inf

    @property
    def due(self) -> float:
        return min(self._rare_at, self._urgent_at)

    def __contains__(self, endpoint: object) -> bool:
        return endpoint in self._waiting or endpoint in self._strangers

    def begin(
        self, me: Endpoint, old: Configuration, new: Configuration, now: float, *, urgent: bool
    ) -> None:
        """The cluster of ``old`` was replaced. ``urgent``: by this member, which has told all in ``new``."""
        self._waiting |= dict.fromkeys(endpoint for endpoint in old.endpoints if endpoint != me)
        self._urgent = dict.fromkeys(e for e in new.endpoints if e != me) if urgent else {}
        self._founded = new if urgent else None
        self._rounds = 0
        self._ends = now + DAY
        self._rare_at = now + self._pause(new.size) if self._waiting else inf
        self._urgent_at = now + self._settings.probe_timeout / 2 if self._urgent else inf

    def heard(self, endpoint: Endpoint) -> None:
        """A member of the new cluster is at this address."""
        self._waiting.pop(endpoint, None)
        self._urgent.pop(endpoint, None)
        self._strangers.pop(endpoint, None)

    def give_up(self, endpoint: Endpoint) -> None:
        """Who is at this address has nothing to do with either cluster."""
        if endpoint in self._waiting:
            self.heard(endpoint)
            self._strangers[endpoint] = None

    def wake(self, size: int, now: float) -> list[Endpoint]:
        """Whom to probe now; ``size`` is the number of members that do."""
        chosen: list[Endpoint] = []
        if now >= self._urgent_at:
            self._rounds += 1
            chosen = list(self._urgent)
            on = bool(chosen) and self._rounds < ROUNDS
            self._urgent_at = now + self._settings.probe_timeout / 2 if on else inf
        if now >= self._rare_at:
            on = bool(self._waiting) and now < self._ends
            self._rare_at = now + self._pause(size) if on else inf
            if on:
                chosen.append(self._rng.choice(list(self._waiting)))
        return list(dict.fromkeys(chosen))

    def take_failed(self) -> Configuration | None:
        """The new cluster, once, if too few have followed into it to agree on anything."""
        founded = self._founded
        if founded is None or self._urgent_at != inf:
            return None
        self._founded = None
        return founded if founded.size - len(self._urgent) < classic_quorum(founded.size) else None

    def close(self) -> None:
        self._rare_at = self._urgent_at = inf

    def _pause(self, size: int) -> float:
        crowd = max(1.0, size / SIZE_PROBED_EACH)
        return self._settings.outreach_interval * crowd * (0.5 + self._rng.random())


class Notices:
    """To whom the new cluster was announced lately: a peer is told at most once in a while."""

    def __init__(self, settings: Settings) -> None:
        self._pause = PACE * settings.probe_timeout
        self._told: dict[Endpoint, float] = {}
        self._unknown: dict[ClusterId, int] = {}

    def due(self, peer: Endpoint, now: float) -> bool:
        """Whether to tell this peer now."""
        told = self._told
        while (first := next(iter(told), None)) is not None and told[first] + self._pause <= now:
            del told[first]
        if peer in told or len(told) >= NOTICES_LIMIT:
            return False
        told[peer] = now
        return True

    def may_be_related(self, cluster_id: ClusterId) -> bool:
        """Whether this cluster has not been told often enough yet to have answered, if it were related."""
        return self._unknown.get(cluster_id, 0) < INTRODUCTIONS

    def introduced(self, cluster_id: ClusterId) -> None:
        """A member of that cluster was told."""
        count = self._unknown.pop(cluster_id, 0) + 1
        self._unknown[cluster_id] = count
        if len(self._unknown) > UNKNOWN_LIMIT:
            del self._unknown[next(iter(self._unknown))]
