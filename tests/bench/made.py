"""Results made up for the tests."""

from __future__ import annotations

from pathlib import Path

from benchmarks.loopback import Traffic
from benchmarks.meter import Moment, Usage
from benchmarks.origin import Origin
from benchmarks.runs import Run, load
from benchmarks.store import MISSING, OK, Plan, Process, Store

ORIGIN = Origin(
    begun=1000.0, command="rapid bench run", code="aaaa", dirty=False, cpu="Abacus", cores=2,
    memory=2**34, kernel="6.1", python="CPython 3.11", libraries="{}", settings="{}", network="own",
)  # fmt: skip
SETTLE = (("settle", 1.0),)


def process(number: int, *views: tuple[float, int], killed: float | None = None) -> Process:
    """A joiner, or the founder for number 0."""
    role = "joiner" if number else "founder"
    return Process(f"127.0.0.1:{7400 + number}", role, 1.0, killed, number, views)


def moment(name: str, at: float, cpu: dict[int, float], **fields: float) -> Moment:
    """Each process's CPU seconds; 10 MB of memory at ``settled``."""
    size = 10_000_000 if name == "settled" else None
    usage = {group: Usage(spent, 0.0, size, size) for group, spent in cpu.items()}
    traffic = Traffic(int(fields.get("bytes", 0)), int(fields.get("packets", 0)))
    return Moment(name, at, traffic, fields.get("busy", 0.0), fields.get("own", 0.0), usage)


def bootstrap_of_three(store: Store, session: int, system: str = "rapid", number: int = 1) -> None:
    """All are released at 10; the last sees all at 12.5."""
    plan = Plan("bootstrap", system, "1", 3, number, SETTLE)
    processes = [
        process(0, (9.0, 1), (11.0, 3)),
        process(1, (11.5, 2), (12.0, 3)),
        process(2, (12.5, 3)),
    ]
    moments = [
        moment("released", 10.0, {0: 1.0, 1: 1.0, 2: 1.0}, bytes=100, packets=1, busy=50.0, own=1.0),
        moment("formed", 13.0, {0: 1.5, 1: 1.5, 2: 2.0}, bytes=5100, packets=11, busy=55.0, own=2.0),
        moment("settled", 14.0, {0: 1.5, 1: 1.5, 2: 2.0}),
    ]
    store.end(store.begin(session, plan), OK, None, processes, moments)


def cold_bootstrap_of_three(store: Store, session: int) -> None:
    """The first is started at 5; the last sees all at 12.5."""
    plan = Plan("bootstrap-cold", "rapid", "1", 3, 1, SETTLE)
    processes = [process(0, (9.0, 1), (11.0, 3)), process(1, (12.0, 3)), process(2, (12.5, 3))]
    moments = [
        moment("started", 5.0, {}, bytes=100, packets=1, busy=50.0, own=1.0),
        moment("formed", 13.0, {0: 1.5, 1: 1.5, 2: 2.0}, bytes=5100, packets=11, busy=57.0, own=2.0),
        moment("settled", 14.0, {0: 1.5, 1: 1.5, 2: 2.0}),
    ]
    store.end(store.begin(session, plan), OK, None, processes, moments)


def missing(store: Store, session: int, system: str) -> None:
    """It could not be built."""
    run = store.begin(session, Plan("bootstrap", system, "1", 3, 1, SETTLE))
    store.end(run, MISSING, "install Go")


def only(file: Path) -> Run:
    """The one run of a file."""
    with Store(file) as store:
        (run,) = load(store)
    return run
