"""What may import what. The core does no I/O and has no clock; dependencies point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rapid"

BELOW = {"overlay", "detection", "consensus", "protocol"}
"""The packages below the line: sans-IO."""
PLAIN = {"errors", "settings"}
"""Values that every layer may use."""
TOLD = {"view", "placement", "token", "standing"}
"""What applications are told, and what follows from it: as pure as the core."""
ALLOWED = {
    "errors": set[str](),
    "settings": {"errors"},
    "overlay": PLAIN,
    "detection": PLAIN | {"overlay"},
    "consensus": PLAIN | {"overlay"},
    "protocol": PLAIN | {"overlay", "detection", "consensus"},
    "proto": PLAIN | BELOW,
    "token": PLAIN | {"overlay"},
    "placement": PLAIN | {"overlay"},
    "view": PLAIN | {"overlay", "placement", "token"},
    "standing": {"view"},
    "telling": PLAIN | BELOW | {"view"},
    "simulation": PLAIN | BELOW | {"view", "telling"},
    "log": set[str](),
    "runtime": PLAIN | BELOW | {"view", "telling", "proto", "log"},
}
"""Which layers a layer may import, besides itself. What is not listed may import anything."""

LOADS_NONE_OF = ("asyncio", "grpc", "google.protobuf", "structlog")
IMPORTS_NONE_OF = (
    *LOADS_NONE_OF,
    "time",
    "datetime",
    "os",
    "uuid",
    "secrets",
    "socket",
    "select",
    "selectors",
    "threading",
    "multiprocessing",
    "subprocess",
    "concurrent",
    "logging",
    "importlib",
)


class Sources:
    """The modules of one package, read and never run."""

    def __init__(self, package: Path) -> None:
        self.trees = {
            self._name(package, file): ast.parse(file.read_text(encoding="utf-8"), str(file))
            for file in sorted(package.rglob("*.py"))
        }
        self._packages = {self._name(package, file) for file in package.rglob("__init__.py")}
        self.root = package.name

    @staticmethod
    def _name(package: Path, file: Path) -> str:
        parts = (package.name, *file.relative_to(package).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def layer(self, module: str) -> str:
        """The part of a module's name after the root's; the root itself for the root."""
        return module.split(".")[1] if "." in module else self.root

    def core(self) -> list[str]:
        return [module for module in self.trees if self.layer(module) in BELOW | PLAIN | TOLD]

    def imports(self, module: str) -> Iterator[tuple[str, int]]:
        """Each module named by an import anywhere in the text, in functions too, and its line.

        ``from a import b`` names both ``a`` and ``a.b``, or only the latter where it is a module of ours.
        """
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.Import):
                yield from ((name.name, node.lineno) for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = self._absolute(module, node)
                inner = [f"{source}.{name.name}" for name in node.names]
                if not all(name in self.trees for name in inner):
                    yield source, node.lineno
                yield from ((name, node.lineno) for name in inner)

    def _absolute(self, module: str, node: ast.ImportFrom) -> str:
        if node.level == 0:
            return node.module or ""
        up = node.level - (module in self._packages)
        base = module.split(".")[: len(module.split(".")) - up]
        return ".".join([*base, *([node.module] if node.module else [])])

    def ours(self, module: str) -> str | None:
        """The module of this package that the name is, or is an attribute of."""
        while module and module not in self.trees:
            module = module.rpartition(".")[0]
        return module or None


def is_any_of(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def forbidden_imports(sources: Sources) -> list[str]:
    """Where the core, or a module of ours that it imports, names a module of I/O, clock or threads."""
    found = []
    todo, seen = sources.core(), set(sources.core())
    while todo:
        module = todo.pop()
        for name, line in sources.imports(module):
            if is_any_of(name, IMPORTS_NONE_OF):
                found.append(f"{module}:{line} imports {name}")
            own = sources.ours(name)
            if own is not None and own not in seen and own != sources.root:  # the root is lazy: loaded below
                seen.add(own)
                todo.append(own)
    return sorted(set(found))


def ambient_randomness(sources: Sources) -> list[str]:
    """Where the core uses more of the module ``random`` than the class, or makes an unseeded one."""
    found = []
    for module in sources.core():
        names = set()
        for node in ast.walk(sources.trees[module]):
            if isinstance(node, ast.Import):
                names |= {name.asname or name.name for name in node.names if name.name == "random"}
            elif isinstance(node, ast.ImportFrom) and node.module == "random":
                found += [
                    f"{module}:{node.lineno} imports random.{name.name}"
                    for name in node.names
                    if name.name != "Random"
                ]
        for node in ast.walk(sources.trees[module]):
            match node:
                case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in names:
                    if attribute != "Random":
                        found.append(f"{module}:{node.lineno} uses random.{attribute}")
                case ast.Call(func=ast.Attribute(attr="Random") | ast.Name(id="Random"), args=[]):
                    found.append(f"{module}:{node.lineno} makes an unseeded Random")
    return sorted(found)


def upward_imports(sources: Sources) -> list[str]:
    """Where a layer imports one that it must not know."""
    found = []
    for module in sources.trees:
        layer = sources.layer(module)
        if layer not in ALLOWED:
            continue
        for name, line in sources.imports(module):
            own = sources.ours(name)
            if own is not None and sources.layer(own) not in ALLOWED[layer] | {layer}:
                found.append(f"{module}:{line} imports {own}")
    return sorted(set(found))


def loaded_by(modules: list[str], path: Path) -> list[str]:
    """What of ``LOADS_NONE_OF`` is loaded once a fresh interpreter has imported the modules."""
    program = (
        "import importlib, sys\n"
        "before = set(sys.modules)\n"  # a .pth file of the environment may have loaded anything
        f"for module in {modules!r}: importlib.import_module(module)\n"
        f"print(*sorted(set({LOADS_NONE_OF!r}) & (set(sys.modules) - before)))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def sources() -> Sources:
    return Sources(PACKAGE)


def test_the_whole_core_is_looked_at(sources: Sources) -> None:
    assert {sources.layer(module) for module in sources.core()} == BELOW | PLAIN | TOLD
    assert {
        "rapid.overlay.rings",
        "rapid.protocol.messages",
        "rapid.consensus.facts",
        "rapid.detection.alert",
        "rapid.settings",
        "rapid.errors",
        "rapid.placement",
    } <= set(sources.core())


def test_the_core_imports_no_io_clock_or_threads(sources: Sources) -> None:
    assert forbidden_imports(sources) == []


def test_the_core_makes_no_randomness(sources: Sources) -> None:
    assert ambient_randomness(sources) == []


def test_dependencies_point_one_way(sources: Sources) -> None:
    assert upward_imports(sources) == []


def test_importing_the_core_loads_no_io(sources: Sources) -> None:
    assert loaded_by(sources.core(), PACKAGE.parent) == []


def planted(tmp_path: Path, **modules: str) -> Sources:
    """A package ``rapid`` of these modules; ``__`` in a name stands for the dot."""
    root = tmp_path / "rapid"
    for name, text in modules.items():
        file = root.joinpath(*name.split("__")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for folder in {root, *(file.parent for file in root.rglob("*.py"))}:
        (folder / "__init__.py").touch()
    return Sources(root)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import time", "time"),
        ("import os.path", "os.path"),
        ("from time import monotonic", "time"),
        ("from google import protobuf", "google.protobuf"),
        ("from google.protobuf.message import Message", "google.protobuf.message"),
        ("def f():\n    import asyncio", "asyncio"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import grpc.aio", "grpc.aio"),
        ("try:\n    import structlog as log\nexcept ImportError:\n    pass", "structlog"),
    ],
)
def test_a_forbidden_import_is_found(text: str, name: str, tmp_path: Path) -> None:
    found = forbidden_imports(planted(tmp_path, overlay__bad=text, overlay__good="import bisect, timeit_not"))
    assert f"rapid.overlay.bad imports {name}" in {f"{a.split(':')[0]} {a.split(' ', 1)[1]}" for a in found}
    assert all(line.startswith("rapid.overlay.bad:") for line in found)


@pytest.mark.parametrize(
    "text",
    [
        "import rapid.clock",
        "from rapid import clock",
        "from rapid.clock import now",
        "from .. import clock",
        "from ..clock import now",
    ],
)
def test_a_forbidden_import_through_another_module_is_found(text: str, tmp_path: Path) -> None:
    found = forbidden_imports(planted(tmp_path, protocol__bad=text, clock="from time import now"))
    assert "rapid.clock:1 imports time" in found


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("import random\ndef f(rng: random.Random) -> float:\n    return rng.random()", 0),
        ("from random import Random\ndef f(rng: Random) -> Random:\n    return Random(rng.random())", 0),
        ("import random\nx = random.random()", 1),
        ("import random as r\nx = r.choice([1])", 1),
        ("from random import shuffle", 1),
        ("import random\nx = random.SystemRandom()", 1),
        ("import random\nx = random.Random()", 1),
        ("from random import Random\nx = Random()", 1),
    ],
)
def test_ambient_randomness_is_found(text: str, count: int, tmp_path: Path) -> None:
    assert len(ambient_randomness(planted(tmp_path, consensus__bad=text))) == count


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("errors", "settings"),
        ("overlay", "detection"),
        ("detection", "consensus"),
        ("consensus", "detection"),
        ("detection", "protocol"),
        ("consensus", "protocol"),
        ("protocol", "runtime"),
        ("protocol", "simulation"),
        ("protocol", "proto"),
        ("protocol", "view"),
        ("simulation", "runtime"),
        ("proto", "runtime"),
        ("runtime", "simulation"),
        ("runtime", "cli"),
        ("protocol", "cluster"),
    ],
)
def test_an_upward_import_is_found(module: str, imported: str, tmp_path: Path) -> None:
    is_a_file = imported in {"settings", "cluster", "view"}
    texts = {imported if is_a_file else f"{imported}__thing": "x = 1"}
    where = module if module == "errors" else f"{module}__bad"
    target = next(iter(texts)).replace("__", ".")
    sources = planted(tmp_path, **{where: f"from rapid.{target} import x"}, **texts)
    assert upward_imports(sources) == [f"rapid.{where.replace('__', '.')}:1 imports rapid.{target}"]


def test_an_import_of_the_facade_is_upward(tmp_path: Path) -> None:
    sources = planted(tmp_path, protocol__bad="from rapid import Cluster")
    assert upward_imports(sources) == ["rapid.protocol.bad:1 imports rapid"]


@pytest.mark.parametrize(
    "text",
    [
        "from rapid import overlay",
        "from rapid.overlay import thing",
        "from ..overlay.thing import x",
        "import rapid.overlay.thing",
    ],
)
def test_a_downward_import_is_allowed(text: str, tmp_path: Path) -> None:
    assert upward_imports(planted(tmp_path, protocol__good=text, overlay__thing="x = 1")) == []


def test_what_is_loaded_is_found(tmp_path: Path) -> None:
    planted(tmp_path, overlay__bad="import asyncio.events", overlay__good="import bisect")
    assert loaded_by(["rapid.overlay.good"], tmp_path) == []
    assert loaded_by(["rapid.overlay.bad"], tmp_path) == ["asyncio"]
