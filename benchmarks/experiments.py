"""What is done with a cluster, the same for every system. docs/benchmarks.md tells it to users."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.faults import flipflop, loss
from benchmarks.peers.fleet import Agent
from benchmarks.topology import out_of, towards
from benchmarks.trial import RESTARTED, Trial

Options = Mapping[str, float]

COLD = "bootstrap-cold"
"""What ``bootstrap`` is with ``--cold``. A name of its own, so that no table or figure has both."""


class Experiment(NamedTuple):
    """``options`` are those that change what is measured: results of different ones are kept apart.

    With ``networks`` each process has a network of its own, which takes root.
    """

    what: str
    run: Callable[[Trial, Options], Awaitable[None]]
    options: tuple[str, ...]
    networks: bool = False


def share(nodes: int, part: float) -> int:
    """So many of the members, at least one."""
    return max(1, round(nodes * part))


async def bootstrap(trial: Trial, options: Options) -> None:
    """All join at once. Then some time passes, in which nothing should change any more."""
    await trial.form()
    await trial.wait(options["settle"], "settling")
    trial.measure("settled", memory=True)


async def bootstrap_cold(trial: Trial, options: Options) -> None:
    """The same, but the processes are started at once, too, and how long they take to start counts."""
    await trial.form_cold()
    await trial.wait(options["settle"], "settling")
    trial.measure("settled", memory=True)


async def crash(trial: Trial, options: Options) -> None:
    """A share of the members is killed at once; until all others have a view of the right size."""
    await _lose(trial, options, trial.kill)


async def freeze(trial: Trial, options: Options) -> None:
    """The same, but they fall silent, as when their hosts die; connections to them are not refused."""
    await _lose(trial, options, trial.freeze)


async def _lose(trial: Trial, options: Options, how: Callable[[Sequence[Agent]], None]) -> None:
    await trial.form()
    await trial.wait(options["settle"], "settling")
    victims = trial.random.sample(trial.joiners, share(trial.nodes, options["part"]))
    trial.measure("killed")
    how(victims)
    await trial.agree(trial.nodes - len(victims))
    trial.measure("agreed")
    await trial.wait(options["settle"], "settling")
    trial.measure("settled")


async def idle(trial: Trial, options: Options) -> None:
    """Nothing happens for a while: what does that cost?"""
    await trial.form()
    await trial.wait(options["settle"], "settling")
    trial.measure("idle")
    await trial.wait(options["window"], "idle")
    trial.measure("settled", memory=True)


async def churn(trial: Trial, options: Options) -> None:
    """One joiner after another leaves and is started again at its address, as a rolling restart does it."""
    await trial.form()
    await trial.wait(options["settle"], "settling")
    for agent in trial.joiners[: int(options["restarts"])]:
        trial.measure("restart")
        await trial.stop(agent)
        again = await trial.start(agent.name, RESTARTED)
        await trial.until(lambda agent: agent.is_ready, [again], "not ready")
        again.release()
        await trial.agree(trial.nodes)
    trial.measure("restarted")
    await trial.wait(options["settle"], "settling")
    await trial.agree(trial.nodes)
    trial.measure("settled")


EXPERIMENTS = {
    "bootstrap": Experiment("N processes join at once", bootstrap, ("settle",)),
    COLD: Experiment("N processes are started at once, and join", bootstrap_cold, ("settle",)),
    "crash": Experiment("some of them are killed", crash, ("settle", "part")),
    "freeze": Experiment("some of them fall silent", freeze, ("settle", "part")),
    "idle": Experiment("nothing happens", idle, ("settle", "window")),
    "churn": Experiment("a rolling restart", churn, ("settle", "restarts")),
    "loss-in": Experiment("one loses 80 % of what is sent to it", loss(towards), ("settle", "fault"), True),
    "loss-out": Experiment("one loses 80 % of what it sends", loss(out_of), ("settle", "fault"), True),
    "flipflop-in": Experiment(
        "nothing reaches one, now and then", flipflop(towards), ("settle", "fault", "period"), True
    ),
    "flipflop-out": Experiment(
        "nothing comes from one, now and then", flipflop(out_of), ("settle", "fault", "period"), True
    ),
}
GROUPS = {
    "all": tuple(EXPERIMENTS),
    "loss": ("loss-in", "loss-out"),
    "flipflop": ("flipflop-in", "flipflop-out"),
}
"""Names for several at once."""
