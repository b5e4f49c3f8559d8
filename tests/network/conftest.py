"""Clusters on networks that can be broken, where there are the rights for it; a table of the times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from benchmarks.topology import obstacle

from .lab import Lab

MEMBERS = 30


class Measured(NamedTuple):
    """One line of the table.

    ``seconds``: until the first and until the last member had seen it; ``starved``: the share of the
    time for which a member had to wait for a processor, at worst.
    """

    scenario: str
    seconds: tuple[float, float]
    changes: int
    starved: float
    remark: str = ""


_TABLE = pytest.StashKey[list[Measured]]()


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> list[Measured]:
    """Printed at the end of the session."""
    return pytestconfig.stash.setdefault(_TABLE, [])


@pytest.fixture(scope="session")
def rights() -> None:
    """Skips what needs a network of its own, where that cannot be."""
    if (reason := obstacle()) is not None:
        pytest.skip(f"no network to break: {reason}")


@pytest.fixture
def members(request: pytest.FixtureRequest) -> int:
    """How many the cluster has."""
    return int(getattr(request, "param", MEMBERS))


@pytest.fixture
async def lab(rights: None, members: int) -> AsyncIterator[Lab]:
    """A cluster whose members see each other."""
    async with Lab(members) as lab:
        yield lab


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table."""
    measured = config.stash.get(_TABLE, [])
    if not measured:
        return
    terminalreporter.section("seconds until the first and until all of the others had removed the struck")
    width = max(len(line.scenario) for line in measured)
    terminalreporter.write_line(f"{'':{width}}  first    all  view changes  starved")
    for scenario, (first, last), changes, starved, remark in measured:
        terminalreporter.write_line(
            f"{scenario:{width}}  {first:5.2f}  {last:5.2f}  {changes:12}  {starved:7.0%}  {remark}".rstrip()
        )
