"""For the tests of the runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from .names import Names


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What every event loop resolves names with."""
    names = Names()

    def getaddrinfo(loop: asyncio.AbstractEventLoop, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        return names.getaddrinfo(*args, **kwargs)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return names
