"""For the tests of the commands."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import structlog

from rapid.log import log


@pytest.fixture
def own_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts back what an agent sets for its whole process: signals, logs, environment."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(log, "configure", None)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    structlog.reset_defaults()
    for number, handler in before.items():
        signal.signal(number, handler)
