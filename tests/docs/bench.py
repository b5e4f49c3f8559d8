"""Where a page's blocks run: the addresses in them become ones of this machine that are free."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import signal
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import rapid

from .blocks import Block

ADDRESS = re.compile(r"\b(?:10|127|192)(?:\.\d{1,3}){3}:[1-9]\d{3,4}\b")
"""What stands for a member in the pages. Port 0 takes any free one by itself."""


class Enough(Exception):
    """What a block for ever does has been seen to work."""


class Bench:
    """One page's module, in which its blocks run one after the other, as one program would."""

    def __init__(self, page: Path, here: Path) -> None:
        self.here = here
        """The directory in which it runs."""
        self.module = ModuleType(f"page_{page.stem.replace('-', '_')}")
        self.module.__dict__["rapid"] = rapid
        self.names: dict[str, Any] = self.module.__dict__
        """What its blocks have defined, and find."""
        self.stack = AsyncExitStack()
        """What is entered here ends with the block."""
        self._addresses: dict[str, str] = {}

    def address(self, said: str) -> str:
        """The one of this machine that stands for this one in the page."""
        if said not in self._addresses:
            with socket.socket() as trial:
                trial.bind(("127.0.0.1", 0))
                self._addresses[said] = f"127.0.0.1:{trial.getsockname()[1]}"
        return self._addresses[said]

    def renamed(self, addresses: dict[str, str]) -> None:
        """From now on these stand for these in the page."""
        self._addresses.update(addresses)

    def moved(self, code: str) -> str:
        """The text with addresses of this machine."""
        return ADDRESS.sub(lambda found: self.address(found[0]), code)

    async def run(self, block: Block) -> None:
        """Run it as it stands; ``await`` and ``async with`` may stand outside of functions."""
        before = set(self.names)
        code = compile(
            "\n" * (block.line - 1) + self.moved(block.code),
            block.page,
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        running = eval(code, self.names)
        if inspect.isawaitable(running):
            await running
        for name in self.names.keys() - before:
            if name.startswith("test_"):
                checked = self.names[name]()
                if inspect.isawaitable(checked):
                    await checked

    async def run_program(self, block: Block, arguments: str, until: str) -> None:
        """Run it in a process of its own until it has printed that; then Ctrl-C, and it must end."""
        program = self.here / f"line{block.line}.py"
        program.write_text(self.moved(block.code), encoding="utf-8")
        root = str(Path(rapid.__file__).parents[1])
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            program,
            *self.moved(arguments).split(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": root, "PYTHONUNBUFFERED": "1"},
        )
        printed = ""
        try:
            assert process.stdout is not None
            while until not in printed:
                line = await process.stdout.readline()
                assert line, f"{block.where} ended and printed only:\n{printed}"
                printed += line.decode()
            process.send_signal(signal.SIGINT)
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
