"""Every block of Python in the pages runs, in order, with what the pages say is there."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest

from . import contexts
from .bench import Bench, Enough
from .blocks import PAGES, ROOT, Block, python

WITH_CODE = [page for page in PAGES if python(page)]


def test_the_pages_are_found() -> None:
    names = {str(page.relative_to(ROOT)) for page in WITH_CODE}
    assert {"README.md", "docs/tutorial.md", "docs/guides/discovery.md"} <= names


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
async def test_its_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    # a dataclass looks its module up
    monkeypatch.setitem(sys.modules, bench.module.__name__, bench.module)
    for block in python(page):
        try:
            await _run(bench, block)
        except Exception as error:
            error.add_note(f"the block at {block.where}; tests/docs/blocks.py says how it gets a context")
            raise


async def _run(bench: Bench, block: Block) -> None:
    async with bench.stack:
        if (name := block.said.get("context")) is not None:
            make = getattr(contexts, name, None)
            assert inspect.iscoroutinefunction(make), f"tests/docs/contexts.py has no {name}"
            await make(bench)
        elif (default := contexts.OF_PAGES.get(str(block.page.relative_to(ROOT)))) is not None:
            await default(bench)
        try:
            await bench.run(block)
        except Enough:
            assert name is not None
    if "__main__" in block.code:
        assert "run" in block.said, "it is a program: say before it  <!-- run: ARGUMENTS until TEXT -->"
        arguments, _, until = block.said["run"].partition("until ")
        await bench.run_program(block, arguments, until)
