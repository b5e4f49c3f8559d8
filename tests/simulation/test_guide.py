"""The guide's programs do what the guide says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "simulation.md"


def test_the_guides_programs_run(capsys: pytest.CaptureFixture[str]) -> None:
    defined: dict[str, Any] = {}
    programs = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert programs
    for program in programs:
        exec(compile(program, GUIDE, "exec"), defined)
    assert re.match(r"agreed on the crash after \d\.\d s, at version \d", capsys.readouterr().out)
    assert len(set(defined["owners"].values())) == 3
