"""The networks that are broken in the other tests lose what they shall lose, and leave nothing behind."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from benchmarks.topology import PREFIX, Host, Network, between, leftovers, out_of, remove_leftovers, towards

pytestmark = [pytest.mark.network, pytest.mark.usefixtures("rights")]


def received(network: Network, sender: Host, receiver: Host, count: int = 1) -> int:
    """How many of so many datagrams arrive."""
    with network.within(receiver):
        inbox = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with network.within(sender):
        outbox = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with inbox, outbox:
        inbox.bind((receiver.address, 0))
        inbox.setblocking(False)
        found = 0
        for _ in range(count):
            outbox.sendto(b"", inbox.getsockname())
            try:
                # between namespaces a datagram is there before sendto() returns
                inbox.recv(1)
                found += 1
            except BlockingIOError:
                pass
        return found


def test_all_reach_all() -> None:
    with Network(3) as network:
        assert all(received(network, a, b) for a in network.hosts for b in network.hosts if a != b)
        assert network.dropped() == 0


def test_one_way_only() -> None:
    with Network(3) as network:
        one, struck, other = network.hosts
        for rule, lost in ((towards(struck), [(one, struck)]), (out_of(struck), [(struck, one)])):
            network.impose(rule)
            links = [(one, struck), (struck, one), (one, other)]
            assert [link for link in links if not received(network, *link)] == lost
            assert network.dropped() == 1
        network.impose()
        assert received(network, struck, one)


def test_the_share_that_is_lost() -> None:
    with Network(2) as network:
        one, struck = network.hosts
        network.impose(towards(struck, percent=80))
        # six standard deviations
        assert 124 < received(network, one, struck, 1000) < 276
        assert received(network, struck, one, 1000) == 1000


def test_a_partition() -> None:
    with Network(4) as network:
        a, b, c, d = network.hosts
        network.impose(*between([a, b], [c, d]))
        reached = [(x, y) for x in network.hosts for y in network.hosts if x != y and received(network, x, y)]
        assert reached == [(a, b), (b, a), (c, d), (d, c)]


def test_nothing_is_left_after_an_error() -> None:
    network = Network(2)

    def fail() -> None:
        with network:
            assert leftovers(network.prefix)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert leftovers(network.prefix) == []


def test_a_rule_that_is_none_is_an_error_and_changes_nothing() -> None:
    with Network(2) as network:
        one, struck = network.hosts
        network.impose(towards(struck))
        with pytest.raises(RuntimeError, match="syntax error"):
            network.impose("nonsense")
        assert not received(network, one, struck)


def test_the_network_of_a_dead_process_goes_when_the_next_comes(pytestconfig: pytest.Config) -> None:
    program = "import os; from benchmarks.topology import Network; Network(2).__enter__(); os._exit(0)"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=pytestconfig.rootpath)
    assert process.wait() == 0
    left = f"{PREFIX}{process.pid}-"
    assert leftovers(left)
    with Network(1) as network:
        assert leftovers(left) == []
        assert leftovers(network.prefix)
        remove_leftovers()
        assert leftovers(network.prefix), "its process lives"
