"""Which kind of random world a seed stands for, and running it."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rapid.protocol.node import Node
from rapid.simulation.forcing import BESIDE_FORCING, FORCING, Forcing
from rapid.simulation.intruder import INTRUDER, Intruder
from rapid.simulation.left_behind import LEFT_BEHIND, LeftBehind
from rapid.simulation.merging import MERGING, Merging
from rapid.simulation.mistaken import MISTAKEN, Mistaken
from rapid.simulation.one_faulty import BESIDE_ONE_FAULTY, ONE_FAULTY, OldFaults, OneFaulty
from rapid.simulation.outcome import Outcome
from rapid.simulation.random_world import RandomWorld
from rapid.simulation.recycled import RECYCLED, Recycled
from rapid.simulation.swarm import FAULTS, PATHS, Reduced, Swarm

TURNS: dict[int, type[RandomWorld]] = {
    2: OneFaulty, 4: OneFaulty, 14: OneFaulty, 24: OneFaulty, 34: OneFaulty, 36: OldFaults,
    7: Merging, 17: Merging, 27: Merging, 9: Forcing, 19: Forcing, 29: Forcing,
    5: Reduced, 25: Reduced, 12: LeftBehind, 32: LeftBehind, 33: Mistaken, 37: Recycled,
    39: Intruder,
}  # fmt: skip
"""Of each forty seeds, those whose worlds are not simply a :class:`Swarm`."""
OCCURRENCES = (
    *FAULTS, "stays down", *ONE_FAULTY, *BESIDE_ONE_FAULTY, *MERGING, *FORCING, *BESIDE_FORCING, *LEFT_BEHIND,
    *RECYCLED, *INTRUDER, *MISTAKEN,
)  # fmt: skip
"""All faults of all kinds of worlds, by name."""


def kind_of(seed: int) -> type[RandomWorld]:
    return TURNS.get(seed % 40, Swarm)


def run_seed(seed: int, *, make_node: Callable[..., Node] = Node, canary: bool = False) -> Outcome:
    """One world from beginning to end."""
    with _collected_at_the_end():
        return kind_of(seed)(seed, make_node=make_node, canary=canary).run()


@contextmanager
def _collected_at_the_end() -> Iterator[None]:
    """A world is small and nearly all of it lives to its end: looking for garbage meanwhile finds little.

    What is young then is the world, so that alone is looked through.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        if enabled:
            gc.enable()


def never_occurred(stats: Counter[str], faults: Counter[str]) -> list[str]:
    """The faults and paths of the protocol that a whole run did not meet once."""
    return [name for name in OCCURRENCES if not faults[name]] + [path for path in PATHS if not stats[path]]
