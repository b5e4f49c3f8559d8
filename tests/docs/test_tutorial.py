"""The five minutes, as a reader would spend them: what is started, ended and killed prints what it says."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from contextlib import AsyncExitStack
from pathlib import Path

from .bench import ADDRESS, Bench
from .blocks import ROOT, blocks, commands, python

PAGE = ROOT / "docs" / "tutorial.md"


class Terminal:
    """One process, and what it has printed."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.printed: list[str] = []

    async def until(self, line: str) -> None:
        assert self.process.stdout is not None
        while line not in self.printed:
            said = await self.process.stdout.readline()
            assert said, f"it ended without {line!r}, and printed {self.printed}"
            self.printed.append(said.decode().rstrip("\n"))

    async def until_it_is_in(self) -> None:
        while not any("view" in line for line in self.printed):
            assert self.process.stdout is not None
            self.printed.append((await self.process.stdout.readline()).decode())


async def _open(stack: AsyncExitStack, here: Path, command: str) -> Terminal:
    program, *arguments = shlex.split(command.removesuffix("&"))
    run = [sys.executable, "-m", "rapid"] if program == "rapid" else [sys.executable]
    process = await asyncio.create_subprocess_exec(
        *run,
        *arguments,
        cwd=here,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )

    async def end() -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()

    stack.push_async_callback(end)
    return Terminal(process)


async def test_five_minutes(tmp_path: Path) -> None:
    bench = Bench(PAGE, tmp_path)
    (program,) = python(PAGE)
    (tmp_path / "watch.py").write_text(program.code)
    # views are printed sorted, so these have to sort as the page's do
    text = PAGE.read_text(encoding="utf-8")
    said = sorted(set(ADDRESS.findall(text)))
    free = sorted((bench.address(one) for one in said), key=lambda one: int(one.rpartition(":")[2]))
    assert len({len(one) for one in free}) == 1, "ports of as many digits sort as numbers do"
    bench.renamed(dict(zip(said, free, strict=True)))

    views = list(dict.fromkeys(re.findall(r"^view \d: .*", bench.moved(text), re.MULTILINE)))
    assert len(views) == 6
    lines = [bench.moved(line) for _, line in commands(PAGE)]
    watching = [line for line in lines if line.startswith("python watch.py")]
    joining, again = (line for line in lines if line.startswith("rapid agent"))
    async with asyncio.timeout(50), AsyncExitStack() as stack:
        first = await _open(stack, tmp_path, watching[0])
        await first.until(views[0])
        second = await _open(stack, tmp_path, watching[1])
        await second.until(views[1])
        third = await _open(stack, tmp_path, joining)
        await third.until_it_is_in()
        for one in (first, second):
            await one.until(views[2])
        third.process.send_signal(signal.SIGINT)
        for one in (first, second):
            await one.until(views[3])
        assert await third.process.wait() == 0
        third = await _open(stack, tmp_path, again)
        await third.until_it_is_in()
        for one in (first, second):
            await one.until(views[4])
        assert "kill -9 $!" in lines
        third.process.kill()
        for one in (first, second):
            await one.until(views[5])
        assert first.printed == views
        assert second.printed == views[1:]


def test_the_program_is_of_eight_lines() -> None:
    (program,) = python(PAGE)
    lines = [line for line in program.code.splitlines() if line.strip()]
    assert len(lines) == 8
    assert "eight lines" in PAGE.read_text(encoding="utf-8")
    assert not [block for block in blocks(PAGE) if block.language == ""]
