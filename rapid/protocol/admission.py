"""The observers' side of joining: nobody is reported up before it was reached at its address."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from math import inf

from rapid.overlay.member import Endpoint, Member
from rapid.settings import Settings

ATTEMPTS = 5


class Joiner:
    """A process that asked this member to observe it."""

    __slots__ = ("answered", "attempts", "at", "member", "reached", "token", "version")

    def __init__(self, member: Member, version: int, token: Hashable | None) -> None:
        self.member = member
        self.version = version
        self.token = token
        self.answered = False
        self.reached = False
        self.attempts = 0
        self.at = inf


class Admission:
    """Probes joiners and calls back: ``probe`` to send one, ``reached``, or ``unreachable`` and why.

    With ``check`` the application is asked, too, whether a joiner that answered is well. Keyed by
    address: a newer process at the same address replaces the older. ``due`` is the next time to
    :meth:`wake`.
    """

    def __init__(
        self,
        settings: Settings,
        probe: Callable[[Member], None],
        reached: Callable[[Joiner], None],
        unreachable: Callable[[Joiner, str], None],
        check: Callable[[Member], None] | None = None,
    ) -> None:
        self._settings = settings
        self._probe = probe
        self._check = check
        self._reached = reached
        self._unreachable = unreachable
        self._joiners: dict[Endpoint, Joiner] = {}
        self.due = inf

    def __len__(self) -> int:
        return len(self._joiners)

    def admit(self, member: Member, version: int, token: Hashable | None, now: float) -> None:
        """A joiner asks for the epoch ``version``; asking again refreshes the way back to it."""
        joiner = self._joiners.get(member.endpoint)
        if joiner is None or joiner.member.node_id != member.node_id:
            joiner = self._joiners[member.endpoint] = Joiner(member, version, token)
        joiner.version = version
        joiner.token = token if token is not None else joiner.token
        if joiner.reached:
            self._reached(joiner)
        elif joiner.at == inf and not joiner.answered:
            joiner.at = now
            self.due = min(self.due, now)

    def answered(self, endpoint: Endpoint, node_id: bytes) -> None:
        joiner = self._joiners.get(endpoint)
        if joiner is None or joiner.member.node_id != node_id or joiner.answered:
            return
        joiner.answered = True
        joiner.at = inf
        if self._check is not None:
            self._check(joiner.member)
        else:
            self._let_in(joiner)

    def checked(self, endpoint: Endpoint, node_id: bytes, passed: bool) -> None:
        """The application has found this process well, or not."""
        joiner = self._joiners.get(endpoint)
        if joiner is None or joiner.member.node_id != node_id or not joiner.answered or joiner.reached:
            return
        if passed:
            self._let_in(joiner)
        else:
            del self._joiners[endpoint]
            self._unreachable(joiner, "the prober finds it unwell")

    def _let_in(self, joiner: Joiner) -> None:
        joiner.reached = True
        self._reached(joiner)

    def take_all(self) -> list[Joiner]:
        """Forget every joiner, in the order of arrival: a new epoch has new observers."""
        joiners = list(self._joiners.values())
        self._joiners = {}
        self.due = inf
        return joiners

    def wake(self, now: float) -> None:
        if now < self.due:
            return
        for endpoint, joiner in list(self._joiners.items()):
            if joiner.at > now:
                continue
            if joiner.attempts >= ATTEMPTS:
                del self._joiners[endpoint]
                self._unreachable(joiner, "its probes went unanswered")
                continue
            joiner.attempts += 1
            joiner.at = now + self._settings.probe_timeout / 2
            self._probe(joiner.member)
        self.due = min((joiner.at for joiner in self._joiners.values()), default=inf)
