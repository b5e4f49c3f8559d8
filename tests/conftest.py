"""For all tests."""

from __future__ import annotations

import signal

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


# what a shell starts in the background ignores it; tests and their processes are interrupted on purpose
signal.signal(signal.SIGINT, signal.default_int_handler)
