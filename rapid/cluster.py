"""One member of a cluster, as the application holds it."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from rapid.detection.judge import Judge, MakeJudge
from rapid.errors import (
    BindError,
    EndpointError,
    JoinError,
    LeaveTimeout,
    SettingsError,
    StateError,
    WaitTimeout,
)
from rapid.log import FLUSH_TIMEOUT, flushed, log
from rapid.overlay.member import ClusterId, Endpoint, NodeId, checked_cluster_name, checked_metadata
from rapid.runtime.discovery import as_seeds, is_wildcard, patience
from rapid.runtime.feed import Changes, Feed
from rapid.runtime.reactor import loaded
from rapid.runtime.subscription import Callback, Subscription
from rapid.settings import Settings, require_consistent
from rapid.view import View, ViewChange, ViewsSkipped

if TYPE_CHECKING:
    from rapid.detection.alert import Alert
    from rapid.overlay.configuration import Configuration
    from rapid.runtime.discovery import SeedProvider
    from rapid.runtime.membership import Membership
    from rapid.runtime.options import Options
    from rapid.runtime.prober import Prober
    from rapid.runtime.tls import TLS


GRACE = 5.0
"""Seconds beyond its own deadline that the node is given to say that it could not join."""
BIND_TIMEOUT = 30.0
"""Seconds that listening may take, which is as long as the look-up of a name."""
CLOSE_TIMEOUT = 5.0
"""Seconds that a member may take to free its port."""
_ORDINARY = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)
"""A block that is ended by one of these has not failed."""


class Cluster:
    """Membership of one cluster, for one process life: start it, read views, leave.

    ``listen`` is the address to serve on (port 0: any free one), ``advertise`` the one that other
    members reach it by, where that differs; its port 0 means the port listened on. ``metadata`` is
    fixed for the life of the member. With ``tls`` this member speaks to no one without, and the other
    way round.

    ``seeds`` are processes to join through, best the same list everywhere, or an async function that
    gives them (``rapid.discovery`` has some). Names are resolved anew at every try, and each of their
    addresses is a seed. With no seeds, or when this process is the first of them and none of the
    others is in a cluster, a new one is founded. With ``bootstrap_expect`` nobody founds before that
    many processes have seen each other; one of the seeds does then, and :meth:`start` returns when
    the view holds so many: those that start together become one cluster. With ``cluster_id`` (hex)
    this process joins that cluster, or the one that an operator forced in its place, or none. With
    ``cluster_name`` it has nothing to do with processes that give another name or none: take one for each
    service, so that two of them never become one cluster when an address or a list of seeds passes from one
    to the other. All members must give the same, of at most 255 bytes.

    ``rejoin``: when the cluster goes on without this member (see :class:`Evicted`), it joins again; where
    that takes longer than ``settings.rejoin_timeout``, it is closed (see :class:`RejoinFailed`).
    ``merge``: when a larger cluster is found, with a quorum, this member joins that; it leaves its own
    when the other one has let it in. Without, :class:`OtherCluster` just tells of it.

    ``cluster_id`` contradicts ``merge`` and a ``bootstrap_expect`` of more than one; it and such a
    ``bootstrap_expect`` need seeds. That raises :class:`SettingsError`.

    ``judge`` says when a member that this one watches is faulty: :class:`Windowed` (the default, as
    ``settings`` say), :class:`Consecutive`, :class:`PhiAccrual` or one of your own. ``prober`` is an
    async function that says of a :class:`Member` whether it is well; a member then counts as well
    when it has answered the protocol's own probe and the prober has said True, within
    ``settings.probe_timeout``. It is awaited on the library's thread and must not block.

    The protocol runs on a thread of its own: an application that blocks its event loop stays a
    member. Everything here may be used from any event loop, but not across a fork.

    Raises :class:`EndpointError` for an address that is none, :class:`MetadataError` and
    :class:`SettingsError` for theirs; nothing is created then.
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
        self._listen = _endpoint(listen)
        self._advertise = None if advertise is None else _endpoint(advertise)
        if is_wildcard((self._advertise or self._listen).host):
            raise EndpointError(
                f"{self._advertise or self._listen}: other members cannot reach this address; "
                "advertise the one that they can"
            )
        self._seeds = seeds if callable(seeds) else as_seeds(seeds)
        self._metadata = checked_metadata(metadata or {})
        self._settings = settings or Settings.lan()
        self._judge = judge if judge is None else _judge(judge)
        if prober is not None and not callable(prober):
            raise SettingsError("prober", f"{prober!r} is no async function of a member")
        self._prober = prober
        self._tls = tls
        self._rejoin = rejoin
        self._merge = merge
        if not 1 <= bootstrap_expect <= 10_000:
            raise SettingsError("bootstrap_expect", f"{bootstrap_expect} processes; take 1 to 10000")
        self._bootstrap_expect = bootstrap_expect
        self._cluster_id = None if cluster_id is None else _cluster_id(cluster_id)
        require_consistent(merge=merge, bootstrap_expect=bootstrap_expect, cluster_id=cluster_id)
        if not self._seeds:
            _require_seeds(bootstrap_expect, cluster_id)
        self._cluster_name = checked_cluster_name(cluster_name)
        self._pid = os.getpid()
        self._feed = Feed()
        self._membership: Membership | None = None
        self._binding = False
        """:meth:`bind` was called."""
        self._started = False
        self._closed = False
        self._leaving = False
        self._pending: list[Callable[[], None]] = []
        self._alerted: Callable[[Configuration, Alert], None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave and close; after an error of the application's own, just close.

        A cancellation, KeyboardInterrupt and SystemExit are ordinary ends: this member leaves, within
        ``settings.exit_timeout``, and what was raised goes on. A second cancellation closes at once.
        Nothing is done in a child that was forked inside of the block.
        """
        if not self._is_mine:
            return
        if isinstance(error, GeneratorExit):
            # who ends a coroutine so waits for nothing in it
            self._closed = True
            if self._membership is not None:
                self._membership.retire()
            return
        try:
            if error is None:
                await self.leave()
            elif isinstance(error, _ORDINARY):
                async with asyncio.timeout(self._settings.exit_timeout):
                    await self.leave()
        except (LeaveTimeout, TimeoutError) as timeout:
            # the block has come to its end all the same
            reason = str(timeout) or f"not within {self._settings.exit_timeout} s"
            log.warning("the departure was not agreed on in time", reason=reason)
        finally:
            await self.close()

    def __del__(self) -> None:
        # what __init__ has refused has nothing of this
        membership = getattr(self, "_membership", None)
        if membership is not None and self._is_mine and not self._closed and not self._feed.closed:
            warnings.warn(
                f"{membership} goes on though its Cluster is gone, and leaves when the process ends: use "
                "`async with`, or await leave()",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be pickled or copied: a member is one process; make a Cluster in each process"
        )

    async def bind(self) -> Endpoint:
        """Listen, and do not join yet; returns the endpoint that the others will know this member by.

        :meth:`start` does this as well: call it before only where the port is any free one and others
        have to be told, or where :meth:`start` shall be quick. Until then this process tells everybody
        who asks that it is in no cluster.

        Raises :class:`BindError` when the address cannot be listened on, and :class:`TLSError` when the
        certificates are no good any more or do not name this member. The member is closed then, and
        also when this is cancelled. Raises :class:`StateError` when called twice, or after
        :meth:`start`.
        """
        self._same_process()
        if self._binding or self._closed:
            raise StateError("a Cluster listens once; make a new one")
        self._binding = True
        try:
            async with asyncio.timeout(BIND_TIMEOUT):
                async with loaded("rapid.runtime.membership"):
                    membership = self._membership = self._made()
                return await asyncio.wrap_future(membership.bind(self._listen, self._advertise))
        except TimeoutError as error:
            await self.close()
            raise BindError(
                f"cannot listen on {self._listen}: not done within {BIND_TIMEOUT} s; its name does not "
                "resolve, or something blocks the library's thread"
            ) from error
        except BaseException:
            await self.close()
            raise

    async def start(self) -> View:
        """Found or join the cluster; returns the first view that this member is in.

        Raises :class:`BindError` when the address cannot be listened on, :class:`TLSError` when the
        certificates are no good any more or do not name this member, :class:`JoinError` when no
        cluster let this member in within ``settings.join_timeout`` of the first look-up of the seeds,
        or fewer than ``bootstrap_expect`` were in it soon after. The member is closed then, and
        also when this is cancelled; what it had entered it leaves first, within
        ``settings.exit_timeout``. Raises :class:`StateError` when called twice, and when the process
        can start no thread.
        """
        self._same_process()
        if self._started or self._closed:
            raise StateError("a Cluster starts once; make a new one")
        if self._binding and (self._membership is None or not self._membership.is_bound):
            raise StateError("bind() has not returned yet")
        self._started = True
        pending, self._pending = self._pending, []
        for begin in pending:
            begin()
        try:
            if not self._binding:
                await self.bind()
            membership = self._bound()
            limit = patience(self._settings) + self._settings.join_timeout + GRACE
            endless = self._settings.join_timeout == inf
            async with asyncio.timeout(None if endless else limit):
                return await asyncio.wrap_future(membership.join())
        except TimeoutError as error:
            unfinished = self._unfinished()
            await self._abandon()
            raise JoinError(f"{unfinished}; the member is closed") from error
        except BaseException:
            await self._abandon()
            raise

    async def leave(self) -> None:
        """Leave the cluster and close; returns when the others have agreed on a view without this member.

        What a :func:`rapid.singleton` runs here is ended first, within ``settings.leave_timeout``, so
        it must not call this itself. There is nothing to leave where this member was never started, could
        not join or is closed: it is just closed then. Any number of times.

        Raises :class:`LeaveTimeout` when they do not within ``settings.leave_timeout``; the member is
        closed all the same. Raises :class:`StateError` when it fails, or is closed meanwhile.
        """
        self._same_process()
        membership = self._membership
        if membership is None or self._feed.view is None or self._closed or self._feed.closed:
            await self._abandon()
            return
        self._leaving = True
        agreed = False
        try:
            await self._relieve()
            async with asyncio.timeout(self._settings.leave_timeout + 1.0):
                agreed = await asyncio.wrap_future(membership.leave())
        except TimeoutError as error:
            raise LeaveTimeout("the member did not get to an end of leaving; it is closed") from error
        finally:
            await self.close()
        if not agreed:
            raise LeaveTimeout(
                f"no view without this member was agreed on within {self._settings.leave_timeout} s; "
                "it is closed"
            )

    async def force_new_cluster(self) -> View:
        """Go on, as a new cluster, with those members that this one reaches; returns its first view.

        For an operator, when the majority is gone for good: never do it while the others may live on
        elsewhere, since there would be two clusters until the two sides reach each other again. The
        others go over to the new one then, each once that has let it in; those with ``rejoin=False`` are
        evicted. It asks for four ``settings.probe_timeout``. The
        version goes on, the cluster id is new. A member that was evicted goes on alone, and others that
        wait as it does join it.

        Raises :class:`QuorumError` while a quorum answers, when this member has to catch up first, and
        when a member of any cluster answers an evicted one;
        :class:`StateError` when this is no member or is closed meanwhile. Nothing has changed then.
        """
        return await asyncio.wrap_future(self._running().force_new_cluster())

    async def close(self) -> None:
        """Stop at once, without a word to the others: they will find out. Any number of times."""
        self._same_process()
        self._closed = True
        if self._membership is None:
            self._feed.close(None)
        else:
            await self._ended(self._membership.stop(), CLOSE_TIMEOUT)

    @property
    def view(self) -> View:
        """The newest view; after the end, the last. StateError before :meth:`start` has returned."""
        return self._require_view()

    @property
    def endpoint(self) -> Endpoint:
        """What the other members know this one by. StateError before the address is bound."""
        return self._bound().endpoint

    @property
    def node_id(self) -> NodeId:
        """The identity of this process life. StateError before the address is bound."""
        return self._bound().node_id

    @property
    def stats(self) -> Counter[str]:
        """A copy of the counts of what was sent, received, dropped and rejected."""
        self._same_process()
        counts = self._membership.counts() if self._membership is not None else Counter[str]()
        if failed := self._feed.callbacks_failed:
            counts["callbacks failed"] = failed
        return counts

    def changes(self) -> Changes:
        """Iterate over the changes: first the view as it is, then every change, in order.

        A :class:`QuorumLost` or :class:`Evicted` that the view has met with before is told after it.
        For use with ``async for``, any number at once, each on any event loop. Ends when the member
        is closed. StateError before :meth:`start` has returned.
        """
        self._require_view()
        return self._feed.reader()

    async def wait_for(
        self,
        size: int | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - what it raises says how far it got
        predicate: Callable[[View], bool] | None = None,
    ) -> View:
        """Wait for a view of at least ``size`` members for which ``predicate`` holds; returns it.

        The first one from now on, the present view included; a newer one may be there already.
        Raises :class:`WaitTimeout` when none has come after ``timeout`` seconds, and
        :class:`StateError` when the member is closed before, or :meth:`start` has not returned.
        """
        changes = self.changes()
        try:
            async with asyncio.timeout(timeout) as limit:
                async for change in changes:
                    if not isinstance(change, ViewChange | ViewsSkipped):
                        continue
                    view = change.view
                    if view.size >= (size or 0) and (predicate is None or predicate(view)):
                        return view
        except TimeoutError as error:
            if not limit.expired():
                raise
            what = "the predicate did not hold" if predicate is not None else f"it was not of {size} members"
            raise WaitTimeout(
                f"the view has {self.view.size} members at version {self.view.version}, and {what} "
                f"within {timeout} s"
            ) from error
        finally:
            changes.close()
        raise StateError("the member was closed before a view came that was waited for")

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call back with every change, in order, the view as it is first; plain or async.

        The callback runs on the event loop that this is called from or, without one, on that of
        :meth:`start`. What it raises, whatever it is, is logged and counted in ``stats`` as ``callbacks
        failed``, and the next change is told all the same. Call the function returned to end it.
        """
        self._same_process()
        subscription = Subscription(self._feed, callback)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._started:
                raise StateError("subscribe() after start() must be called from an event loop") from None
            self._pending.append(subscription.begin)
        else:
            subscription.begin()
        return subscription.end

    async def _abandon(self) -> None:
        """Close, and leave first what the others may have let this member in to."""
        try:
            if self._membership is not None and not self._closed:
                await self._ended(self._membership.retire(), self._settings.exit_timeout + CLOSE_TIMEOUT)
        finally:
            await self.close()

    async def _ended(self, end: Future[None], within: float) -> None:
        """Wait for the member's end, unless the library's thread does not get to it."""
        _, late = await asyncio.wait([asyncio.wrap_future(end)], timeout=within)
        if late:
            log.error(
                "a member is closed and has not ended in time: something blocks the library's thread",
                listen=str(self._listen),
            )
        if not (logged := flushed()).done():
            await asyncio.wait([asyncio.wrap_future(logged)], timeout=FLUSH_TIMEOUT)

    async def _relieve(self) -> None:
        """End what runs on the leader only, before there is another leader."""
        try:
            async with asyncio.timeout(self._settings.leave_timeout):
                await asyncio.wrap_future(self._feed.dismiss())
        except TimeoutError:
            log.warning("a singleton has not ended in time; the member leaves all the same")

    def _first_reader(self) -> Changes:
        """Given each change before all other readers are, who wait until it comes back for the next."""
        self._require_view()
        return self._feed.reader(first=True)

    def _hear_alerts(self, alerted: Callable[[Configuration, Alert], None]) -> None:
        """Have each alert told that is new to this member, on the library's thread; before :meth:`start`."""
        self._alerted = alerted

    def _made(self) -> Membership:
        """What runs the member; what it takes was imported before."""
        if self._closed:
            raise StateError("the member was closed before it listened")
        from rapid.runtime.membership import Membership

        return Membership(self._feed, self._options())

    def _options(self) -> Options:
        from rapid.runtime.options import Options

        seeds = self._seeds
        if seeds and not callable(seeds):
            from rapid.discovery import static

            seeds = static(seeds)
        return Options(
            settings=self._settings,
            metadata=self._metadata,
            seeds=seeds if callable(seeds) else None,
            judge=self._judge,
            prober=self._prober,
            tls=self._tls,
            rejoin=self._rejoin,
            merge=self._merge,
            bootstrap_expect=self._bootstrap_expect,
            cluster_id=self._cluster_id,
            cluster_name=self._cluster_name,
            alerted=self._alerted,
        )

    def _unfinished(self) -> str:
        """Why :meth:`start` was in vain though the node has not said so."""
        view = self._feed.view
        if view is None:
            return "joining came to no end"
        return f"the view holds {view.size} of the {self._bootstrap_expect} processes expected"

    def _require_view(self) -> View:
        self._same_process()
        if self._feed.view is None:
            raise StateError("there is no view before start() has returned")
        return self._feed.view

    def _running(self) -> Membership:
        membership = self._bound()
        if self._closed or self._feed.closed:
            raise StateError("the member is closed")
        self._require_view()
        return membership

    def _bound(self) -> Membership:
        self._same_process()
        if self._membership is None or not self._membership.is_bound:
            raise StateError("the member does not listen yet; call start() or bind() first")
        return self._membership

    @property
    def _is_mine(self) -> bool:
        """Whether this process has made it, and is no child that was forked since."""
        return os.getpid() == self._pid

    def _same_process(self) -> None:
        if not self._is_mine:
            raise StateError(
                f"this Cluster was made by process {self._pid} and does not survive a fork; "
                f"make one in process {os.getpid()}, after the fork"
            )


def _endpoint(value: str | Endpoint) -> Endpoint:
    return Endpoint.parse(value) if isinstance(value, str) else Endpoint.checked(*value)


def _cluster_id(text: str) -> ClusterId:
    try:
        return ClusterId.parse(text)
    except ValueError as problem:
        raise SettingsError("cluster_id", str(problem)) from None


def _require_seeds(bootstrap_expect: int, cluster_id: str | None) -> None:
    """Without seeds a process founds a cluster at once: refuse what asks for anything else."""
    if bootstrap_expect > 1:
        raise SettingsError(
            "bootstrap_expect", f"{bootstrap_expect} processes are expected and there are no seeds: they "
            "could not find each other; give all of them the same seeds",
        )  # fmt: skip
    if cluster_id is not None:
        raise SettingsError(
            "cluster_id", f"cluster {cluster_id} is to be joined and there are no seeds: a process without "
            "seeds founds a new one; give the addresses of members",
        )  # fmt: skip


def _judge(make: MakeJudge) -> MakeJudge:
    """Find out now, and not on the protocol's thread, whether it makes judges."""
    if not callable(make):
        raise SettingsError("judge", f"{make!r} makes no judges; take one such as rapid.Windowed(10, 4)")
    made = make()
    if not isinstance(made, Judge):
        raise SettingsError("judge", f"{make!r} makes {made!r}, which has no record() and no faulty")
    return make
