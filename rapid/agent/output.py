"""Standard output and standard error of a process that must not wait for whoever reads them."""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from rapid.agent.printable import printable
from rapid.agent.reports import Report, now

LIMIT = 1 << 20
"""Bytes that wait for a reader. What comes then is dropped, and counted."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between attempts to write where writing fails; each pause is twice the one before."""
FLUSH = 1.0
"""Seconds at the end for what waits to go out."""
LONGEST_LINE = 1 << 16
"""Characters after which a line that has not ended is written as it is."""


class LineWriter:
    """Writes lines to a descriptor on a thread of its own, so that no caller ever waits.

    Lines wait while nobody reads, and while writing fails (a full disk, a pipe without a reader): they
    are tried again until it works. Beyond ``LIMIT`` bytes new ones are dropped; the next line that
    goes out comes after one that says how many.

    Args:
        descriptor: Where to write.
        name: What it is called in ``stats``, and to people.
        missing: Makes the line that says how many are missing at its place.
        stats: Counts ``lines dropped:NAME`` and ``writes failed:NAME``.
        complaints: Where to say, once for each kind of error, that writing fails.
    """

    def __init__(
        self,
        descriptor: int,
        name: str,
        missing: Callable[[int], str],
        stats: Counter[str],
        complaints: LineWriter | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._name = name
        self._missing = missing
        self._stats = stats
        self._complaints = complaints
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        """Lines that are missing after the last one that waits, and are not told of yet."""
        self._torn = False
        """Whether the first that waits is the rest of a line."""
        self._complained: set[int | None] = set()
        self.problem: OSError | None = None
        """Why the latest attempt to write has failed; None when it has not."""
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def write(self, line: str) -> None:
        """Have a line written, without waiting. A line break is added; any thread may call."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._changed:
            # one that is larger than the limit goes out all the same, alone
            full = self._waiting and self._size + len(data) > LIMIT
            if self._closing or full or not self._begun():
                self._drop()
                return
            self._own_up()
            self._append(data)
            self._changed.notify()

    def close(self, within: float) -> int:
        """Take no more, and give what waits so many seconds to go out; how many lines did not."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(within)
        with self._changed:
            return len(self._waiting) + self._dropped

    def _begun(self) -> bool:
        """Whether there is a thread that writes; there may be no resources for one now."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread
        return self._thread is not None

    def _append(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)

    def _drop(self) -> None:
        self._dropped += 1
        self._stats[f"lines dropped:{self._name}"] += 1

    def _own_up(self) -> None:
        """Say, at this place, how many lines are missing."""
        if self._dropped:
            self._append(self._missing_line(self._dropped))
            self._dropped = 0

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while (data := self._next()) is not None:
            error = self._put(data)
            if error is None:
                pause = FIRST_PAUSE
            elif self._ends_within(pause):
                return
            else:
                pause = min(2 * pause, LONGEST_PAUSE)

    def _next(self) -> bytes | None:
        """The first line that waits, which stays there until it is written; None at the end."""
        with self._changed:
            while not self._waiting:
                # a reader who comes back is told at once, not with the next line
                self._own_up()
                if not self._waiting:
                    if self._closing:
                        return None
                    self._changed.wait()
            return self._waiting[0]

    def _put(self, data: bytes) -> OSError | None:
        """Write the first line that waits, or say what hinders it; what was not written of it waits on."""
        written = 0
        try:
            while written < len(data):
                written += _some(self._descriptor, data[written:])
        except OSError as error:
            self._failed(error, data, written)
            return error
        with self._changed:
            self._replace_first(b"")
            self._torn = False
            self.problem = None
        return None

    def _failed(self, error: OSError, data: bytes, written: int) -> None:
        with self._changed:
            self._stats[f"writes failed:{self._name}"] += 1
            self.problem = error
            self._torn = self._torn or written > 0
            if self._torn and isinstance(error, BrokenPipeError):
                # whoever had the beginning of the line is gone: the next reader shall not get the rest
                self._stats[f"lines dropped:{self._name}"] += 1
                self._replace_first(b"\n" + self._missing_line(1))
                self._torn = False
            else:
                self._replace_first(data[written:])
            first_time = error.errno not in self._complained
            self._complained.add(error.errno)
        if first_time and self._complaints is not None:
            self._complaints.write(
                f"rapid agent: cannot write to {self._name}: {error.strerror}; up to {LIMIT >> 20} MiB"
                " of lines wait until it works again"
            )

    def _ends_within(self, pause: float) -> bool:
        """Whether there shall be no other attempt, having waited for it; at the end there is one at once."""
        with self._changed:
            if self._closing:
                return True
            self._changed.wait_for(lambda: self._closing, pause)
            return False

    def _replace_first(self, rest: bytes) -> None:
        self._size += len(rest) - len(self._waiting.popleft())
        if rest:
            self._waiting.appendleft(rest)

    def _missing_line(self, count: int) -> bytes:
        return self._missing(count).encode(errors="backslashreplace") + b"\n"


def _some(descriptor: int, data: bytes) -> int:
    """Write as much as goes, waiting where the descriptor is non-blocking; how many bytes that was."""
    while True:
        try:
            return os.write(descriptor, data)
        except BlockingIOError:
            # whoever shares it has made it so, for us too
            select.select([], [descriptor], [])


class LineStream(io.TextIOBase):
    """A text stream in front of a :class:`LineWriter`: whole lines go on, made printable."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer
        self._begun = ""
        # what the garbage collector warns of may be written in the middle of a write
        self._lock = threading.RLock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            if len(self._begun) > LONGEST_LINE:
                lines.append(self._begun)
                self._begun = ""
        for line in lines:
            self._writer.write(printable(line))
        return len(text)

    def finish(self) -> None:
        """Write what has no line break yet."""
        if self._begun:
            self.write("\n")


class Output:
    """What an agent prints: its reports on standard output, all else on standard error.

    Neither is ever waited for. A context: within it ``sys.stderr`` is such a stream too, so that
    whatever writes there (the log, tracebacks, warnings) does not wait either. At its end what waits
    has a moment to go out.
    """

    def __init__(
        self, as_line: Callable[[Report], str], stats: Counter[str], descriptors: tuple[int, int] = (1, 2)
    ) -> None:
        out, err = descriptors
        self._as_line = as_line
        self._err = LineWriter(
            err, "standard error", lambda n: f"rapid agent: {n} lines are missing here", stats
        )
        self._out = LineWriter(
            out, "standard output", lambda n: as_line(now("reports skipped", skipped=n)), stats, self._err
        )
        self._stream = LineStream(self._err)

    def report(self, report: Report) -> None:
        """Print a report."""
        self._out.write(self._as_line(report))

    def __enter__(self) -> Self:
        self._before = sys.stderr
        sys.stderr = self._stream
        return self

    def __exit__(self, *_: object) -> None:
        sys.stderr = self._before
        self._stream.finish()
        if lost := self._out.close(FLUSH):
            self._err.write(f"rapid agent: {lost} lines were not taken from standard output")
        self._err.close(FLUSH / 2)
