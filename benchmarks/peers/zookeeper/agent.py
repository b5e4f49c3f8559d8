"""One member by way of ZooKeeper as a process; the contract is in ../README.md.

A member is an ephemeral node, the view is the list of their names. ``--seed`` names a server, and
``--listen`` is only the member's name: it listens to nobody.
"""

from __future__ import annotations

import signal

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import NodeExistsError, NoNodeError

from benchmarks.peers.contract import Printer, begin, exit_on_signals, parser

MEMBERS = "/members"
CONNECT_TIMEOUT = 60.0


def register(client: KazooClient, name: str) -> None:
    """Make the member's node. One that an earlier session of the name has left behind goes."""
    path = f"{MEMBERS}/{name}"
    while True:
        try:
            client.retry(client.create, path, ephemeral=True, makepath=True)
            return
        except NodeExistsError:
            found = client.retry(client.exists, path)
            if found is not None and found.ephemeralOwner == client.client_id[0]:
                # made by a try whose answer was lost
                return
        try:
            client.retry(client.delete, path)
        except NoNodeError:
            continue  # its session has expired meanwhile


def keep_registered(client: KazooClient, name: str) -> None:
    """Make the node anew whenever its session was lost."""
    lost = False

    def state_changed(state: str) -> None:
        nonlocal lost
        if state == KazooState.LOST:
            lost = True
        elif state == KazooState.CONNECTED and lost:
            lost = False
            # a listener must not wait for the server
            client.handler.spawn(register, client, name)

    client.add_listener(state_changed)


def main() -> None:
    options = parser("One member by way of ZooKeeper.").parse_args()
    exit_on_signals()
    client = KazooClient(hosts=",".join(options.seed))
    try:
        client.start(timeout=CONNECT_TIMEOUT)
        printer = Printer(with_members=not options.no_members)
        printer.ready()
        begin(options)
        register(client, options.listen)
        keep_registered(client, options.listen)
        seen: list[str] = []

        def changed(names: list[str]) -> None:
            nonlocal seen
            if sorted(names) != seen:
                seen = sorted(names)
                printer.view(seen)

        client.ChildrenWatch(MEMBERS, changed)
        while True:
            signal.pause()
    finally:
        # closes the session, and the node goes with it
        client.stop()
        client.close()


if __name__ == "__main__":
    main()
