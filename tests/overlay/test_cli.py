"""``rapid overlay``: what it prints, and what it says to bad input."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rapid.cli import overlay

Run = Callable[..., tuple[int, str, str]]
THREE = "127.0.0.1:10000\n# the seed\n\n  127.0.0.1:10001  \n[::1]:80 # v6\n"


@pytest.fixture
def rapid_overlay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call it with a standard input and options; get its exit status and what it printed."""

    def run(text: str | bytes, *options: str) -> tuple[int, str, str]:
        data = text if isinstance(text, bytes) else text.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        parser = argparse.ArgumentParser()
        overlay.configure(parser)
        status = overlay.run(parser.parse_args(options))
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_json(rapid_overlay: Run) -> None:
    status, out, err = rapid_overlay(THREE, "--json")
    shown = json.loads(out)
    endpoints = ["127.0.0.1:10000", "127.0.0.1:10001", "[::1]:80"]
    assert (status, err) == (0, "")
    assert list(shown) == ["rings", "observers", "subjects"]
    assert [sorted(ring) for ring in shown["rings"]] == [endpoints] * 10
    assert list(shown["observers"]) == list(shown["subjects"]) == endpoints
    for number, ring in enumerate(shown["rings"]):
        for at, endpoint in enumerate(ring):
            assert shown["observers"][endpoint][number] == ring[(at + 1) % 3]
            assert shown["subjects"][endpoint][number] == ring[at - 1]


def test_k(rapid_overlay: Run) -> None:
    _, out, _ = rapid_overlay(THREE, "--json", "--k", "4")
    shown = json.loads(out)
    assert len(shown["rings"]) == 4
    assert {len(observers) for observers in shown["observers"].values()} == {4}


@pytest.mark.parametrize(("text", "endpoints"), [("", []), ("# none\n", []), ("a:1", ["a:1"])])
def test_fewer_than_two_observe_nobody(rapid_overlay: Run, text: str, endpoints: list[str]) -> None:
    status, out, _ = rapid_overlay(text, "--json")
    nobody: dict[str, list[str]] = {endpoint: [] for endpoint in endpoints}
    assert status == 0
    assert json.loads(out) == {"rings": [endpoints] * 10, "observers": nobody, "subjects": nobody}


def test_the_listing(rapid_overlay: Run) -> None:
    status, out, _ = rapid_overlay("a:1\nb:2\n")
    assert status == 0
    assert out.splitlines()[0] == "2 endpoints on 10 rings"
    assert "a:1\n  observed by b:2 x10\n  observes    b:2 x10\n" in out
    assert "nobody" in rapid_overlay("a:1\n")[1]


def test_analyse(rapid_overlay: Run) -> None:
    text = "".join(f"10.0.0.{number}:7400\n" for number in range(100))
    _, out, _ = rapid_overlay(text, "--json", "--analyse")
    analysis = json.loads(out)["analysis"]
    assert set(analysis) == {"second_eigenvalue", "lambda_over_2k", "detectable_fraction"}
    assert analysis["detectable_fraction"] == pytest.approx(1 - 0.3 - analysis["second_eigenvalue"] / 20)
    assert "detectable fraction  0.2" in rapid_overlay(text, "--analyse")[1]


def test_svg(rapid_overlay: Run, tmp_path: Path) -> None:
    file = tmp_path / "rings.svg"
    assert rapid_overlay(THREE, "--svg", str(file))[0] == 0
    assert file.read_text(encoding="utf-8").startswith("<svg ")
    status, out, err = rapid_overlay(THREE, "--svg", str(tmp_path / "absent" / "rings.svg"))
    assert (status, out) == (1, "")
    assert "absent" in err


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a:1\nnonsense\n", (), "line 2: 'nonsense' is no HOST:PORT"),
        ("a:1\n\n# x\nb:99999\n", (), "line 4: port 99999"),
        ("a:1\n::1:80\n", (), "line 2: '::1:80': write an IPv6 address"),
        ("a:1\nb:1\na:1\n", ("--json",), "line 3: a:1 is on line 1 already"),
        (b"a:1\n\xff:2\n", (), "line 2: not UTF-8"),
        (THREE, ("--k", "0"), "k: 0 rings"),
        (THREE, ("--analyse", "--l", "11"), "l: low watermark 11"),
    ],
)
def test_bad_input_is_named_with_its_line(
    rapid_overlay: Run, text: str | bytes, options: tuple[str, ...], message: str
) -> None:
    status, out, err = rapid_overlay(text, *options)
    assert (status, out) == (2, "")
    assert err.startswith(f"rapid overlay: {message}")


def test_an_analysis_without_its_extra_says_what_to_install(
    rapid_overlay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    status, out, err = rapid_overlay(THREE, "--analyse")
    assert (status, out) == (1, "")
    assert "pip install 'rapid-membership[analysis]'" in err
    assert rapid_overlay("a:1\n", "--analyse")[0] == 1
    assert rapid_overlay(THREE)[0] == 0
