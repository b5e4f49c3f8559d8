"""Clusters in a seeded world with a virtual clock: thousands of members, any faults, every run replayable."""

from rapid.simulation.errors import InvariantViolation, ScenarioError
from rapid.simulation.links import BLACK_HOLE, HEALTHY, LAN, WAN, Distribution, Flap, Link, LongTail, Uniform
from rapid.simulation.process import Life, Seen
from rapid.simulation.size import state_size
from rapid.simulation.world import ANY, World

__all__ = [
    "ANY",
    "BLACK_HOLE",
    "HEALTHY",
    "LAN",
    "WAN",
    "Distribution",
    "Flap",
    "InvariantViolation",
    "Life",
    "Link",
    "LongTail",
    "ScenarioError",
    "Seen",
    "Uniform",
    "World",
    "state_size",
]
