"""One cluster of real processes, each with the dependencies of another environment."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from typing import Any

from .environments import Environment
from .tool import ROOT

EACH = 2
"""Members of each environment."""
WITHIN = 60.0
"""Seconds to wait for a view."""


class Running:
    """A member, and the newest view that it has printed."""

    def __init__(self, environment: Environment, process: Process) -> None:
        self.environment = environment
        self.process = process
        self.newest: dict[str, Any] = {}

    @classmethod
    async def start(cls, environment: Environment, *seeds: str) -> Running:
        command = (str(environment.python), "-m", "tests.compat.member", *seeds)
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=PIPE, stdout=PIPE)
        return cls(environment, process)

    @property
    def members(self) -> dict[str, dict[str, str]]:
        """The metadata of each in its newest view, by endpoint."""
        members: dict[str, dict[str, str]] = self.newest.get("members", {})
        return members

    async def follow(self, changed: asyncio.Condition) -> None:
        """Read what it prints, to its end."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            async with changed:
                self.newest = json.loads(line)
                changed.notify_all()


async def run(environments: Sequence[Environment]) -> None:
    """Raise SystemExit unless all see one view, and one without each that is killed."""
    changed = asyncio.Condition()
    running: list[Running] = []
    async with asyncio.TaskGroup() as following:

        async def start(environment: Environment, *seeds: str) -> None:
            running.append(await Running.start(environment, *seeds))
            following.create_task(running[-1].follow(changed))

        try:
            await start(environments[0])
            await until(changed, running, lambda: running[0].members)
            seed = running[0].newest["me"]
            for environment in [*environments[1:], *list(environments) * (EACH - 1)]:
                await start(environment, seed)
            await until(changed, running, lambda: agree(running))
            for one in running:
                if one.members[one.newest["me"]] != one.environment.versions():
                    raise SystemExit(f"{one.environment.name} is not in its own view: {one.newest}")
            if len({json.dumps(one.members, sort_keys=True) for one in running}) != 1:
                raise SystemExit(f"the metadata differ: {[one.members for one in running]}")
            print(f"{len(running)} members of {len(environments)} environments see one view")
            for victim in (running[-1], running[0]):
                victim.process.kill()
                running.remove(victim)
                await until(changed, running, lambda: agree(running))
                print(f"one with {victim.environment.name} was killed: {len(running)} see a view without it")
        finally:
            for one in running:
                assert one.process.stdin is not None
                one.process.stdin.close()


def agree(running: Sequence[Running]) -> bool:
    """Whether the newest views of all are the same, of just these members."""
    everyone = {one.newest.get("me") for one in running}
    views = {str(one.newest.get("id")) for one in running}
    return len(views) == 1 and all(set(one.members) == everyone for one in running)


async def until(
    changed: asyncio.Condition, running: Sequence[Running], condition: Callable[[], object]
) -> None:
    """Wait; raise SystemExit with what each has seen last when it is in vain."""
    try:
        async with asyncio.timeout(WITHIN), changed:
            await changed.wait_for(condition)
    except TimeoutError:
        seen = "\n".join(f"{one.environment.name}: {one.newest}" for one in running)
        raise SystemExit(f"no agreement in {WITHIN} s:\n{seen}") from None
