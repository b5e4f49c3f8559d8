"""The signals that end an agent."""

from __future__ import annotations

import os
import signal
import threading

AT_ONCE = 2.0
"""Seconds that the process may still take after a second signal."""


def ending_signals() -> list[signal.Signals]:
    """Those that an agent leaves at. SIGHUP is none where it is ignored, as under nohup."""
    found = [signal.SIGTERM, signal.SIGINT]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        found.append(hangup)
    return found


def end_soon() -> None:
    """Have the process end after ``AT_ONCE`` seconds, with status 0, whatever still runs or waits then."""
    timer = threading.Timer(AT_ONCE, os._exit, (0,))
    timer.daemon = True
    timer.start()
