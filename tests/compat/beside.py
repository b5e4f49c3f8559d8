"""Whether common packages can be installed beside the library, at the versions that they have without it."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

from .tool import WHEELS, uv

PACKAGES = (
    "opentelemetry-exporter-otlp-proto-grpc",
    "grpcio-status",
    "googleapis-common-protos",
    "tensorflow",
    "ray",
    "apache-airflow",
    "temporalio",
    "apache-beam",
    "ortools",
    "snowflake-connector-python",
    "weaviate-client",
    "flwr",
    "kfp",
    "qdrant-client",
    "pymilvus",
    "vllm",
)
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Those for which the extra ``placement`` is resolved."""
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class Resolution(NamedTuple):
    """The versions found, by name; or what the resolver says."""

    versions: dict[str, str]
    problem: str = ""


def resolved(package: str, *arguments: str, python: str = HERE) -> Resolution:
    """The newest versions that go together, from wheels and sources, or else from wheels alone."""
    found = Resolution({}, "not tried")
    for wheels in ((), WHEELS):
        options = ("--quiet", "--no-header", "--no-annotate", "--python-version", python, *wheels)
        done = uv("pip", "compile", *options, *arguments, "-", given=package)
        if done.returncode == 0:
            return Resolution(dict(re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", done.stdout, re.MULTILINE)))
        found = Resolution({}, done.stderr)
    return found


def conflict(package: str, *extras: str, python: str = HERE) -> bool:
    """Print what the library does to this package; True when that is anything at all."""
    alone = resolved(package, python=python)
    if alone.problem:
        print(f"  {package}: cannot be installed under Python {python}, with or without the library")
        return False
    options = [option for extra in extras for option in ("--extra", extra)]
    beside = resolved(package, "pyproject.toml", *options, python=python)
    newest = alone.versions[package]
    if beside.problem:
        print(f"X {package} {newest}: cannot be installed beside the library\n{beside.problem}")
        return True
    if beside.versions[package] != newest:
        print(f"X {package} {newest}: only {beside.versions[package]} beside the library")
        return True
    those = ", ".join(f"{name} {beside.versions[name]}" for name in ("protobuf", "grpcio"))
    print(f"  {package} {newest}: with {those}, Python {python}")
    return False


def run() -> None:
    """Raise SystemExit when any package is held back by the library."""
    found = [package for package in PACKAGES if conflict(package)]
    found += [f"ortools ({python})" for python in PYTHONS if conflict("ortools", "placement", python=python)]
    if found:
        raise SystemExit(f"not beside the library: {', '.join(found)}")
