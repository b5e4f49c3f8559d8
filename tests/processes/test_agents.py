"""Clusters of real processes: they join, crash, leave and come back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from rapid.cli.fleet import Fleet
from rapid.cli.processes import Overdue

from .forming import LAN, LOCAL, differences, form, until, until_all_see

EXAMPLE = Path(__file__).parents[2] / "examples" / "follow_views.py"


async def test_five_join(fleet: Fleet) -> None:
    agents = await form(fleet, 5)
    last = [agent.views[-1] for agent in agents]
    assert len({(view["cluster_id"], view["version"], view["digest"]) for view in last}) == 1
    assert differences(fleet) == []
    joined = [endpoint for view in agents[0].views for endpoint in view["joined"]]
    assert sorted(joined) == sorted(map(str, agents))
    for agent in agents[1:]:
        assert str(agent) in agent.views[0]["joined"]


async def test_one_of_two_crashes_and_the_other_alone_decides_nothing(fleet: Fleet) -> None:
    survivor, victim = await form(fleet, 2)
    version = survivor.views[-1]["version"]
    victim.kill()
    # it has seen the crash, has proposed to remove the other, and one of two is no quorum
    await until(fleet, lambda: survivor.events("quorum lost"))
    assert survivor.events("quorum lost")[0]["version"] == version
    assert survivor.views[-1]["version"] == version
    assert survivor.size == 2


async def test_one_of_three_crashes(fleet: Fleet) -> None:
    *survivors, victim = await form(fleet, 3)
    version = victim.views[-1]["version"]
    victim.kill()
    await until_all_see(fleet, 2, survivors)
    for survivor in survivors:
        view = survivor.views[-1]
        assert (view["version"], view["removed"], view["left"]) == (version + 1, [str(victim)], [])
    assert differences(fleet) == []


async def test_five_of_thirty_crash_and_go_in_one_view_change(fleet: Fleet) -> None:
    agents = await form(fleet, 30, LAN)
    version = agents[0].views[-1]["version"]
    victims, survivors = agents[3:8], agents[:3] + agents[8:]
    for victim in victims:
        victim.kill()
    await until_all_see(fleet, 25, survivors)
    for survivor in survivors:
        view = survivor.views[-1]
        assert view["version"] == version + 1
        assert sorted(view["removed"]) == sorted(map(str, victims))
    assert differences(fleet) == []


async def test_the_founder_crashes(fleet: Fleet) -> None:
    founder, *survivors = await form(fleet, 5)
    founder.kill()
    await until_all_see(fleet, 4, survivors)
    newcomer = await fleet.start(*LOCAL, "--seed", str(founder), "--seed", str(survivors[0]))
    await until_all_see(fleet, 5, [*survivors, newcomer])
    assert differences(fleet) == []


async def test_a_restart_on_the_same_address_is_a_new_member(fleet: Fleet) -> None:
    seed, *others = await form(fleet, 5)
    old = others[-1]
    old.kill()
    await until(fleet, lambda: old.ended)
    new = await fleet.start("--listen", str(old), "--settings", "local", "--seed", str(seed))
    survivors = [seed, *others[:-1]]
    await until_all_see(fleet, 5, [*survivors, new])
    assert str(new) == str(old)
    assert new.events("listening")[0]["node_id"] != old.events("listening")[0]["node_id"]

    def times(what: str) -> int:
        return sum(str(old) in view[what] for view in seed.views)

    await until(fleet, lambda: (times("joined"), times("removed")) == (2, 1))
    await until_all_see(fleet, 5, [*survivors, new])
    assert differences(fleet) == []


async def test_a_member_leaves_gracefully(fleet: Fleet) -> None:
    *others, leaver = await form(fleet, 5)
    leaver.terminate()
    await until_all_see(fleet, 4, others)
    await until(fleet, lambda: leaver.ended)
    assert leaver.status == 0
    for other in others:
        view = other.views[-1]
        assert view["removed"] == view["left"] == [str(leaver)]
    assert differences(fleet) == []


async def test_all_leave_one_after_the_other(fleet: Fleet) -> None:
    agents = await form(fleet, 4)
    for number, leaver in enumerate(agents, start=1):
        leaver.terminate()
        await until_all_see(fleet, 4 - number, agents[number:])
        await until(fleet, lambda: agents[number - 1].ended)  # noqa: B023 - awaited within the turn
        assert (leaver.status, list(leaver.last_words)) == (0, [])


async def test_a_second_signal_does_not_wait_for_the_others(fleet: Fleet) -> None:
    # with these settings it waits for the silent one for longer than this test does
    survivor, victim = await form(fleet, 2, ("--listen", "127.0.0.1:0", "--settings", "wan"))
    victim.kill()
    survivor.terminate()
    await until(fleet, lambda: survivor.events("leaving"))
    survivor.terminate()
    await until(fleet, lambda: survivor.ended)
    assert survivor.status == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(range(256)) * 64,
        os.urandom(100_000),
    ],
    ids=["http 1", "broken http 2", "noise"],
)
async def test_garbage_on_the_port_does_no_harm(fleet: Fleet, garbage: bytes) -> None:
    agents = await form(fleet, 2)
    for agent in agents:
        host, _, port = str(agent).rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(garbage)
        try:
            await writer.drain()
            writer.write_eof()
            while await reader.read(65536):
                pass
        except OSError:
            pass  # it hung up on us, as it may, also before we were done
        writer.close()
    newcomer = await fleet.start(*LOCAL, "--seed", str(agents[0]))
    await until_all_see(fleet, 3, [*agents, newcomer])
    assert differences(fleet) == []


async def test_an_agent_on_a_tether_ends_with_its_standard_input(fleet: Fleet) -> None:
    agent = await fleet.start(*LOCAL)
    await until(fleet, lambda: agent.view)
    assert agent.process.stdin is not None
    agent.process.stdin.close()
    await until(fleet, lambda: agent.ended)
    assert agent.status == 1


@pytest.mark.skipif(sys.platform != "linux", reason="where there are such policies")
async def test_all_threads_of_an_agent_wait_for_their_turn(fleet: Fleet) -> None:
    for agent in await form(fleet, 2):
        threads = [int(thread) for thread in os.listdir(f"/proc/{agent.process.pid}/task")]
        assert len(threads) > 1
        assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_BATCH}


async def test_waiting_agents_begin_when_they_are_told(fleet: Fleet) -> None:
    agent = await fleet.start(*LOCAL, "--wait")
    await until(fleet, lambda: agent.is_ready)
    assert [report["event"] for report in agent.reports] == ["listening"]
    agent.release()
    await until(fleet, lambda: agent.view)
    assert [report["event"] for report in agent.reports] == ["listening", "view"]


async def test_waiting_agents_end_by_a_signal(fleet: Fleet) -> None:
    agent = await fleet.start(*LOCAL, "--wait")
    await until(fleet, lambda: agent.is_ready)
    agent.terminate()
    await until(fleet, lambda: agent.ended)
    assert agent.status == 0


async def test_a_signal_while_joining_ends_it(fleet: Fleet) -> None:
    agent = await fleet.start(*LOCAL, "--wait", "--seed", "127.0.0.1:1", "--join-timeout", "3600")
    await until(fleet, lambda: agent.is_ready)
    agent.release()
    agent.terminate()
    await until(fleet, lambda: agent.ended)
    assert agent.status == 0


async def test_the_metadata_and_the_advertised_address_get_through(fleet: Fleet) -> None:
    agent = await fleet.start(
        "--listen",
        "127.0.0.1:0",
        "--advertise",
        "localhost:0",
        "--metadata",
        "role=cache",
        "--settings",
        "local",
    )
    await until(fleet, lambda: agent.view)
    assert str(agent).startswith("localhost:")
    other = await fleet.start(*LOCAL, "--seed", str(agent))
    await until_all_see(fleet, 2, [agent, other])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ((*LOCAL, "--join-timeout", "0.5", "--seed", "127.0.0.1:1"), "127.0.0.1:1"),
        (
            (*LOCAL, "--join-timeout", "0.5", "--seed", "no.such.name.invalid:7400"),
            "no.such.name.invalid:7400",
        ),
        (("--listen", "no.such.name.invalid:0"), "cannot listen on no.such.name.invalid:0"),
    ],
    ids=["unreachable seed", "unknown seed", "unknown name"],
)
async def test_what_cannot_work_ends_with_one_line(
    fleet: Fleet, options: tuple[str, ...], error: str
) -> None:
    agent = await fleet.start(*options)
    await until(fleet, lambda: agent.ended)
    assert agent.status == 1
    [said] = [line for line in agent.last_words if "[warning" not in line]
    assert said.startswith("rapid agent: ")
    assert error in said
    assert agent.views == []


async def test_a_port_in_use_ends_with_one_line(fleet: Fleet) -> None:
    first = await fleet.start(*LOCAL)
    await until(fleet, lambda: first.view)
    second = await fleet.start("--listen", str(first))
    await until(fleet, lambda: second.ended)
    assert second.status == 1
    assert list(second.last_words) == [f"rapid agent: cannot listen on {first}: Address already in use"]


async def test_waiting_ends_at_once_when_a_process_fails(fleet: Fleet) -> None:
    await fleet.start("--listen", "nonsense")
    with pytest.raises(Overdue, match=r"status 2\n.*'nonsense' is no HOST:PORT"):
        await fleet.until(lambda: False, 60, lambda: "nothing")


async def test_the_example_runs_and_leaves(fleet: Fleet) -> None:
    agent = await fleet.start(*LOCAL)
    await until(fleet, lambda: agent.view)
    example = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLE, "127.0.0.1:0", str(agent), stdout=asyncio.subprocess.PIPE
    )
    await until_all_see(fleet, 2, [agent])
    assert example.stdout is not None
    while b"2 members" not in await example.stdout.readline():
        assert not example.stdout.at_eof()
    example.send_signal(signal.SIGINT)
    await until_all_see(fleet, 1, [agent])
    await example.communicate()
    assert example.returncode == 0
    assert agent.views[-1]["left"]
