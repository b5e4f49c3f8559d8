"""Try the library with the dependencies that other people have; ``make compat`` runs this."""

from __future__ import annotations

import argparse
import asyncio

from . import beside, mixed
from .environments import ENVIRONMENTS

BRIEF = ("tests/proto",)
WHOLE = ("tests/proto", "tests/runtime")


def main() -> None:
    """Raise SystemExit when any of it fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description=__doc__)
    parser.add_argument("--brief", action="store_true", help="tests of the runtime with the oldest alone")
    parser.add_argument("--only", choices=("beside", "mixed", "tests"), help="one part of it")
    options = parser.parse_args()
    if options.only in (None, "beside"):
        print("packages beside the library:", flush=True)
        beside.run()
    if options.only == "beside":
        return
    for environment in ENVIRONMENTS:
        environment.make()
        print(f"{environment.name}: {environment.versions()}", flush=True)
    if options.only in (None, "mixed"):
        asyncio.run(mixed.run(ENVIRONMENTS))
    if options.only in (None, "tests"):
        failed = []
        for number, environment in enumerate(ENVIRONMENTS):
            print(f"tests with {environment.name}:", flush=True)
            if not environment.test(*(BRIEF if options.brief and number else WHOLE)):
                failed.append(environment.name)
        if failed:
            raise SystemExit(f"tests fail with: {', '.join(failed)}")


if __name__ == "__main__":
    main()
