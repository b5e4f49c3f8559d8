"""Mutation testing of the protocol core: `make mutants`, or `python -m tests.mutation.run rapid/consensus`.

mutmut makes the mutants of each module and runs the tests that `scopes.toml` names for it. The survivors are
compared with `known.toml`. The run fails where a survivor is not listed there, where a listed mutant does not
survive, or where a folder's score is too low. mutmut works in `build/mutants`; the checkout is not changed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "mutants"
MUTMUT = str(Path(sys.executable).with_name("mutmut"))
KILLED = ("killed", "timeout")
"""The outcomes that count as found. A mutant that never ends is found, too."""


class Mutant(NamedTuple):
    """One change to one line, independent of where in the file it stands."""

    module: str
    """The path of the file from the root of the checkout."""
    function: str
    """``function`` or ``Class.method``."""
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.module} {self.function}\n    - {self.was}\n    + {self.now}"


@dataclass(frozen=True)
class Scope:
    """A module that is mutated and the tests that are to find its mutants."""

    module: str
    tests: tuple[str, ...]
    options: tuple[str, ...] = ()
    """Further options of pytest."""

    @property
    def folder(self) -> str:
        return str(Path(self.module).parent)


@dataclass
class Result:
    """What became of one module's mutants."""

    scope: Scope
    outcomes: Counter[str] = field(default_factory=Counter)
    survivors: list[Mutant] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.outcomes.total()

    @property
    def killed(self) -> int:
        return sum(self.outcomes[outcome] for outcome in KILLED)


@dataclass(frozen=True)
class Known:
    """The survivors that are listed, each with its reason."""

    equivalent: frozenset[Mutant]
    """These behave like the original, so no test can find them."""
    open: frozenset[Mutant]
    """A test could find these and none does; they count against the score."""


def read_known(text: str) -> Known:
    """Read ``known.toml``; raises ValueError for an entry without a reason and for one listed twice."""
    groups: dict[str, set[Mutant]] = {"equivalent": set(), "open": set()}
    for kind, entries in tomllib.loads(text).items():
        for entry in entries:
            if not entry.get("why"):
                raise ValueError(f"no reason for a survivor: {entry}; say why no test finds it")
            mutant = Mutant(entry["module"], entry["function"], entry["was"], entry["now"])
            if mutant in groups["equivalent"] | groups["open"]:
                raise ValueError(f"listed twice: {mutant}")
            groups[kind].add(mutant)
    return Known(frozenset(groups["equivalent"]), frozenset(groups["open"]))


def problems(results: Sequence[Result], known: Known, least: dict[str, int]) -> list[str]:
    """What is wrong with these results, one line each. ``least``: each folder's lowest score in %."""
    found = {mutant for result in results for mutant in result.survivors}
    modules = {result.scope.module for result in results}
    listed = known.equivalent | known.open
    wrong = [f"survives and is not listed: {mutant}" for mutant in sorted(found - listed)]
    stale = (mutant for mutant in sorted(listed - found) if mutant.module in modules)
    wrong += [f"is listed and does not survive: {mutant}" for mutant in stale]
    for folder, percent in least.items():
        killed, total = score(results, known, folder + "/")
        if 100 * killed < percent * total:
            wrong.append(f"score too low: {folder} has {killed} of {total}; {percent} % are asked for")
    return wrong


def score(results: Iterable[Result], known: Known, prefix: str) -> tuple[int, int]:
    """How many mutants below this path were killed, and of how many that are not equivalent."""
    mine = [result for result in results if result.scope.module.startswith(prefix)]
    equivalent = sum(mutant in known.equivalent for result in mine for mutant in result.survivors)
    return sum(result.killed for result in mine), sum(result.total for result in mine) - equivalent


def changed_lines(diff: str) -> tuple[str, str]:
    """The lines that a diff takes out and puts in, each joined by spaces."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    was, now = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in ("-", "+"))
    return was, now


def function_of(name: str) -> str:
    """The function that a mutant's name tells: ``a.b.xǁClassǁmethod__mutmut_3`` is ``Class.method``."""
    mangled = name.rpartition(".")[2].rpartition("__mutmut_")[0]
    return mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")


def prepare(scope: Scope) -> Path:
    """Make a directory in which mutmut finds the code, the tests and its configuration."""
    work = BUILD / scope.module.removesuffix(".py").replace("/", ".")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name in ("rapid", "tests"):
        (work / name).symlink_to(ROOT / name)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tables = {
        "tool.pytest.ini_options": project["tool"]["pytest"]["ini_options"],
        "tool.mutmut": {
            "source_paths": ["rapid"],
            "only_mutate": [scope.module],
            "pytest_add_cli_args_test_selection": scope.tests,
            "pytest_add_cli_args": ["--hypothesis-profile=mutants", *scope.options],
            "track_dependencies": False,
            "use_git_change_detection": False,
        },
    }
    (work / "pyproject.toml").write_text("\n".join(toml(name, table) for name, table in tables.items()))
    return work


def toml(name: str, table: dict[str, Any]) -> str:
    """A table of strings, numbers, truth values and lists of them, which TOML writes as JSON does."""
    return "\n".join([f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()), ""])


def run(scope: Scope, jobs: int) -> Result:
    """Make the mutants of a module and run its tests on each."""
    work = prepare(scope)
    with (work / "log").open("w") as log:
        command = [MUTMUT, "run", "--max-children", str(jobs)]
        status = subprocess.call(command, cwd=work, stdout=log, stderr=log)
    if status:
        raise SystemExit(f"mutmut failed on {scope.module}: exit status {status}; see {work / 'log'}")
    result = Result(scope)
    for line in mutmut(work, "results", "--all", "true").splitlines():
        name, _, outcome = line.strip().partition(": ")
        result.outcomes[outcome] += 1
        if outcome not in KILLED:
            was, now = changed_lines(mutmut(work, "show", name))
            result.survivors.append(Mutant(scope.module, function_of(name), was, now))
    return result


def mutmut(work: Path, *arguments: str) -> str:
    done = subprocess.run([MUTMUT, *arguments], cwd=work, check=True, capture_output=True, text=True)
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="*", help="files or folders to mutate; all of scopes.toml by default")
    parser.add_argument("--jobs", type=int, default=1, help="mutants that are tested at the same time")
    options = parser.parse_args(arguments)
    table = tomllib.loads((HERE / "scopes.toml").read_text())
    known = read_known((HERE / "known.toml").read_text())
    scopes = [
        Scope(module, tuple(entry["tests"]), tuple(entry.get("options", ())))
        for module, entry in table["modules"].items()
    ]
    chosen = [scope for scope in scopes if not options.paths or scope.module.startswith(tuple(options.paths))]
    if not chosen:
        parser.error(f"nothing to mutate: {' '.join(options.paths)}; scopes.toml has no module there")
    results: list[Result] = []
    for scope in chosen:
        results.append(result := run(scope, options.jobs))
        killed, total = score([result], known, scope.module)
        print(f"{scope.module}: {killed} of {total} killed, {result.total - total} equivalent", flush=True)
    # the score of a folder is known only when all of its modules were tried
    partly = {scope.folder for scope in scopes if scope not in chosen}
    least = {folder: percent for folder, percent in table["scores"].items() if folder not in partly}
    for folder in least:
        killed, total = score(results, known, folder + "/")
        print(f"{folder}: {killed} of {total} killed, {100 * killed / total:.1f} %")
    wrong = problems(results, known, least)
    print(*wrong, sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
