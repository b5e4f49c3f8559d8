"""What processes have used, as Linux counts it under /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.loopback import Traffic, carried

_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process and all that it has started and that still run. CPU seconds since their starts.

    Memory in bytes, None where it was not asked for. ``pss`` is ``rss`` with each shared page divided
    by the number of processes that have it.
    """

    user: float
    system: float
    rss: int | None = None
    pss: int | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything at one instant. ``usage`` is by process group, of those that ran.

    ``busy`` are CPU seconds since boot of the whole machine, ``own`` those of this process, which reads
    what the others print. A moment of a simulation has nothing but its virtual time.
    """

    name: str
    at: float
    traffic: Traffic | None = None
    busy: float | None = None
    own: float | None = None
    usage: dict[int, Usage] = field(default_factory=dict)


def measure(name: str, groups: Iterable[int], *, memory: bool = False) -> Moment:
    """Measure these process groups, and all that is counted for the machine, now.

    Its time is that when the counting is done: what is done next to the processes is done then, and on
    a busy machine it takes some tenths of a second to count a hundred. Memory takes the kernel about a
    millisecond a process, so it is read last, and only on demand.
    """
    traffic, busy, own = carried(), machine_busy(), sum(os.times()[:2])
    wanted = set(groups)
    found: dict[int, list[int]] = {}
    user: dict[int, float] = {}
    system: dict[int, float] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended since
        # the name before it may hold anything, parentheses too
        fields = stat.rpartition(")")[2].split()
        group = int(fields[2])
        if group in wanted:
            found.setdefault(group, []).append(int(entry))
            user[group] = user.get(group, 0.0) + int(fields[11]) * _TICK
            system[group] = system.get(group, 0.0) + int(fields[12]) * _TICK
    at = time.time()
    usage = {}
    for group, processes in found.items():
        rss = pss = None
        if memory:
            sizes = [_memory(process) for process in processes]
            rss, pss = sum(size[0] for size in sizes), sum(size[1] for size in sizes)
        usage[group] = Usage(user[group], system[group], rss, pss)
    return Moment(name, at, traffic, busy, own, usage)


def machine_busy() -> float:
    """CPU seconds that all processors together have spent on anything, or had stolen, since boot."""
    values = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, values)
    return (user + nice + system + irq + softirq + steal) * _TICK


def _memory(process: int) -> tuple[int, int]:
    """RSS and PSS; nothing of a process that has ended since."""
    try:
        text = Path("/proc", str(process), "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    sizes = {}
    for line in text.splitlines()[1:]:
        name, size, *_ = line.split()
        sizes[name] = int(size) * 1024
    return sizes.get("Rss:", 0), sizes.get("Pss:", 0)
