"""The signals that end an agent."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from rapid.agent.signals import ending_signals


@pytest.mark.skipif(sys.platform == "win32", reason="where there is no such signal")
def test_a_hangup_ends_an_agent_unless_it_is_ignored() -> None:
    before = signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert set(ending_signals()) == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert set(ending_signals()) == {signal.SIGTERM, signal.SIGINT}
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_hangs_does_not_hold_up_the_end() -> None:
    program = (
        "import threading; from rapid.agent.signals import end_soon\n"
        "threading.Thread(target=threading.Event().wait).start(); end_soon()"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
