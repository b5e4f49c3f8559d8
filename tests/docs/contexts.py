"""What is there while a block runs that says ``<!-- context: NAME -->``: an async function of that name.

Blocks that say nothing have their page's, if :data:`OF_PAGES` has one. It is given the bench before the
block runs. It may put names into ``bench.names`` and enter what has to last until the block's end into
``bench.stack``. A block that goes on for ever is ended by :class:`Enough`, raised from something that the
context has put there.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

import rapid
from rapid.cli import main

from .bench import Bench, Enough


async def a_cluster_to_join(bench: Bench) -> None:
    """A member runs at 10.0.0.5:7400. The block's ``rebalance`` sees two members, and then three."""
    seed = bench.address("10.0.0.5:7400")
    await _member(bench, seed)
    sizes: list[int] = []

    def rebalance(joined: tuple[rapid.Member, ...], removed: object, view: rapid.View) -> None:
        assert not removed
        sizes.append(view.size)
        if len(sizes) == 1:
            assert len(joined) == 2
            third = asyncio.ensure_future(_member(bench, "127.0.0.1:0", seeds=[seed]))
            bench.stack.push_async_callback(asyncio.wait, [third])
        else:
            assert sizes == [2, 3]
            raise Enough

    bench.names["rebalance"] = rebalance


async def a_log_of_its_own(bench: Bench) -> None:
    """The logger ``rapid`` has its handlers back at the end."""
    logger = logging.getLogger("rapid")
    bench.stack.callback(setattr, logger, "handlers", list(logger.handlers))


async def certificates(bench: Bench) -> None:
    """What ``rapid certs`` makes for node-2.example, as ca.pem, node.pem and node.key."""
    made = _certify(bench, "node-2.example")
    for name, content in zip(("ca.pem", "node.pem", "node.key"), made, strict=True):
        (bench.here / name).write_bytes(content)


async def a_cluster_with_tls(bench: Bench) -> None:
    """A member with TLS runs at 10.0.0.5:7400, and 10.0.0.7 has a certificate in pki/."""
    _, certificate, key = _certify(bench, "127.0.0.1")
    (bench.here / "pki" / "member-10.0.0.7.pem").write_bytes(certificate)
    (bench.here / "pki" / "member-10.0.0.7.key").write_bytes(key)
    pki = bench.here / "pki"
    tls = rapid.TLS(
        ca=pki / "ca.pem",
        certificate=pki / "member-127.0.0.1.pem",
        key=pki / "member-127.0.0.1.key",
        verify_address=True,
    )
    await _member(bench, bench.address("10.0.0.5:7400"), tls=tls)


async def a_pod(bench: Bench) -> None:
    """What Kubernetes puts into a pod's environment."""
    bench.stack.enter_context(mock.patch.dict(os.environ, POD_IP="127.0.0.1"))


OF_PAGES: dict[str, Callable[[Bench], Awaitable[None]]] = {"docs/guides/kubernetes.md": a_pod}


async def _member(bench: Bench, listen: str, **options: Any) -> None:
    """One that lasts as long as the block, and does not take the time to leave."""
    cluster = rapid.Cluster(listen, **options)
    bench.stack.push_async_callback(cluster.close)
    await cluster.start()


def _certify(bench: Bench, host: str) -> tuple[bytes, bytes, bytes]:
    """The authority's certificate, and the host's with its key."""
    pki = bench.here / "pki"
    assert main(["certs", str(pki), "--host", host]) == 0
    files = ("ca.pem", f"member-{host}.pem", f"member-{host}.key")
    ca, certificate, key = ((pki / name).read_bytes() for name in files)
    return ca, certificate, key
