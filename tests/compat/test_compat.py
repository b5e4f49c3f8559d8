"""The checks of ``make compat`` can fail: shown without an index and without processes."""

from __future__ import annotations

import asyncio
import subprocess
from typing import Any, cast

import pytest

from . import beside
from .environments import ENVIRONMENTS
from .mixed import Running, agree

NEWEST = "# nothing\ngrpcio==1.85.3\nortools[x]==9.15.1\nprotobuf==6.33.6\n"
OLDER = NEWEST.replace("9.15.1", "9.10.2")


@pytest.mark.parametrize(
    ("alone", "with_the_library", "found", "said"),
    [
        (NEWEST, NEWEST, False, "  ortools 9.15.1: with protobuf 6.33.6, grpcio 1.85.3"),
        (NEWEST, OLDER, True, "X ortools 9.15.1: only 9.10.2 beside the library"),
        (NEWEST, None, True, "X ortools 9.15.1: cannot be installed beside the library\nno solution"),
        (None, None, False, "  ortools: cannot be installed under Python 3.12, with or without the library"),
    ],
    ids=["the same", "held back", "impossible", "impossible by itself"],
)
def test_a_package_that_the_library_holds_back_is_a_conflict(
    alone: str | None,
    with_the_library: str | None,
    found: bool,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def uv(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        assert given == "ortools"
        answer = with_the_library if "pyproject.toml" in arguments else alone
        return subprocess.CompletedProcess(arguments, answer is None, answer or "", "no solution")

    monkeypatch.setattr(beside, "uv", uv)
    assert beside.conflict("ortools", python="3.12") is found
    assert capsys.readouterr().out.startswith(said)


def running(me: str, view: list[str], *members: str) -> Running:
    one = Running(ENVIRONMENTS[0], cast(asyncio.subprocess.Process, None))
    one.newest = dict[str, Any](me=me, id=view, members={key: {} for key in members})
    return one


def test_members_agree_when_all_have_one_view_of_just_them() -> None:
    assert agree([running("a", ["1"], "a", "b"), running("b", ["1"], "a", "b")])
    assert not agree([running("a", ["1"], "a", "b"), running("b", ["2"], "a", "b")])
    assert not agree([running("a", ["1"], "a", "b", "dead"), running("b", ["1"], "a", "b", "dead")])
    assert not agree([running("a", ["1"], "a", "b"), running("b", [])])
