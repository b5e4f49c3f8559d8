"""What an agent prints when nobody reads it, or it cannot be written: nobody waits, no loss is unsaid."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rapid.agent.output import LIMIT, LineStream, LineWriter, Output

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


def missing(count: int) -> str:
    return f"{count} missing"


class Pipe:
    """A pipe that a writer writes to, and that is read when the test says so."""

    def __init__(self) -> None:
        self.reading: int | None
        self.reading, self.writing = os.pipe()
        self.stats: Counter[str] = Counter()
        self.writer = LineWriter(self.writing, "out", missing, self.stats)

    def read(self, until: Callable[[list[str]], object], begun: bytes = b"") -> list[str]:
        """Whole lines, until the condition holds of them; at the latest at the end of the pipe."""
        data = begun
        assert self.reading is not None
        while (chunk := os.read(self.reading, 1 << 16)) != b"":
            data += chunk
            if data.endswith(b"\n") and until(data.decode().splitlines()):
                break
        return data.decode().splitlines()

    def hang_up(self) -> None:
        """Be gone as a reader."""
        if self.reading is not None:
            os.close(self.reading)
            self.reading = None

    def close(self) -> None:
        # a writer that is still in a write would go on in whatever file gets the descriptor's number next:
        # without a reader its write fails, and its thread ends
        self.hang_up()
        self.writer.close(20)
        os.close(self.writing)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def wait_for(condition: Callable[[], object]) -> None:
    """The thread of a writer has no event to wait for; the test's own time limit ends what is in vain."""
    while not condition():
        time.sleep(0.005)


def test_lines_go_out_in_order(pipe: Pipe) -> None:
    for number in range(1000):
        pipe.writer.write(str(number))
    assert pipe.read(lambda lines: len(lines) == 1000) == [str(number) for number in range(1000)]
    assert pipe.writer.close(20) == 0
    assert pipe.stats == {}


def gaps(lines: list[str]) -> tuple[int, int]:
    """How many numbered lines are there, and how many are missing; all in order, each gap at its place."""
    there = gone = 0
    for line in lines:
        if line.endswith("missing"):
            gone += int(line.split()[0])
        else:
            assert int(line) == there + gone
            there += 1
    return there, gone


def test_nobody_waits_for_a_reader_and_what_is_missing_is_said_at_its_place(pipe: Pipe) -> None:
    count = 4 * LIMIT // 1024
    for number in range(count):
        pipe.writer.write(f"{number:<1023}")
    dropped = pipe.stats["lines dropped:out"]
    assert dropped > 0
    # a reader who comes back is told of it without another line
    lines = pipe.read(lambda lines: sum(gaps(lines)) == count)
    assert gaps(lines) == (count - dropped, dropped)
    assert lines[-1].endswith(" missing")
    pipe.writer.write("next")
    assert pipe.read(lambda lines: lines) == ["next"]


def test_a_line_after_those_that_are_missing_is_told_of_them_first(pipe: Pipe) -> None:
    count = 4 * LIMIT // 1024
    for number in range(count):
        pipe.writer.write(f"{number:<1023}")
    begun = b""
    while True:
        dropped = pipe.stats["lines dropped:out"]
        pipe.writer.write("last")
        if pipe.stats["lines dropped:out"] == dropped:
            break
        count += 1
        assert pipe.reading is not None
        begun += os.read(pipe.reading, 1 << 16)
    *lines, last = pipe.read(lambda lines: lines[-1] == "last", begun)
    assert last == "last"
    assert lines[-1].endswith(" missing")
    assert gaps(lines) == (count - dropped, dropped)


def test_a_line_beyond_the_limit_goes_out_alone(pipe: Pipe) -> None:
    large = "y" * (2 * LIMIT)
    pipe.writer.write(large)
    assert pipe.read(lambda lines: lines) == [large]


def test_the_end_waits_no_longer_than_it_is_given(pipe: Pipe) -> None:
    for _ in range(2):
        pipe.writer.write("z" * (LIMIT // 4))
    assert pipe.writer.close(0.01) == 2
    pipe.writer.write("too late")
    assert pipe.stats["lines dropped:out"] == 1


def test_a_pipe_that_somebody_has_made_non_blocking(pipe: Pipe) -> None:
    os.set_blocking(pipe.writing, False)
    large = "y" * LIMIT
    pipe.writer.write(large)
    assert pipe.read(lambda lines: lines) == [large]
    assert pipe.stats == {}


@needs_full
def test_a_full_disk_is_said_once_and_lines_go_out_when_there_is_room_again(pipe: Pipe) -> None:
    stats: Counter[str] = Counter()
    descriptor = os.open(FULL, os.O_WRONLY)
    try:
        writer = LineWriter(descriptor, "disk", missing, stats, complaints=pipe.writer)
        writer.write("first")
        writer.write("second")
        wait_for(lambda: stats["writes failed:disk"] >= 2)
        os.dup2(pipe.writing, descriptor)
        complaint, first, second = pipe.read(lambda lines: len(lines) == 3)
        assert complaint.startswith("rapid agent: cannot write to disk: No space left on device; ")
        assert (first, second) == ("first", "second")
        assert writer.close(20) == 0
    finally:
        os.close(descriptor)
    assert "lines dropped:disk" not in stats


@needs_full
def test_a_full_disk_holds_up_no_end() -> None:
    stats: Counter[str] = Counter()
    descriptor = os.open(FULL, os.O_WRONLY)
    try:
        writer = LineWriter(descriptor, "disk", missing, stats)
        writer.write("lost")
        assert writer.close(20) == 1
    finally:
        os.close(descriptor)
    assert stats["writes failed:disk"] >= 1


def test_another_reader_gets_whole_lines_only(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    first = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(fifo, os.O_WRONLY)
    stats: Counter[str] = Counter()
    writer = LineWriter(writing, "fifo", missing, stats)
    writer.write("x" * (LIMIT // 2))
    writer.write("next")
    os.set_blocking(first, True)
    assert os.read(first, 10) == b"x" * 10
    os.close(first)
    wait_for(lambda: stats["writes failed:fifo"])
    second = os.open(fifo, os.O_RDONLY)
    with os.fdopen(second, encoding="utf-8") as lines:
        rest = next(lines)  # what was in the pipe
        assert (len(rest) < LIMIT // 2, next(lines), next(lines)) == (True, "1 missing\n", "next\n")
    assert writer.close(20) == 0
    assert stats["lines dropped:fifo"] == 1
    os.close(writing)


def test_a_stream_passes_on_whole_lines_made_printable(pipe: Pipe) -> None:
    stream = LineStream(pipe.writer)
    print("one", "two", file=stream)
    print("a\x1b[2J\rb", end="", file=stream, flush=True)
    print("\nrest", end="", file=stream)
    stream.finish()
    assert pipe.read(lambda lines: len(lines) == 4 or lines[-1] == "rest") == [
        "one two", r"a\x1b[2J\x0db", "rest"
    ]  # fmt: skip


def test_all_of_an_agent_s_output(pipe: Pipe) -> None:
    reading, writing = os.pipe()
    before = sys.stderr
    with Output(json.dumps, pipe.stats, (pipe.writing, writing)) as output:
        output.report({"event": "view", "name": "é\ud800"})
        print("complaint", file=sys.stderr)
    assert sys.stderr is before
    assert json.loads(pipe.read(lambda lines: lines)[0]) == {"event": "view", "name": "é\ud800"}
    os.close(writing)
    with os.fdopen(reading) as complaints:
        assert complaints.read() == "complaint\n"


def test_output_that_nobody_took_is_said_on_the_other_stream(pipe: Pipe) -> None:
    reading, writing = os.pipe()
    pipe.hang_up()
    with Output(json.dumps, pipe.stats, (pipe.writing, writing)) as output:
        output.report({"event": "view"})
    os.close(writing)
    with os.fdopen(reading) as complaints:
        said = complaints.read().splitlines()
    assert said[0].startswith(f"rapid agent: cannot write to standard output: {os.strerror(errno.EPIPE)}")
    assert said[1:] == ["rapid agent: 1 lines were not taken from standard output"]
