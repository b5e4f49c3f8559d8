"""For all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

# how long an example takes says more of the machine than of the code
settings.register_profile("rapid", deadline=None)
settings.load_profile("rapid")

# what a shell starts in the background ignores it; tests and their processes are interrupted on purpose
signal.signal(signal.SIGINT, signal.default_int_handler)
