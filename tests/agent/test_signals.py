"""The signals that end an agent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from rapid.agent.signals import call_at, ending_signals


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


def test_what_another_process_of_windows_can_send_ends_an_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    assert signal.SIGUSR1 in ending_signals()


def refuse(*_: object) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("takes_signals", [True, False])
def test_a_signal_is_passed_on_to_the_loop_and_to_none_after_it(
    takes_signals: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not takes_signals:
        monkeypatch.setattr(asyncio.SelectorEventLoop, "add_signal_handler", refuse)

    async def receive() -> list[int]:
        received: asyncio.Queue[int] = asyncio.Queue()
        call_at([signal.SIGTERM, signal.SIGINT], received.put_nowait)
        numbers = []
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
            numbers.append(await received.get())
        return numbers

    async def receive_of_another_thread() -> int:
        received: asyncio.Queue[int] = asyncio.Queue()
        call_at([signal.SIGTERM], received.put_nowait)
        await asyncio.to_thread(lambda: None)  # there is one, which lets all signals through
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            return await received.get()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    later: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        signal.signal(signal.SIGTERM, lambda number, _: later.append(number))
        assert asyncio.run(receive()) == [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]
        assert asyncio.run(receive_of_another_thread()) == signal.SIGTERM
        if not takes_signals:
            # what was there before has it again
            signal.raise_signal(signal.SIGTERM)
            assert later == [signal.SIGTERM]
            assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, before[signal.SIGTERM])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
