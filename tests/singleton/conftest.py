"""For the tests of singletons."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .stage import Office, Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    made.feed.close(None)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    made = Office()
    yield made
    assert not made.overlapped
