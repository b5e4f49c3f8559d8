"""The same experiments in the simulator, for sizes that no single machine has processes for.

Time is virtual, processors are free: it shows what the protocol needs, and nothing of what a
process costs.
"""

from __future__ import annotations

from benchmarks.experiments import Options, share
from benchmarks.meter import Moment
from benchmarks.store import Process
from benchmarks.trial import FOUNDER, JOINER
from rapid.errors import RapidError
from rapid.simulation import World
from rapid.simulation.scenarios import BOOT, some

Measured = tuple[list[Process], list[Moment]]

SYSTEM = "rapid-simulated"
_CRASH = 60.0
"""Virtual seconds in which the survivors must have agreed."""


def bootstrap(nodes: int, seed: int, options: Options) -> Measured:
    """As :func:`benchmarks.experiments.bootstrap`."""
    world, moments = _formed(nodes, seed)
    world.run(options["settle"])
    moments.append(_moment("settled", world))
    return _processes(world, {}), moments


def crash(nodes: int, seed: int, options: Options) -> Measured:
    """As :func:`benchmarks.experiments.crash`: the hosts go on, and refuse what is sent to the killed."""
    return _lose(nodes, seed, options, silent=False)


def freeze(nodes: int, seed: int, options: Options) -> Measured:
    """As :func:`benchmarks.experiments.freeze`: nothing is refused."""
    return _lose(nodes, seed, options, silent=True)


def _lose(nodes: int, seed: int, options: Options, *, silent: bool) -> Measured:
    world, moments = _formed(nodes, seed)
    world.run(options["settle"])
    victims = some(world, share(nodes, options["part"]))
    killed = world.now
    moments.append(_moment("killed", world))
    world.crash(victims, silent=silent)
    world.expect_agreement(_CRASH)
    moments.append(_moment("agreed", world))
    world.run(options["settle"])
    moments.append(_moment("settled", world))
    return _processes(world, {str(victim): killed for victim in victims}), moments


EXPERIMENTS = {"bootstrap": bootstrap, "crash": crash, "freeze": freeze}


def _formed(nodes: int, seed: int) -> tuple[World, list[Moment]]:
    world = World(seed)
    world.add_members(nodes)
    world.start(world.places[0].endpoint)
    world.expect_agreement(BOOT)
    moments = [_moment("released", world)]
    world.start()
    world.expect_agreement(BOOT)
    moments.append(_moment("formed", world))
    return world, moments


def _moment(name: str, world: World) -> Moment:
    return Moment(name, world.now)


def _processes(world: World, killed: dict[str, float]) -> list[Process]:
    found = []
    for place in world.places:
        if len(place.lives) != 1:
            raise RapidError(f"{place} has had {len(place.lives)} processes in the simulation, not one")
        views = tuple((seen.at, seen.configuration.size) for seen in place.lives[0].views)
        name = str(place.endpoint)
        role = FOUNDER if place.index == 0 else JOINER
        found.append(Process(name, role, 0.0, killed.get(name), place.index, views))
    return found
