"""For all tests."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings

from rapid.log import log

# how long an example takes says more of the machine than of the code
settings.register_profile("rapid", deadline=None)
# for `make mutants`: the same examples each time, and none made smaller once it has failed
settings.register_profile(
    "mutants", deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile("rapid")


@pytest.fixture(autouse=True)
def _log_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged is there when the call returns, and in the test that it belongs to."""
    monkeypatch.setattr(log, "queued", False)


@pytest.fixture(autouse=True)
def _structlog_as_it_was() -> Iterator[None]:
    """An agent in this process configures it, and the library follows: no later test shall be logged so."""
    yield
    if "structlog" in sys.modules:
        sys.modules["structlog"].reset_defaults()


# What a shell starts in the background ignores the one, what nohup starts the other; tests and their
# processes are interrupted on purpose.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
