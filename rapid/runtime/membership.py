"""From the node's events, on the driver's thread, to what a Cluster waits for and its readers see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from random import Random

from rapid import view as told
from rapid.errors import JoinError, StateError
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Removal
from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.node import Node
from rapid.protocol.outputs import (
    Event,
    Evicted,
    Installed,
    JoinFailed,
    Left,
    QuorumLost,
    QuorumRestored,
)
from rapid.runtime.driver import Core, Driver, promise
from rapid.runtime.feed import Feed
from rapid.runtime.tls import TLS
from rapid.settings import Settings

MakeNode = Callable[[Endpoint, Settings, Random, Mapping[str, str]], Core]


def _node(me: Endpoint, settings: Settings, rng: Random, metadata: Mapping[str, str]) -> Core:
    return Node(me, settings, rng, metadata=metadata)


class Membership:
    """One run of a node: its futures for the callers, its changes for the feed."""

    def __init__(
        self,
        feed: Feed,
        settings: Settings,
        metadata: Mapping[str, str],
        seeds: Sequence[Endpoint],
        make: MakeNode = _node,
        *,
        tls: TLS | None = None,
    ) -> None:
        self._feed = feed
        self._seeds = seeds
        self._joined: Future[told.View] = promise()
        self._left: Future[bool] = promise()
        self._bound: Future[Endpoint] | None = None
        self._node_id: NodeId | None = None

        def make_core(me: Endpoint, rng: Random) -> Core:
            core = make(me, settings, rng, metadata)
            self._node_id = core.node_id
            return core

        self._driver = Driver(make_core, settings, self._happened, self._ended, tls)

    def bind(self, listen: Endpoint, advertise: Endpoint | None) -> Future[Endpoint]:
        """Listen; fails with :class:`BindError` or :class:`TLSError`."""
        self._bound = self._driver.start(listen, advertise)
        return self._bound

    def join(self) -> Future[told.View]:
        """Found or join; the first view, or :class:`JoinError`."""
        self._driver.join(self._seeds)
        return self._joined

    def leave(self) -> Future[bool]:
        """Leave; whether the others agreed."""
        self._driver.leave()
        return self._left

    def stop(self) -> Future[None]:
        """End at once; done when the port is free."""
        return self._driver.stop()

    @property
    def is_bound(self) -> bool:
        return self._bound is not None and self._bound.done() and self._bound.exception() is None

    @property
    def endpoint(self) -> Endpoint:
        assert self._bound is not None, "only a bound one is asked"
        return self._bound.result()

    @property
    def node_id(self) -> NodeId:
        assert self._node_id is not None, "only a bound one is asked"
        return self._node_id

    def counts(self) -> Counter[str]:
        return self._driver.counts()

    # on the driver's thread

    def _happened(self, event: Event) -> None:
        match event:
            case Installed():
                self._feed.publish(self._change(event))
                if not self._joined.done():
                    assert self._feed.view is not None, "a view was just published"
                    self._joined.set_result(self._feed.view)
            case JoinFailed(reason):
                if not self._joined.done():
                    self._joined.set_exception(JoinError(self._explained(reason)))
            case Left(agreed):
                if not self._left.done():
                    self._left.set_result(agreed)
            case Evicted(cluster_id, version):
                self._feed.publish(told.Evicted(str(cluster_id), version))
                if not self._left.done():
                    # a member that is leaving has what it wants
                    self._left.set_result(True)
                self._driver.stop()
            case QuorumLost(version):
                self._feed.publish(told.QuorumLost(version))
            case QuorumRestored(version):
                self._feed.publish(told.QuorumRestored(version))

    def _ended(self, error: BaseException | None) -> None:
        self._feed.close(error)
        for future in (self._joined, self._left):
            if not future.done():
                ending = StateError(
                    "the member was closed" if error is None else f"the member failed: {error!r}"
                )
                ending.__cause__ = error
                future.set_exception(ending)

    def _change(self, installed: Installed) -> told.ViewChange | told.ViewsSkipped:
        before, view = self._feed.view, view_of(installed.configuration)
        if before is None:
            return told.ViewChange(view, view.members, ())
        if installed.skipped:
            return told.ViewsSkipped(view, installed.skipped)
        if installed.cut is not None:
            return told.ViewChange(view, installed.cut.joined, installed.cut.removed)
        old, new = set(before.members), set(view.members)
        return told.ViewChange(
            view,
            tuple(member for member in view.members if member not in old),
            tuple(Removal(m.endpoint, m.node_id) for m in sorted(old - new, key=lambda m: m.endpoint)),
        )

    def _explained(self, reason: str) -> str:
        """The node's reason, and what is known of each seed."""
        troubles = [f"{seed}: {trouble}" for seed in self._seeds if (trouble := self._driver.trouble(seed))]
        return "; ".join([reason, *troubles])


def view_of(configuration: Configuration) -> told.View:
    """What applications are told of a configuration."""
    return told.View(
        str(configuration.cluster_id), configuration.version, str(configuration.digest), configuration.members
    )
