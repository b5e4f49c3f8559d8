"""From the node's events, on the driver's thread, to what a Cluster waits for and its readers see."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from random import Random

from rapid import view as told
from rapid.detection.judge import Windowed
from rapid.errors import JoinError, QuorumError, StateError
from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.node import Node
from rapid.protocol.outputs import (
    Event,
    Evicted,
    Installed,
    JoinFailed,
    Left,
    RefoundingRefused,
)
from rapid.runtime import process_exit
from rapid.runtime.contained import contained
from rapid.runtime.driver import Core, Driver, promise
from rapid.runtime.feed import Feed
from rapid.runtime.lifecycle import Lifecycle, explained
from rapid.runtime.options import Options
from rapid.telling import Telling


class Membership:
    """One run of a node: its futures for the callers, its changes for the feed."""

    def __init__(self, feed: Feed, options: Options) -> None:
        self._feed = feed
        self.exit_timeout = options.settings.exit_timeout
        """Seconds that :meth:`retire` may take."""
        self._telling = Telling()
        self._lifecycle = Lifecycle()
        self._failed = False
        """It could not join. A cluster that lets it in all the same is left, and nobody is told of it."""
        self._expected = options.bootstrap_expect
        self._joined: Future[told.View] = promise()
        self._left: Future[bool] = promise()
        self._forced: Future[told.View] | None = None
        self._bound: Future[Endpoint] | None = None
        self._node: Node | None = None

        default = Windowed(options.settings.window, options.settings.failures)
        judge = options.judge and contained(options.judge, default, self._judge_failed)

        def make(me: Endpoint, rng: Random) -> Core:
            self._node = Node(
                me, options.settings, rng, metadata=options.metadata, make_judge=judge,
                checks=options.prober is not None, rejoin=options.rejoin, merge=options.merge,
                expected=options.bootstrap_expect, cluster_id=options.cluster_id,
                cluster_name=options.cluster_name,
                alerted=options.alerted,
            )  # fmt: skip
            self._lifecycle.listening(me, self._node.node_id)
            return self._node

        self._driver = Driver(make, options, self._happened, self._ended)

    def bind(self, listen: Endpoint, advertise: Endpoint | None) -> Future[Endpoint]:
        """Listen; fails with :class:`BindError` or :class:`TLSError`."""
        process_exit.register(self)
        self._bound = self._driver.start(listen, advertise)
        return self._bound

    def join(self) -> Future[told.View]:
        """Found or join; the first view of all that are expected, or :class:`JoinError`."""
        self._driver.join()
        return self._joined

    def force_new_cluster(self) -> Future[told.View]:
        """Go on as a new cluster; its first view, or :class:`QuorumError`."""
        if self._forced is None or self._forced.done():
            self._forced = promise()
            self._driver.force_new_cluster()
        return self._forced

    def leave(self) -> Future[bool]:
        """Leave; whether the others agreed."""
        self._driver.leave()
        return self._left

    def retire(self) -> Future[None]:
        """Leave, and end when that is agreed on or after ``exit_timeout``; done when the port is free."""
        self._driver.leave()
        self._left.add_done_callback(lambda _: self._driver.stop())
        return self._driver.stop(self.exit_timeout if self.is_bound else 0.0)

    def stop(self) -> Future[None]:
        """End at once; done when the port is free."""
        return self._driver.stop()

    def __str__(self) -> str:
        return f"the member {self.endpoint}" if self.is_bound else "a member that does not listen yet"

    @property
    def is_bound(self) -> bool:
        return self._bound is not None and self._bound.done() and self._bound.exception() is None

    @property
    def endpoint(self) -> Endpoint:
        assert self._bound is not None, "only a bound one is asked"
        return self._bound.result()

    @property
    def node_id(self) -> NodeId:
        assert self._node is not None, "only a bound one is asked"
        return self._node.node_id

    def counts(self) -> Counter[str]:
        return self._driver.counts()

    # on the driver's thread

    def _happened(self, event: Event) -> None:
        if self._failed:
            if isinstance(event, Left):
                self._end()
            return
        before = self._telling.view
        change = self._telling.change(event)
        if change is not None:
            self._feed.publish(change)
        if isinstance(change, told.ViewChange | told.ViewsSkipped):
            self._lifecycle.viewed(change)
        else:
            self._lifecycle.happened(event, self._driver.troubles())
        match event:
            case Installed():
                view = self._telling.view
                assert view is not None, "it was just installed"
                if not self._joined.done() and view.size >= self._expected:
                    self._joined.set_result(view)
                forced = before is not None and before.cluster_id != view.cluster_id
                if forced and self._forced is not None and not self._forced.done():
                    self._forced.set_result(view)
            case JoinFailed(reason, leaving):
                self._failed = True
                if not self._joined.done():
                    self._joined.set_exception(JoinError(self._explained(reason)))
                if leaving:
                    self._driver.stop(self.exit_timeout)
                elif before is not None:
                    self._end()
                elif not self._left.done():
                    # there is nothing to leave
                    self._left.set_result(True)
            case Left(agreed):
                if not self._left.done():
                    self._left.set_result(agreed)
            case Evicted(rejoining=False):
                self._end()
            case RefoundingRefused(reason):
                if self._forced is not None and not self._forced.done():
                    self._forced.set_exception(QuorumError(reason))

    def _end(self) -> None:
        """The node is done: the changes end."""
        if not self._left.done():
            # a member that is leaving has what it wants
            self._left.set_result(True)
        self._driver.stop()

    def _judge_failed(self) -> bool:
        """Count it; whether it is the first."""
        return self._driver.count("judges replaced") == 1

    def _ended(self, error: BaseException | None) -> None:
        process_exit.unregister(self)
        self._lifecycle.ended(error)
        self._feed.close(error)
        for future in (self._joined, self._left, self._forced):
            if future is not None and not future.done():
                ending = StateError(
                    "the member was closed" if error is None else f"the member failed: {error!r}"
                )
                ending.__cause__ = error
                future.set_exception(ending)

    def _explained(self, reason: str) -> str:
        return explained(reason, self._driver.troubles())
