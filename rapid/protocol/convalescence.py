"""After an eviction: is this process fit to be a member again?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from random import Random

from rapid.overlay.member import Endpoint
from rapid.settings import Settings

ROUNDS = 5
FIT = 0.75
"""The share of probes that those must have answered who answered at all: the others may be gone.

The judge bears failures of nearly 40 %: this must bear fewer.
"""


WAYS_BACK = 8
"""Members of the last view that an evicted process asks besides its seeds."""


def ways_back(
    me: Endpoint, seeds: Sequence[Endpoint], known: Sequence[Endpoint], removed_with: Sequence[Endpoint],
    rng: Random,
) -> list[Endpoint]:  # fmt: skip
    """Whom an evicted process asks: the seeds, some of the last view, and some that were removed with it."""
    ways = list(seeds)
    in_view = frozenset(known)
    for group in (known, [endpoint for endpoint in removed_with if endpoint not in in_view]):
        others = [endpoint for endpoint in group if endpoint != me and endpoint not in ways]
        ways += rng.sample(others, min(len(others), WAYS_BACK))
    return ways


class Convalescence:
    """Probes others as observers would, until nearly all answer; then ``well`` is called, once.

    A process whose links are still bad would be let in and thrown out again and again, and every
    time all members would have to change their view. ``ways`` gives whom to probe. The longer it
    takes, the rarer the tries. ``look_up`` is called before each try: the seeds may have moved. ``due``:
    when to :meth:`wake`; ``reason``: why it takes so long.
    """

    def __init__(
        self,
        settings: Settings,
        now: float,
        pause: float,
        ways: Callable[[], Sequence[Endpoint]],
        probe: Callable[[Endpoint, int], None],
        well: Callable[[], None],
        look_up: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._ways = ways
        self._probe = probe
        self._well = well
        self._look_up = look_up
        self.reason = "its probes have not been answered yet"
        self._pause = pause
        self._rounds = 0
        self._chosen: Sequence[Endpoint] = ()
        self._sequence = 0
        self._asked: dict[int, Endpoint] = {}
        self._answers: dict[Endpoint, int] = {}
        self.due = now + pause
        look_up()

    def answered(self, sequence: int) -> None:
        way = self._asked.pop(sequence, None)
        if way is not None:
            self._answers[way] = self._answers.get(way, 0) + 1

    def wake(self, now: float) -> None:
        if now < self.due:
            return
        timeout = self._settings.probe_timeout
        if self._rounds < ROUNDS:
            if not self._rounds:
                self._chosen = self._ways()
            self._rounds += 1
            for way in self._chosen:
                self._sequence += 1
                self._asked[self._sequence] = way
                self._probe(way, self._sequence)
            self.due = now + (timeout if self._rounds == ROUNDS else timeout / 2)
            return
        if self._answers and sum(self._answers.values()) >= FIT * ROUNDS * len(self._answers):
            self.due = inf
            self._well()
            return
        self.reason = self._unfit()
        self._look_up()
        self._rounds = 0
        self._answers.clear()
        self._asked.clear()
        self.due = now + self._pause
        self._pause = min(2 * self._pause, 10 * self._settings.probe_interval)

    def _unfit(self) -> str:
        """What the last try has shown."""
        asked = ", ".join(map(str, self._chosen))
        if not self._chosen:
            return "no seed and no other member is known"
        if not self._answers:
            return f"none of these answers: {asked}"
        answered, sent = sum(self._answers.values()), ROUNDS * len(self._answers)
        who = ", ".join(map(str, self._answers))
        return f"only {answered} of {sent} probes to {who} were answered, too few for a member"
