"""The signals that end an agent."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType

AT_ONCE = 2.0
"""Seconds that the process may still take after a second signal."""
PAUSE = 0.25
"""Seconds between two looks for signals, where event loops take no handlers for them."""


def ending_signals() -> list[signal.Signals]:
    """Those that an agent leaves at, of those that the system has.

    SIGHUP is left out where it is ignored, as under nohup. SIGBREAK is what one process of Windows can
    send another to have it end by itself.
    """
    found = [signal.SIGTERM, signal.SIGINT]
    hangup: signal.Signals | None = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        found.append(hangup)
    interruption: signal.Signals | None = getattr(signal, "SIGBREAK", None)
    if interruption is not None:
        found.append(interruption)
    return found


def call_at(numbers: Iterable[signal.Signals], call: Callable[[int], None]) -> None:
    """Have ``call(number)`` run on the running event loop at each of these signals, for as long as it lasts.

    To be called on the main thread. The event loops of Windows take no handlers: there the interpreter's
    own handlers pass the signals on, which may take ``PAUSE``.
    """
    loop = asyncio.get_running_loop()
    refused = False
    for number in numbers:
        try:
            loop.add_signal_handler(number, call, number)
        except NotImplementedError:
            refused = True
            _pass_on(number, loop, call)
    if refused:
        _look_often(loop)


def _look_often(loop: asyncio.AbstractEventLoop) -> None:
    """A signal that another thread has received does not wake the main thread, where its handler runs."""
    loop.call_later(PAUSE, _look_often, loop)


def _pass_on(number: signal.Signals, loop: asyncio.AbstractEventLoop, call: Callable[[int], None]) -> None:
    def handle(received: int, _: FrameType | None) -> None:
        if loop.is_closed():
            # a loop's own handlers would have ended with it, too
            signal.signal(received, before)
            signal.raise_signal(received)
        else:
            loop.call_soon_threadsafe(call, received)

    before = signal.signal(number, handle)


def end_soon() -> None:
    """Have the process end after ``AT_ONCE`` seconds, with status 0, whatever still runs or waits then."""
    timer = threading.Timer(AT_ONCE, os._exit, (0,))
    timer.daemon = True
    timer.start()
