"""Agents as real processes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rapid.cli.fleet import Fleet


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """Starts processes; none outlives the test."""
    async with Fleet() as fleet:
        yield fleet
