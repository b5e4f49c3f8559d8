"""Faults of the network that strike one member: who is removed because of them?

Every process has a network of its own here (:mod:`benchmarks.topology`), so that its packets can be lost
without a word, and nobody else's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from benchmarks.topology import Host
from benchmarks.trial import Trial

PERCENT = 80
"""Of the packets, that are lost in ``loss``."""


class Way(Protocol):
    """In which direction packets are lost: ``towards`` or ``out_of`` of the topology."""

    def __call__(self, *hosts: Host, percent: int = 100) -> str: ...


def loss(way: Way) -> Callable[[Trial, Mapping[str, float]], Awaitable[None]]:
    """Four fifths of the packets are lost, one way, for as long as the option ``fault`` says."""

    async def run(trial: Trial, options: Mapping[str, float]) -> None:
        await _form(trial, options)
        host = trial.strike()
        trial.impose(way(host, percent=PERCENT))
        await trial.wait(options["fault"], f"{PERCENT} % loss")
        await _heal(trial, options)

    return run


def flipflop(way: Way) -> Callable[[Trial, Mapping[str, float]], Awaitable[None]]:
    """All packets are lost, one way, for a ``period``, then none for as long, and so on, for ``fault``."""

    async def run(trial: Trial, options: Mapping[str, float]) -> None:
        await _form(trial, options)
        host = trial.strike()
        left, is_broken = options["fault"], True
        while left > 0:
            trial.impose(*[way(host)] if is_broken else [])
            span = min(options["period"], left)
            await trial.wait(span, "no packet passes" if is_broken else "all packets pass")
            left -= span
            is_broken = not is_broken
        await _heal(trial, options)

    return run


async def _form(trial: Trial, options: Mapping[str, float]) -> None:
    await trial.form()
    await trial.wait(options["settle"], "settling")


async def _heal(trial: Trial, options: Mapping[str, float]) -> None:
    trial.measure("healed")
    trial.impose()
    await trial.wait(options["settle"], "settling")
    trial.measure("settled")
