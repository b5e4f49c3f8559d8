"""One member as a process: it runs until it is told to leave, and reports all that happens to it."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

from rapid.agent.configuration import Configuration
from rapid.agent.events import Events
from rapid.agent.printable import printable
from rapid.agent.record import Record
from rapid.agent.reports import Report, now
from rapid.agent.signals import call_at, end_soon, ending_signals
from rapid.detection.alert import Alert
from rapid.detection.judge import Windowed
from rapid.errors import WITHOUT_SSL, LeaveTimeout, SettingsError, StateError
from rapid.overlay.configuration import Configuration as Membership
from rapid.overlay.member import Endpoint, NodeId
from rapid.view import View

Print = Callable[[Report], None]
TOGETHER = 0.05
"""Seconds that alerts wait for others to be told together."""


class Agent:
    """Runs a member. Raises what :class:`Configuration` does when it makes no sense.

    With an admin endpoint it answers there for as long as it runs, before it has joined, too.
    """

    def __init__(
        self, configuration: Configuration, report: Print, counts: Counter[str] | None = None
    ) -> None:
        """``counts`` is what else there is to count in this process; it is told with the member's."""
        self._cluster = configuration.cluster()
        self._counts: Counter[str] = Counter() if counts is None else counts
        settings = configuration.as_settings()
        # an agent takes no other judge
        self._record = Record(settings.k, repr(Windowed(settings.window, settings.failures)))
        self._events = Events()
        self._report = report
        self._heard: list[Report] = []
        self._departure: asyncio.Task[None] | None = None
        self._ended_by_signal = False
        self._admin = None
        if configuration.admin_at() is not None:
            self._admin = _admin_of(configuration, self._counts)

    @property
    def endpoint(self) -> Endpoint:
        return self._cluster.endpoint

    @property
    def node_id(self) -> NodeId:
        return self._cluster.node_id

    @property
    def stats(self) -> Counter[str]:
        return Counter({**self._cluster.stats, **self._counts})

    async def run(self, released: Callable[[], Awaitable[None]] | None = None) -> int:
        """Until a signal, a departure or an eviction; the exit status of the process.

        It joins once it listens and ``released`` has come back.

        Raises what :meth:`rapid.Cluster.start` does, and :class:`BindError` for the admin endpoint.
        """
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            if self._admin is not None:
                at = await stack.enter_async_context(self._admin(self, self._record, self._events))
                self._report(now("admin", url=f"http://{at}/"))
                self._cluster._hear_alerts(partial(_soon, loop, self._alerted))
            # the streams end before the server waits for them
            stack.callback(self._events.close)
            following = asyncio.create_task(self._follow(released))
            call_at(ending_signals(), lambda _: self._stop(following))
            try:
                return await following
            except asyncio.CancelledError:
                if not self._ended_by_signal:
                    raise
            finally:
                await self._cluster.close()
                if self._departure is not None:
                    self._departure.cancel()
                    await asyncio.gather(self._departure, return_exceptions=True)
            return 0

    async def leave(self) -> None:
        """Leave, and end when that is agreed on; raises what :meth:`rapid.Cluster.leave` does.

        StateError also while there is no view yet.
        """
        if self._record.view is None:
            raise StateError("the agent has not joined yet; end it with a signal")
        if self._departure is None:
            self._departure = asyncio.create_task(self._leave())
        await asyncio.shield(self._departure)

    async def force_new_cluster(self) -> View:
        """See :meth:`rapid.Cluster.force_new_cluster`."""
        return await self._cluster.force_new_cluster()

    async def _leave(self) -> None:
        self._record.leaving()
        self._tell(now("leaving"))
        await self._cluster.leave()

    def _stop(self, following: asyncio.Task[int]) -> None:
        if self._ended_by_signal:
            # whatever hangs does not hold up a second one
            end_soon()
        self._ended_by_signal = True
        following.cancel()

    async def _follow(self, released: Callable[[], Awaitable[None]] | None) -> int:
        """Report all that happens to the member; leave when cancelled."""
        cluster = self._cluster
        await cluster.bind()
        self._tell(now("listening", endpoint=str(cluster.endpoint), node_id=str(cluster.node_id)))
        if released is not None:
            await released()
        await cluster.start()
        try:
            async for change in cluster.changes():
                self._flush()
                self._tell(self._record.changed(change))
            if self._departure is None:
                # the iteration ends by itself only after an eviction
                print("rapid agent: the cluster went on without this member", file=sys.stderr)
                return 1
        except asyncio.CancelledError:
            await self._depart()
            raise
        await self._depart()
        return 0

    async def _depart(self) -> None:
        try:
            await self.leave()
        except LeaveTimeout as timeout:
            print(f"rapid agent: {printable(timeout)}", file=sys.stderr)

    def _alerted(self, about: Membership, alert: Alert) -> None:
        origin = (str(about.cluster_id), about.version)
        self._heard.append({**self._record.alerted(origin, alert), "version": about.version})
        if len(self._heard) == 1:
            asyncio.get_running_loop().call_later(TOGETHER, self._flush)

    def _flush(self) -> None:
        if self._heard:
            self._events.append(now("alerts", alerts=self._heard))
            self._heard = []

    def _tell(self, report: Report) -> None:
        self._report(report)
        self._events.append(report)


Hear = Callable[[Membership, Alert], None]


def _soon(loop: asyncio.AbstractEventLoop, hear: Hear, about: Membership, alert: Alert) -> None:
    """From the library's thread to the agent's."""
    loop.call_soon_threadsafe(hear, about, alert)


Serving = Callable[[Agent, Record, Events], AbstractAsyncContextManager[Endpoint]]


def _admin_of(configuration: Configuration, counts: Counter[str]) -> Serving:
    """The admin endpoint that is asked for; SettingsError when what it is made with is not installed."""
    try:
        from rapid.agent.admin import Admin
        from rapid.agent.guard import Guard
        from rapid.agent.server import bound, serving
    except ModuleNotFoundError as missing:
        if missing.name in ("ssl", "_ssl"):
            raise SettingsError("admin", f"it takes 'uvicorn', and that ssl: {WITHOUT_SSL}") from None
        if missing.name not in ("starlette", "uvicorn"):
            raise
        raise SettingsError(
            "admin", f"takes the package {missing.name!r}; pip install 'rapid-membership[agent]'"
        ) from None
    from rapid.agent.address import is_loopback
    from rapid.agent.metrics import exposition_of

    at = configuration.admin_at()
    assert at is not None, "it was asked for"
    guard = Guard(loopback=is_loopback(at.host), token=configuration.admin_token)

    @asynccontextmanager
    async def serve(agent: Agent, record: Record, events: Events) -> AsyncIterator[Endpoint]:
        admin = Admin(agent, record, events, guard, exposition_of(agent._cluster))
        async with serving(admin.application(), bound(at), counts) as where:
            yield where

    return serve
