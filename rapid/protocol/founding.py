"""Who founds the cluster when nobody is in one: one of the seeds, when enough start together."""

from __future__ import annotations

from math import inf

from rapid.overlay.member import Endpoint
from rapid.settings import Settings


class Founding:
    """For ``expected`` processes that start at once: the lowest of the seeds that are seen founds.

    It asks the others first. Each follows one at a time, and founds none while it follows. The
    founder needs followers enough for the expected number, and among them, with itself, a majority
    of the seeds: since two majorities share a seed, there is one founder. A following counts for as
    long as it surely lasts: from when it was asked for. ``seeds`` is the number of seeds, all addresses
    of this process counted as one; ``is_seed``: this process is one of them.
    """

    def __init__(self, me: Endpoint, expected: int, settings: Settings) -> None:
        self.seeds = 0
        self.is_seed = False
        self._me = me
        self._expected = expected
        self._patience = 3 * settings.join_attempt
        self._seen: dict[Endpoint, float] = {}
        self._seen_seeds: dict[Endpoint, None] = {}
        self._followers: dict[Endpoint, float] = {}
        self._leader: Endpoint | None = None
        self._until = -inf

    def saw(self, process: Endpoint, seed: bool, now: float) -> None:
        """A process that is in no cluster either; ``seed``: it answered at a seed's address."""
        self._seen[process] = now
        if seed:
            self._seen_seeds[process] = None

    @property
    def seen(self) -> list[Endpoint]:
        return list(self._seen)

    def aspires(self, now: float) -> bool:
        """Whether this process would found, as far as it sees: then it asks who follows."""
        for process, at in list(self._seen.items()):
            if at + self._patience < now:
                del self._seen[process]
                self._seen_seeds.pop(process, None)
        return (
            self.is_seed
            and len(self._seen) + 1 >= self._expected
            and not self._follows(now)
            and all(self._me < seed for seed in self._seen_seeds)
        )

    def follow(self, process: Endpoint, now: float) -> bool:
        """Another process would found: whether this one follows it."""
        if (self.is_seed and process > self._me) or (self._follows(now) and self._leader != process):
            return False
        self._leader, self._until = process, now + self._patience
        self._followers.clear()
        return True

    def followed(self, process: Endpoint, asked_at: float, now: float) -> bool:
        """A process follows this one, as it was asked to then; whether that makes them enough."""
        if self._follows(now):
            return False
        self._followers[process] = asked_at
        lasting = [follower for follower, at in self._followers.items() if now < at + self._patience]
        seeds = 1 + sum(follower in self._seen_seeds for follower in lasting)
        return len(lasting) + 1 >= self._expected and 2 * seeds > self.seeds

    def _follows(self, now: float) -> bool:
        return now < self._until
