"""What follows from the stored runs: times, counts and costs. Nothing is stored of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from benchmarks.experiments import COLD
from benchmarks.overlay import most_rings
from benchmarks.runs import Moment, Run, Time
from benchmarks.trial import FAULTY
from rapid.errors import RapidError

FAULTS = ("loss-in", "loss-out", "flipflop-in", "flipflop-out")

# -- times of processes, for the distributions


def bootstrap_times(run: Run) -> list[Time]:
    """Of each member, from the release of all until it saw all; never, also when it did not even start."""
    return _times_from(run, "released")


def cold_times(run: Run) -> list[Time]:
    """Of each member, from before the first was started until it saw all; never, as above."""
    return _times_from(run, "started")


def _times_from(run: Run, name: str) -> list[Time]:
    begin = run.at(name)
    if begin is None:
        return [None] * run.nodes
    times = [process.reached(run.nodes, begin.at) for process in run.members()]
    return times + [None] * (run.nodes - len(times))


def crash_times(run: Run) -> list[Time]:
    """Of each survivor, from the kill until it saw the right number; none if it came to no kill."""
    killed = run.at("killed")
    if killed is None:
        return []
    survivors = [process for process in run.members() if process.killed is None]
    return [process.reached(len(survivors), killed.at) for process in survivors]


def fault_times(run: Run) -> list[Time]:
    """Of each that the fault has not struck, from its begin to the first view without the one that it has."""
    struck = run.at("struck")
    if struck is None:
        return []
    (faulty,) = (process.name for process in run.members() if process.role == FAULTY)
    return [
        next((at - struck.at for at, name in process.removals if at >= struck.at and name == faulty), None)
        for process in run.members()
        if process.role != FAULTY
    ]


# -- numbers of a run

Values = dict[str, float]


def bootstrap(run: Run) -> Values:
    """Time of the last; sizes up to the end; costs until all saw all, memory at the end."""
    return _formation(run, "released", bootstrap_times(run))


def bootstrap_cold(run: Run) -> Values:
    """The same, with all that the processes took to start."""
    return _formation(run, "started", cold_times(run))


def _formation(run: Run, name: str, times: Sequence[Time]) -> Values:
    values = _last("seconds until all see all", times)
    begin, formed, settled = run.at(name), run.at("formed"), run.at("settled")
    if begin is not None:
        # the founder may have seen itself before
        values["distinct sizes"] = len(run.sizes(begin.at) | {1})
    if begin is not None and formed is not None:
        values |= _cost(run, name, "formed")
    if settled is not None:
        values |= _memory(run, settled)
    return values


def crash(run: Run) -> Values:
    """Time of the last survivor; what the survivors reported until the end; costs until all agreed."""
    values = _last("seconds until all survivors agree", crash_times(run))
    killed, agreed = run.at("killed"), run.at("agreed")
    if killed is not None:
        survivors = [process for process in run.members() if process.killed is None]
        changes = [sum(at >= killed.at for at, _ in process.views) for process in survivors]
        values["view changes of a survivor, most"] = max(changes)
        values["distinct sizes after"] = len(run.sizes(killed.at))
    if killed is not None and agreed is not None:
        values |= _cost(run, "killed", "agreed")
    return values


def idle(run: Run) -> Values:
    """By member and second, over the window; what a server costs is shared among them."""
    begin, end = run.at("idle"), run.at("settled")
    if begin is None or end is None:
        return {}
    seconds = end.at - begin.at
    values = {"CPU, % of a core": 100 * _cpu(run, "idle", "settled") / seconds / run.nodes}
    values |= _memory(run, end)
    if begin.bytes is not None and end.bytes is not None:
        values["B/s"] = (end.bytes - begin.bytes) / seconds / run.nodes
    if begin.packets is not None and end.packets is not None:
        values["packets/s"] = (end.packets - begin.packets) / seconds / run.nodes
    values["changes of view"] = sum(
        begin.at <= at < end.at for process in run.members() for at, _ in process.views
    )
    return values | _others(run, "idle", "settled")


def churn(run: Run) -> Values:
    """Each restart until all see all again; what the founder, which stays, was told."""
    begin, end, settled = run.at("restart"), run.at("restarted"), run.at("settled")
    if begin is None or end is None or settled is None:
        return {}
    restarts = sum(moment.name == "restart" for moment in run.moments)
    told = [size for at, size in run.members()[0].views if at >= begin.at]
    values = {
        "seconds a restart": (end.at - begin.at) / restarts,
        "views told to the founder, a restart": len(told) / restarts,
        "least size": min([run.nodes, *told]),
    }
    return values | _cost(run, "restart", "restarted")


def fault(run: Run) -> Values:
    """Whom the fault's victim was removed by, and whom else anybody removed, until the end of the run."""
    struck, healed = run.at("struck"), run.at("healed")
    if struck is None or healed is None:
        return {}
    times = fault_times(run)
    (faulty,) = (process for process in run.members() if process.role == FAULTY)
    healthy = [process for process in run.members() if process.role != FAULTY]
    wrong = [name for process in healthy for at, name in process.removals
             if at >= struck.at and name != faulty.name]  # fmt: skip
    by_it = {name for at, name in faulty.removals if at >= struck.at and name != faulty.name}
    removed = sum(time is not None for time in times)
    return {
        "only the faulty one removed, by all (1) or not (0)": float(removed == len(healthy) and not wrong),
        "others that removed it, %": 100 * removed / len(healthy),
        **_last("seconds until all others removed it", times),
        "view changes of another, most": max(
            sum(at >= struck.at for at, _ in process.views) for process in healthy
        ),
        "healthy ones removed by others": len(set(wrong)),
        "these removals, all together": len(wrong),
        "healthy ones removed by the faulty one": len(by_it),
        **_word(run, faulty.name),
        **_cost(run, "struck", "healed"),
    }


def _word(run: Run, faulty: str) -> Values:
    """What the faulty one's word alone was worth, in a cluster of Rapid."""
    if not run.system.startswith("rapid"):
        return {}
    everyone = [process.name for process in run.members()]
    return {"rings it holds of another, most": most_rings(faulty, everyone)}


VALUES: dict[str, Callable[[Run], Values]] = {
    "bootstrap": bootstrap, COLD: bootstrap_cold, "crash": crash, "freeze": crash, "idle": idle,
    "churn": churn,
    **dict.fromkeys(FAULTS, fault),
}  # fmt: skip
TIMES: dict[str, Callable[[Run], list[Time]]] = {
    "bootstrap": bootstrap_times, COLD: cold_times, "crash": crash_times, "freeze": crash_times,
    **dict.fromkeys(FAULTS, fault_times),
}  # fmt: skip


def _last(name: str, times: Sequence[Time]) -> Values:
    """When the last was there, if all were."""
    there = [time for time in times if time is not None]
    return {name: max(there)} if there and len(there) == len(times) else {}


def _cost(run: Run, begin: str, end: str) -> Values:
    """Of all processes together between two moments. Nothing of a simulation."""
    moments = _between(run, begin, end)
    first, last = moments[0], moments[-1]
    values = {}
    if last.cpu:
        values["CPU s, all together"] = _cpu(run, begin, end)
    if first.bytes is not None and last.bytes is not None:
        values["kB, all together"] = (last.bytes - first.bytes) / 1000
    if first.packets is not None and last.packets is not None:
        values["packets, all together"] = last.packets - first.packets
    return values | _others(run, begin, end)


def _between(run: Run, begin: str, end: str) -> list[Moment]:
    """All moments from the first of one name to the first of another."""
    names = [moment.name for moment in run.moments]
    if begin not in names or end not in names:
        raise RapidError(f"a run of {run.experiment} has no moments {begin} and {end}, only {names}")
    return run.moments[names.index(begin) : names.index(end) + 1]


def _cpu(run: Run, begin: str, end: str) -> float:
    """CPU seconds of all processes; of one that starts meanwhile since its start.

    What a process spends between the last moment and its end is not seen.
    """
    return sum(
        used - before.cpu.get(process, 0.0)
        for before, after in pairwise(_between(run, begin, end))
        for process, used in after.cpu.items()
    )


def _memory(run: Run, moment: Moment) -> Values:
    if not moment.memory:
        return {}
    resident, proportional = zip(*moment.memory.values(), strict=True)
    return {
        "RSS, MB a member": sum(resident) / run.nodes / 1e6,
        "PSS, MB a member": sum(proportional) / run.nodes / 1e6,
    }


def _others(run: Run, begin: str, end: str) -> Values:
    """What was spent on anything but the run and reading its output: the less, the better the numbers."""
    moments = _between(run, begin, end)
    first, last = moments[0], moments[-1]
    if first.busy is None or last.busy is None or first.own is None or last.own is None:
        return {}
    foreign = last.busy - first.busy - (last.own - first.own) - _cpu(run, begin, end)
    seconds = (last.at - first.at) * run.origin.cores
    return {"others' CPU, % of the machine": max(0.0, 100 * foreign / seconds)}
