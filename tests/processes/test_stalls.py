"""Processes that are stopped for a while: what they missed is held against nobody."""

from __future__ import annotations

import asyncio
import signal

from rapid.cli.fleet import Fleet

from .forming import LOCAL, differences, form, until_all_see

PATIENT = (*LOCAL, "--set", "window=1000", "--set", "failures=1000")
"""It never finds anyone faulty by itself."""
PROBE = 4.0
HASTY = (
    *(*LOCAL, "--set", "window=1", "--set", "failures=1"),
    *("--set", f"probe_interval={PROBE}", "--set", f"probe_timeout={PROBE}"),
)
"""To it one failed probe is a verdict, and most of the time there is a probe on its way."""


async def test_one_that_was_stopped_has_nobody_removed(fleet: Fleet) -> None:
    """Its probes were on their way when it was stopped, and their timeouts passed while it slept."""
    others = await form(fleet, 3, PATIENT)
    stopped = await fleet.start(*HASTY, "--seed", str(others[0]))
    await until_all_see(fleet, 4, [*others, stopped])
    # so that its probes stay unanswered for now, though not for so long that any of them has failed
    for other in others:
        other.send(signal.SIGSTOP)
    await asyncio.sleep(0.75 * PROBE)
    stopped.send(signal.SIGSTOP)
    for other in others:
        other.send(signal.SIGCONT)
    await asyncio.sleep(10.0)
    stopped.send(signal.SIGCONT)
    # the newcomer's join needs the word of the one that was stopped; that on the others came before
    newcomer = await fleet.start(*PATIENT, "--seed", str(stopped))
    await until_all_see(fleet, 5, [*others, stopped, newcomer])
    assert [view["removed"] for agent in fleet.agents for view in agent.views if view["removed"]] == []
    assert differences(fleet) == []
