"""Runs a test's coroutine where the runtime lives: gRPC wants a loop that is not closed under it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine

from rapid.runtime.reactor import reactor


def on_reactor(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        home = reactor()
        loop = home.enter()
        try:
            asyncio.run_coroutine_threadsafe(test(*args, **kwargs), loop).result(30)
        finally:
            home.leave()

    return run


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; TimeoutError when it does not come true."""
    async with asyncio.timeout(15.0):
        while not condition():  # noqa: ASYNC110 - any condition, on any thread
            await asyncio.sleep(0.005)
