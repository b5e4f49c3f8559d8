"""The targets under a fuzzer that follows coverage: ``python -m tests.fuzz.guided codec --seconds 60``.

The fuzzer is atheris. What it has learnt is kept and goes on with the next run; an input that breaks a
promise, takes too long or too much memory ends the run with a status that is not 0, and is kept, too:
``--replay FILE`` gives it to the target again. With ``--drawn`` the fuzzer does not change the input
itself but what hypothesis draws it by: so it is well-formed more often, and reaches further.

Where there is no atheris for the interpreter, this says so, and hypothesis draws by chance for as long. It
finds what breaks or takes too long, and sets no limit to memory.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random

KEPT = Path(".fuzz")
TIMEOUT = 20
"""Seconds that one input may take; ordinary ones take a hundredth of one."""
MEMORY = 1024
"""MiB that the process may have, however many inputs it has seen."""
LONGEST = 4096
"""Bytes of an input."""

Target = Callable[[bytes], object]


def main() -> int:
    """0 when nothing was found in the time given."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.guided",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", choices=("codec", "node"))
    parser.add_argument("--drawn", action="store_true", help="change what hypothesis draws the input by")
    parser.add_argument("--seconds", type=int, default=60, metavar="S", help="(%(default)s)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="only this input")
    parser.add_argument("--kept", type=Path, default=KEPT, metavar="DIRECTORY", help="(%(default)s)")
    args = parser.parse_args()
    target = _drawn if args.drawn else _plain
    if args.replay is not None:
        target(args.target)(args.replay.read_bytes())
        return 0
    try:
        import atheris
    except ImportError:
        version = ".".join(map(str, sys.version_info[:2]))
        print(f"No atheris for Python {version} here: hypothesis draws by chance, without coverage.")
        return _by_chance(args.target, args.seconds)
    with atheris.instrument_imports(include=["rapid"]):
        run = target(args.target)
    name = f"{args.target}-drawn" if args.drawn else args.target
    corpus, found = args.kept / name, args.kept / "found"
    for directory in (corpus, found):
        directory.mkdir(parents=True, exist_ok=True)
    for seed in _choices() if args.drawn else _said(args.target):
        (corpus / sha256(seed).hexdigest()[:40]).write_bytes(seed)
    atheris.Setup(
        [
            sys.argv[0],
            str(corpus),
            f"-max_total_time={args.seconds}",
            f"-timeout={TIMEOUT}",
            f"-rss_limit_mb={MEMORY}",
            f"-max_len={LONGEST}",
            "-len_control=0",
            f"-artifact_prefix={found}/{name}-",
            "-print_final_stats=1",
        ],
        run,
    )
    # it does not return: the process ends with the fuzzer's status
    atheris.Fuzz()
    raise AssertionError("the fuzzer has come back")


def _plain(name: str) -> Target:
    from tests.fuzz import targets

    target: Target = getattr(targets, name)
    return target


def _drawn(name: str) -> Target:
    from tests.fuzz import test_targets

    told = test_targets.test_a_member_that_is_told_anything
    drawing = test_targets.test_frames if name == "codec" else told
    target: Target = drawing.hypothesis.fuzz_one_input  # type: ignore[attr-defined]  # @given puts it there
    return target


def _said(name: str) -> list[bytes]:
    from tests.fuzz import seeds

    return seeds.of(name)


def _choices() -> list[bytes]:
    """Enough for hypothesis to draw something long."""
    return [Random(number).randbytes(LONGEST) for number in range(8)]


def _by_chance(name: str, seconds: int) -> int:
    from hypothesis import given, settings

    from tests.fuzz import test_targets

    target = _plain(name)

    @settings(max_examples=100, deadline=None, derandomize=False)
    @given(test_targets.any_stream if name == "codec" else test_targets.any_script)
    def run(data: bytes) -> None:
        faulthandler.dump_traceback_later(TIMEOUT, exit=True, file=sys.__stderr__ or 2)
        try:
            target(data)
        finally:
            faulthandler.cancel_dump_traceback_later()

    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        run()
        rounds += 1
    print(f"{name}: {100 * rounds} inputs, and none that broke anything")
    return 0


if __name__ == "__main__":
    sys.exit(main())
