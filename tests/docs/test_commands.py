"""Every command line in the pages is one that exists, with options that exist."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise

import pytest

from rapid.cli import COMMANDS

from .blocks import PAGES, ROOT, Block, commands

CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = CONFIGURATION["project"]
KNOWN = {".", "cd", "curl", "docker", "git", "journalctl", "kill", "kubectl", "podman", "printf", "systemctl"}
KNOWN |= {"gunicorn", "mkdocs", "openssl", "sqlite3", "uvicorn"}
"""Programs of others, which are taken as they are."""
LINES = [(block, command) for page in PAGES for block, command in commands(page)]


class _Refused(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # it does not return there either
        raise _Refused(message)


def check(command: str) -> None:
    """Raise :class:`AssertionError` or :class:`_Refused` for what would not work."""
    for part in _parts(command):
        while part and re.fullmatch(r"\w+=\S*", part[0]):
            part = part[1:]  # a variable for this one command
        if not part or part == ["&"]:
            continue
        program, *arguments = part
        match program.removeprefix(".venv/bin/"):
            case "rapid":
                _rapid(arguments)
            case "make":
                _make(arguments)
            case "pip":
                _pip(arguments)
            case "python" | "python3":
                _python(arguments)
            case ".ci/run":
                assert (ROOT / ".ci/run").is_file()
            case other:
                assert other in KNOWN, f"{other!r} is not known: add it to KNOWN in test_commands.py"


def _parts(command: str) -> Iterator[list[str]]:
    """Words of each program in a pipe or list."""
    words = shlex.split(command.replace("|", " | ").replace("&&", " && ").replace(";", " ; "))
    part: list[str] = []
    for word in words:
        if word in ("|", "&&", ";", "sudo", "&"):
            yield part
            part = []
        elif word in (">", "<"):
            yield part
            return
        else:
            part.append(word)
    yield part


def _rapid(arguments: list[str]) -> None:
    if arguments in (["--help"], ["--version"]):
        return
    name, *rest = arguments
    assert name in COMMANDS, f"rapid has no command {name!r}"
    module = import_module(f"rapid.cli.{name}")
    parser = _Parser(prog=f"rapid {name}")
    module.configure(parser)
    if "--help" not in rest:
        parser.parse_args(rest)


def _make(arguments: list[str]) -> None:
    targets = [argument for argument in arguments if "=" not in argument]
    made = subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for variable in set(arguments) - set(targets):
        name = variable.partition("=")[0]
        assert re.search(rf"\$[({{]{name}[)}}]", makefile), f"the Makefile has no {name}"


def _pip(arguments: list[str]) -> None:
    assert arguments[0] == "install", "pip what?"
    groups = [group for option, group in pairwise(arguments) if option == "--group"]
    assert set(groups) <= set(CONFIGURATION["dependency-groups"]), f"there is no such group: {groups}"
    for wanted in arguments[1:]:
        if wanted in groups:
            continue
        if found := re.fullmatch(r"(\.|rapid-membership)(?:\[([\w,]+)\])?", wanted):
            extras = set((found[2] or "").split(",")) - {""}
            assert extras <= set(PROJECT["optional-dependencies"]), f"there is no such extra: {extras}"
        else:
            others = not wanted.startswith(("-", ".", "rapid"))
            assert others or wanted in ("--editable", "-e", "--upgrade", "--group"), wanted


def _python(arguments: list[str]) -> None:
    if arguments[:1] == ["-m"]:
        assert arguments[1] in ("venv", "pip") or find_spec(arguments[1]), f"no module {arguments[1]}"
        if arguments[1] == "pip":
            _pip(arguments[2:])
    elif arguments[:1] != ["-c"]:
        name = arguments[0]
        assert (ROOT / name).is_file() or _is_in_a_page(name), f"no file {name}"


def _is_in_a_page(name: str) -> bool:
    """A program that the reader has just written: the page says under which name."""
    return any(re.search(rf"`{re.escape(name)}`", page.read_text(encoding="utf-8")) for page in PAGES)


def test_the_commands_are_found() -> None:
    assert len(LINES) > 15


@pytest.mark.skipif(shutil.which("make") is None, reason="the pages are about make, which is not here")
@pytest.mark.parametrize(("block", "command"), LINES, ids=[block.where for block, _ in LINES])
def test_it_exists(block: Block, command: str) -> None:
    try:
        check(command)
    except (_Refused, AssertionError, ValueError) as error:
        raise AssertionError(f"{block.where}: {command}\n{error}") from error


@pytest.mark.parametrize(
    "command",
    [
        "rapid agnet --listen 127.0.0.1:7400",
        "rapid agent --lisen 127.0.0.1:7400",
        "rapid certs",
        "make tset",
        "make test PYTOHN=python3.12",
        "pip install 'rapid-membership[clii]'",
        "pip install rapid-membershp",
        "pip install --editable . --group dve",
        "python examples/folow_views.py",
        "python -m tests.fuzz.gided codec",
        "frobnicate",
        "rapid overlay | frobnicate",
    ],
)
def test_what_does_not_exist_is_found(command: str) -> None:
    with pytest.raises((AssertionError, _Refused)):
        check(command)
