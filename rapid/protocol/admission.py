"""The observers' side of joining: nobody is reported up before it was reached at its address."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from math import inf

from rapid.detection.alert import Ground
from rapid.overlay import footprint
from rapid.overlay.member import Endpoint, Member
from rapid.settings import Settings

ATTEMPTS = 10
PROBED = 256
"""Joiners that are probed at a time and have not answered; the others wait for their turn. Anyone may ask to
be probed, and each one that is takes a connection."""
ROOM = 32 * 1024 * 1024
"""Bytes for joiners: 16,000 of them, or 10,000 with a kilobyte of metadata each."""


class Joiner:
    """A process that asked this member to observe it."""

    __slots__ = ("answered", "attempts", "at", "ground", "member", "reached", "sponsor", "token", "version")

    def __init__(self, member: Member, version: int, token: Hashable | None) -> None:
        self.member = member
        self.sponsor: Endpoint | None = None
        self.version = version
        self.token = token
        self.answered = False
        self.reached = False
        self.ground = Ground.SILENT
        """Why its probes fail, should they."""
        self.attempts = 0
        self.at = inf

    def replace(self, member: Member) -> None:
        """A newer process is there; it is probed when the older would be, so many in turn are few probes."""
        self.member = member
        self.token = self.sponsor = None
        self.answered = self.reached = False
        self.ground = Ground.SILENT
        self.attempts = 0


class Admission:
    """Probes joiners and calls back: ``probe`` to send one, ``reached``, or ``unreachable`` and why.

    With ``check`` the application is asked, too, whether a joiner that answered is well. Keyed by
    address: a newer process at the same address replaces the older. ``room`` limits how many there are
    at a time, and ``PROBED`` how many are probed. ``due`` is the next time to :meth:`wake`.
    """

    def __init__(
        self,
        settings: Settings,
        probe: Callable[[Member], None],
        reached: Callable[[Joiner], None],
        unreachable: Callable[[Joiner, Ground], None],
        check: Callable[[Member], None] | None = None,
        room: int = ROOM,
    ) -> None:
        self._settings = settings
        self._probe = probe
        self._check = check
        self._reached = reached
        self._unreachable = unreachable
        self._joiners: dict[Endpoint, Joiner] = {}
        self._expected: dict[Endpoint, None] = {}
        """Those whose first probe may still be answered."""
        self._probed: dict[Endpoint, None] = {}
        """Those that are probed, and have not answered yet."""
        self._waiting: dict[Endpoint, None] = {}
        """Those that are to be probed once others have answered, in the order of arrival."""
        self._room = room
        self._heap: list[tuple[float, int, Joiner]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._joiners)

    @property
    def expects_more(self) -> bool:
        """Whether joiners were asked just now, or are about to be, and may answer any moment."""
        return bool(self._expected or self._waiting)

    @property
    def due(self) -> float:
        return self._heap[0][0] if self._heap else inf

    def admit(
        self,
        member: Member,
        version: int,
        token: Hashable | None,
        now: float,
        sponsor: Endpoint | None = None,
    ) -> bool:
        """A joiner asks for the epoch ``version``; asking again refreshes the way back to it.

        False when there is no room for it: nothing has changed then.
        """
        joiner = self._joiners.get(member.endpoint)
        if joiner is None or joiner.member.node_id != member.node_id:
            before = footprint.of_joiner(joiner.member) if joiner is not None else 0
            grown = footprint.of_joiner(member) - before
            if grown > self._room:
                return False
            self._room -= grown
            if joiner is None:
                joiner = self._joiners[member.endpoint] = Joiner(member, version, token)
            else:
                joiner.replace(member)
        joiner.version = version
        joiner.token = token if token is not None else joiner.token
        joiner.sponsor = sponsor or joiner.sponsor
        if joiner.reached:
            self._reached(joiner)
        elif joiner.at == inf and not joiner.answered:
            self._waiting[member.endpoint] = None
            self._begin_waiting(now)
        return True

    def answered(self, endpoint: Endpoint, node_id: bytes, now: float) -> None:
        joiner = self._joiners.get(endpoint)
        if joiner is None or joiner.member.node_id != node_id or joiner.answered:
            return
        joiner.answered = True
        joiner.at = inf
        self._forget_probes(endpoint)
        self._begin_waiting(now)
        if self._check is not None:
            self._check(joiner.member)
        else:
            self._let_in(joiner)

    def refused(self, endpoint: Endpoint) -> None:
        """A connection to this address was refused: it is probed on, but that is why it does not answer."""
        joiner = self._joiners.get(endpoint)
        if joiner is not None:
            joiner.ground = Ground.REFUSED

    def checked(self, endpoint: Endpoint, node_id: bytes, passed: bool, now: float) -> None:
        """The application has found this process well, or not."""
        joiner = self._joiners.get(endpoint)
        if joiner is None or joiner.member.node_id != node_id or not joiner.answered or joiner.reached:
            return
        if passed:
            self._let_in(joiner)
        else:
            self._drop(joiner)
            self._begin_waiting(now)
            self._unreachable(joiner, Ground.UNHEALTHY)

    def _let_in(self, joiner: Joiner) -> None:
        joiner.reached = True
        self._reached(joiner)

    def take(self, version: float, now: float) -> list[Joiner]:
        """Forget those that asked for an epoch before this one; give them in the order of arrival."""
        taken = [joiner for joiner in self._joiners.values() if joiner.version < version]
        for joiner in taken:
            self._drop(joiner)
        self._begin_waiting(now)
        return taken

    def forget(self, endpoint: Endpoint, node_id: bytes, now: float) -> bool | None:
        """This process wants in no longer; whether it was reached, and so stays; None if it is not here."""
        joiner = self._joiners.get(endpoint)
        if joiner is None or joiner.member.node_id != node_id:
            return None
        if not joiner.reached:
            self._drop(joiner)
            self._begin_waiting(now)
        return joiner.reached

    def look_again(self) -> None:
        """Call back with all that were reached: the epoch that they asked for may be there now."""
        for joiner in list(self._joiners.values()):
            if joiner.reached:
                self._reached(joiner)

    def wake(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            at, _, joiner = heappop(self._heap)
            if joiner.at != at or self._joiners.get(joiner.member.endpoint) is not joiner:
                continue
            if joiner.attempts >= ATTEMPTS:
                self._drop(joiner)
                self._begin_waiting(now)
                self._unreachable(joiner, joiner.ground)
                continue
            joiner.attempts += 1
            if joiner.attempts > 1:
                self._expected.pop(joiner.member.endpoint, None)
            self._schedule(joiner, now + self._settings.probe_timeout / 2)
            self._probe(joiner.member)

    def _begin_waiting(self, now: float) -> None:
        """Probe those who wait, as far as there is room."""
        while self._waiting and len(self._probed) < PROBED:
            endpoint = next(iter(self._waiting))
            del self._waiting[endpoint]
            self._probed[endpoint] = self._expected[endpoint] = None
            self._schedule(self._joiners[endpoint], now)

    def _forget_probes(self, endpoint: Endpoint) -> None:
        self._expected.pop(endpoint, None)
        self._probed.pop(endpoint, None)
        self._waiting.pop(endpoint, None)

    def _schedule(self, joiner: Joiner, at: float) -> None:
        joiner.at = at
        self._order += 1
        heappush(self._heap, (at, self._order, joiner))

    def _drop(self, joiner: Joiner) -> None:
        del self._joiners[joiner.member.endpoint]
        self._forget_probes(joiner.member.endpoint)
        self._room += footprint.of_joiner(joiner.member)
