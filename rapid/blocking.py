"""A member of a cluster for threads: the same as :class:`rapid.Cluster`, without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from rapid import cluster
from rapid.detection.judge import MakeJudge
from rapid.errors import StateError
from rapid.log import log
from rapid.overlay.member import Endpoint, NodeId
from rapid.runtime.feed import Reader
from rapid.settings import Settings
from rapid.view import Change, View

if TYPE_CHECKING:
    from rapid.runtime.discovery import SeedProvider
    from rapid.runtime.prober import Prober
    from rapid.runtime.tls import TLS

__all__ = ["Changes", "Cluster"]

Result = TypeVar("Result")
BUSY = "this thread runs an event loop, which the call would stop: use rapid.Cluster there"


class Cluster:
    """Membership of one cluster, for one process life, used by any number of threads.

    Takes what :class:`rapid.Cluster` takes and does what that does, but its calls block until they
    are done; Ctrl-C interrupts them. ``prober`` and a function that gives ``seeds`` are async
    functions all the same: they run on the library's thread.

    What blocks may not be called on a thread that runs an event loop, which would stand still, and
    nothing may be after a fork: make a Cluster in each worker process, and start none before. Both
    raise :class:`StateError`.
    """

    def __init__(
        self,
        listen: str | Endpoint,
        *,
        seeds: Iterable[str | Endpoint] | SeedProvider = (),
        metadata: Mapping[str, str] | None = None,
        settings: Settings | None = None,
        advertise: str | Endpoint | None = None,
        judge: MakeJudge | None = None,
        prober: Prober | None = None,
        tls: TLS | None = None,
        rejoin: bool = True,
        merge: bool = False,
        bootstrap_expect: int = 1,
        cluster_id: str | None = None,
        cluster_name: str = "",
    ) -> None:
        self._cluster = cluster.Cluster(
            listen, seeds=seeds, metadata=metadata, settings=settings, advertise=advertise,
            judge=judge, prober=prober, tls=tls, rejoin=rejoin, merge=merge,
            bootstrap_expect=bootstrap_expect, cluster_id=cluster_id, cluster_name=cluster_name,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave and close; after an error in the block, just close. Nothing in a forked child."""
        if self._cluster._is_mine:
            self._run(lambda: self._cluster.__aexit__(kind, error, trace))

    def __reduce__(self) -> NoReturn:
        self._cluster.__reduce__()

    def bind(self) -> Endpoint:
        """As :meth:`rapid.Cluster.bind`."""
        return self._run(self._cluster.bind)

    def start(self) -> View:
        """As :meth:`rapid.Cluster.start`."""
        return self._run(self._cluster.start)

    def leave(self) -> None:
        """As :meth:`rapid.Cluster.leave`."""
        self._run(self._cluster.leave)

    def force_new_cluster(self) -> View:
        """As :meth:`rapid.Cluster.force_new_cluster`."""
        return self._run(self._cluster.force_new_cluster)

    def close(self) -> None:
        """As :meth:`rapid.Cluster.close`; the iterations and the subscribers' threads end."""
        self._run(self._cluster.close)

    @property
    def view(self) -> View:
        """As :attr:`rapid.Cluster.view`; it never blocks."""
        return self._cluster.view

    @property
    def endpoint(self) -> Endpoint:
        """As :attr:`rapid.Cluster.endpoint`; it never blocks."""
        return self._cluster.endpoint

    @property
    def node_id(self) -> NodeId:
        """As :attr:`rapid.Cluster.node_id`; it never blocks."""
        return self._cluster.node_id

    @property
    def stats(self) -> Counter[str]:
        """As :attr:`rapid.Cluster.stats`; it never blocks."""
        return self._cluster.stats

    def wait_for(
        self,
        size: int | None = None,
        *,
        timeout: float | None = None,
        predicate: Callable[[View], bool] | None = None,
    ) -> View:
        """As :meth:`rapid.Cluster.wait_for`; the predicate is called on this thread."""
        return self._run(lambda: self._cluster.wait_for(size, timeout=timeout, predicate=predicate))

    def changes(self) -> Changes:
        """Iterate over the changes, as :meth:`rapid.Cluster.changes` does, waiting for each.

        Any number at once, each for one thread. StateError before :meth:`start` has returned.
        """
        self._cluster.view  # noqa: B018 - refuses when there is none
        return Changes(self._cluster)

    def subscribe(self, callback: Callable[[Change], object]) -> Callable[[], None]:
        """Call back with every change, in order, the view as it is first; before :meth:`start`, too.

        The callback runs on a thread of its own, which ends with the member. What it raises is
        logged and counted. Call the function returned to end it: at most the callback that is under way
        goes on. StateError when the process can start no thread.
        """
        changes = Changes(self._cluster)

        def follow() -> None:
            try:
                for change in changes:
                    try:
                        callback(change)
                    except BaseException as error:
                        self._cluster._feed.callback_failed(callback, error)
            except StateError as error:
                log.error("a subscription has ended", reason=str(error))

        try:
            threading.Thread(target=follow, name="rapid subscriber", daemon=True).start()
        except RuntimeError as error:
            changes.close()
            raise StateError(f"a subscriber's thread cannot be started: {error}") from error
        return changes.close

    def _run(self, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Await the call on an event loop that lives as long as it does; Ctrl-C cancels it."""
        self._cluster._same_process()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise StateError(BUSY)
        # not in the handler above: what the call raises has nothing to do with it
        return asyncio.run(call())


class Changes(Reader):
    """An iterator over changes, in order, that waits for each; for one thread at a time.

    At most a fixed number of changes waits for the reader. When there are more, all of them are
    replaced by one :class:`ViewsSkipped` with the newest view, and more changes follow that. The
    iteration ends when the member is closed, or with :meth:`close`, which any thread may call; it
    raises :class:`StateError` when the member failed, and after a fork.
    """

    def __init__(self, of: cluster.Cluster) -> None:
        of._same_process()
        self._cluster = of
        super().__init__(of._feed)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        # the feed's lock may have been held by another thread when the process was forked
        self._cluster._same_process()
        while True:
            with self._feed.lock:
                change = self.take()
                if change is not None:
                    return change
                if self.ended:
                    raise StopIteration
                woken = threading.Event()
                self.call_when_woken(woken.set)
            try:
                woken.wait()
            finally:
                # Ctrl-C may end the wait
                self.stop_waiting(woken.set)

    def close(self) -> None:
        """Take no more; the iteration ends. Any thread, any number of times."""
        self._cluster._same_process()
        super().close()
