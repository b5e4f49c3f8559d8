"""The fuzzer's beginnings, and what it does where there is no fuzzer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from rapid.proto.codec import decode
from rapid.protocol.messages import Message

from . import guided, seeds, targets


def test_the_fuzzer_begins_with_a_message_of_every_kind() -> None:
    *said, stream = seeds.codec()
    assert {type(decode(one, targets.SPEAKER)) for one in said} == set(get_args(Message))
    for one in (*said, stream):
        targets.codec(one)


def test_the_fuzzer_begins_with_scripts_that_break_nothing() -> None:
    scripts = seeds.node()
    assert len(scripts) > 10
    for script in scripts:
        assert len(script) <= guided.LONGEST
        targets.node(script)


@pytest.mark.parametrize("target", ["codec", "node"])
def test_an_input_can_be_replayed(target: str, tmp_path: Path) -> None:
    kept = tmp_path / "found"
    kept.write_bytes(seeds.of(target)[0])
    subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", target, "--replay", str(kept)],
        check=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("target", ["codec", "node"])
def test_without_a_fuzzer_it_says_so_and_draws_by_chance(
    target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    monkeypatch.setattr(sys, "argv", ["guided", target, "--seconds", "1"])
    assert guided.main() == 0
    said = capsys.readouterr().out
    assert "No atheris for Python" in said
    assert "none that broke anything" in said


def test_without_a_fuzzer_what_breaks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(data: bytes) -> None:
        assert not data

    monkeypatch.setitem(sys.modules, "atheris", None)
    monkeypatch.setattr(targets, "codec", breaks)
    monkeypatch.setattr(sys, "argv", ["guided", "codec", "--seconds", "1"])
    with pytest.raises(AssertionError):
        guided.main()
