"""What faults of the network do to thirty processes: those that they strike go, nobody else does."""

from __future__ import annotations

import signal
from typing import Protocol

import pytest

from benchmarks.topology import Host, between, out_of, towards
from rapid.cli.fleet import named

from .conftest import Measured
from .lab import Lab, current, last_words
from .watch import Watch

pytestmark = [pytest.mark.network, pytest.mark.timeout(600)]


class Way(Protocol):
    """In which direction packets are lost."""

    __name__: str

    def __call__(self, *hosts: Host, percent: int = 100) -> str: ...


PLAIN = 4
"""A host whose agent holds at most two of the ten rings of any other."""
HEAVY = 11
"""A host whose agent alone holds three rings of one other: as many as the low watermark."""
PERIOD = 20.0
REMOVAL = 60.0
"""Seconds after which a removal is taken for one that never comes."""
AFTERWARDS = 10.0
"""Seconds for which the fault goes on after the removal, for it to spread if it can."""


async def removed(watch: Watch, table: list[Measured], scenario: str, within: float = REMOVAL) -> None:
    """The struck go, in one or two view changes, and nobody else does, then or later."""
    await watch.until_removed(within)
    lost, starved = watch.lab.network.dropped(), watch.starved
    await watch.lab.throughout(AFTERWARDS, watch.contained)
    remark = f"{lost} packets lost until then" if lost else ""
    table.append(Measured(scenario, watch.seconds, watch.changes, starved, remark))
    watch.agreed()
    assert watch.changes in (1, 2), watch.story()


WAYS = pytest.mark.parametrize("way", [towards, out_of], ids=["towards it", "from it"])


@WAYS
@pytest.mark.parametrize("host", [PLAIN, HEAVY], ids=["plain", "holds three rings of one"])
async def test_four_fifths_are_lost(lab: Lab, way: Way, host: int, table: list[Measured]) -> None:
    watch = Watch(lab, [lab.agents[host]])
    lab.impose(way(lab.hosts[host], percent=80))
    await removed(watch, table, f"80 % loss {way.__name__} host {host + 1}")


@WAYS
@pytest.mark.parametrize("members", [5], indirect=True)
async def test_four_fifths_are_lost_in_a_small_cluster(lab: Lab, way: Way, table: list[Measured]) -> None:
    watch = Watch(lab, [lab.agents[2]])
    lab.impose(way(lab.hosts[2], percent=80))
    await removed(watch, table, f"80 % loss {way.__name__} one of five")


@WAYS
async def test_a_one_way_link_that_comes_and_goes(lab: Lab, way: Way, table: list[Measured]) -> None:
    watch = Watch(lab, [lab.agents[PLAIN]])
    for _ in range(2):
        lab.impose(way(lab.hosts[PLAIN]))
        await lab.throughout(PERIOD, watch.contained)
        lab.impose()
        await lab.throughout(PERIOD, watch.contained)
    await removed(watch, table, f"{PERIOD:g} s flip-flop {way.__name__} host {PLAIN + 1}", within=0)


async def test_a_silent_host(lab: Lab, table: list[Measured]) -> None:
    watch = Watch(lab, [lab.agents[PLAIN]])
    lab.impose(towards(lab.hosts[PLAIN]), out_of(lab.hosts[PLAIN]))
    await removed(watch, table, "silent host", within=15)


async def test_a_killed_process(lab: Lab, table: list[Measured]) -> None:
    watch = Watch(lab, [lab.agents[PLAIN]])
    lab.agents[PLAIN].kill()
    await removed(watch, table, "killed process")


async def test_a_process_that_is_stopped_for_a_while(lab: Lab, table: list[Measured]) -> None:
    stopped = lab.agents[PLAIN]
    watch = Watch(lab, [stopped])
    stopped.send(signal.SIGSTOP)
    await lab.throughout(10, watch.contained)
    stopped.send(signal.SIGCONT)
    await lab.until(lambda: stopped.events("evicted"), REMOVAL, lambda: f"it does not know{watch.story()}")
    await removed(watch, table, "stopped for 10 s", within=0)


async def test_a_partition_and_its_end(lab: Lab, table: list[Measured]) -> None:
    many, few = lab.agents[:20], lab.agents[20:]
    watch = Watch(lab, few)
    lab.impose(*between(lab.hosts[:20], lab.hosts[20:]))

    def apart() -> None:
        watch.contained()
        decided = [agent for agent in few if watch.views(agent)]
        assert not decided, f"views of a minority at {named(decided)}{watch.story()}"

    await watch.until_removed(REMOVAL)
    starved = watch.starved
    await lab.throughout(PERIOD, apart)
    told = sum(bool(agent.events("quorum lost")) for agent in few)
    remark = f"{told} of the {len(few)} say that they have lost the quorum"
    table.append(Measured("partition 20|10", watch.seconds, watch.changes, starved, remark))
    assert watch.changes in (1, 2), watch.story()

    afterwards = Watch(lab, few)
    lab.impose()

    def one_again() -> bool:
        watch.contained()
        newest = {(view["version"], view["digest"]) for a in lab.agents if (view := current(a))}
        return not lab.apart() and len(newest) == 1

    def missing() -> str:
        return f"no view of all {len(lab.agents)} at {named(lab.apart())}; {last_words(few)}{watch.story()}"

    await lab.until(one_again, REMOVAL, missing)
    times = [view["t"] - afterwards.since for a in lab.agents if (view := current(a))]
    changes = len(afterwards.views(many[0]))
    table.append(Measured("all one again", (min(times), max(times)), changes, afterwards.starved))
    watch.agreed()
