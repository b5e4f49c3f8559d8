"""The library's log: structlog's logger ``rapid``, loaded with the first thing that is logged.

A quiet process starts a quarter faster without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Log:
    """Has the methods of a structlog logger."""

    def __init__(self) -> None:
        self.configure: Callable[[], None] | None = None

    def __getattr__(self, method: str) -> Any:
        import structlog

        configure, self.configure = self.configure, None
        if configure is not None:
            configure()
        return getattr(structlog.get_logger("rapid"), method)


log = Log()


def configured_by(configure: Callable[[], None]) -> None:
    """Have structlog configured once it is needed: for a program of its own, not for a library."""
    log.configure = configure
