"""What the benchmark puts around program.py, beside this file; the contract is in ../README.md."""

from __future__ import annotations

import asyncio
import signal
from functools import partial

# start() would load the latter two, and starting is not joining
import rapid
import rapid.discovery
import rapid.runtime.membership
from benchmarks.peers.contract import Printer, begin, parser
from benchmarks.peers.embedded import program


def report(printer: Printer, change: rapid.Change) -> None:
    """Print the view that a change has brought."""
    if isinstance(change, rapid.ViewChange | rapid.ViewsSkipped):
        printer.view(str(member.endpoint) for member in change.view.members)


def main() -> None:
    """Have SIGTERM do what Ctrl-C does to the program, which leaves then."""
    options_of_all = parser("One member of a Rapid cluster in a plain program.")
    options_of_all.add_argument("--join-timeout", type=float, default=30.0, metavar="SECONDS")
    options = options_of_all.parse_args()
    # a shell may have started it with SIGINT ignored, and asyncio would leave it so
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    settings = rapid.Settings.lan(join_timeout=options.join_timeout)
    # the others try to join for ever: that is all the program does not say itself
    vars(rapid)["Cluster"] = partial(rapid.Cluster, settings=settings)
    printer = Printer(with_members=not options.no_members)
    try:
        # it listens only once it runs, so the time that takes is part of its time to join
        printer.ready()
        begin(options)
        asyncio.run(program.main(options.listen, *options.seed, use=partial(report, printer)))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
