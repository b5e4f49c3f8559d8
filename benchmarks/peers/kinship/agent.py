"""One member of a kinship cluster as a process; the contract is in ../README.md."""

from __future__ import annotations

import signal
import sys
import threading
import time

import kinship
from kinship.blocking import Cluster, EventStream

from benchmarks.peers.contract import Printer, begin, exit_on_signals, parser

JOIN_RETRY = 1.0


def configuration(listen: str, raise_stream_limit: bool) -> kinship.Config:
    """``Config.lan``, in plain text like the other peers.

    A member serves 64 streams at once, and 16 of one address. On one machine all members share an
    address, so the smaller limit holds where on a network the larger one would: it is raised to
    that on demand.
    """
    config = kinship.Config.lan(name=listen, bind=listen, insecure_plaintext=True)
    if raise_stream_limit:
        config = config.replace(max_inbound_streams_per_ip=config.max_inbound_streams)
    return config


def join(cluster: Cluster, seeds: list[str]) -> None:
    """Try the seeds until one answers. A process whose only seed is itself founds the cluster."""
    while seeds:
        try:
            cluster.join(seeds)
            return
        except kinship.JoinError as problem:
            print(f"no seed has answered, trying again: {problem}", file=sys.stderr)
            time.sleep(JOIN_RETRY)


def follow(cluster: Cluster, events: EventStream, printer: Printer) -> None:
    """Print the view, and then at each change, until the cluster closes.

    A suspect is a member until it is found dead. Events do not speak of the process itself.
    """
    me = cluster.local.name
    members = {me}
    printer.view(members)
    for event in events:
        before = frozenset(members)
        match event:
            case kinship.MemberJoined(member=member):
                members.add(member.name)
            case kinship.MemberDead(member=member) | kinship.MemberLeft(member=member):
                members.discard(member.name)
            case kinship.EventsLost():
                members = {me} | {member.name for member in cluster.members()}
        if members != before:
            printer.view(members)


def main() -> None:
    options_of_all = parser("One member of a kinship cluster.")
    options_of_all.add_argument(
        "--raise-stream-limit", action="store_true", help="serve as many streams of one address as of all"
    )
    options = options_of_all.parse_args()
    exit_on_signals()
    # it leaves, and then closes, when the block ends
    with Cluster(configuration(options.listen, options.raise_stream_limit)) as cluster:
        events = cluster.events()
        printer = Printer(with_members=not options.no_members)
        printer.ready()
        threading.Thread(target=follow, args=(cluster, events, printer), name="events").start()
        begin(options)
        join(cluster, [seed for seed in options.seed if seed != options.listen])
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
