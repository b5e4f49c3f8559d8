"""A member that is none: whatever views and alerts a test wants, behind a real admin endpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256

from rapid import Endpoint, Member, NodeId, RapidError, Removal, StateError, View, ViewChange
from rapid.agent.admin import Admin, Exposition
from rapid.agent.events import Events
from rapid.agent.guard import Guard
from rapid.agent.record import Record
from rapid.agent.reports import now
from rapid.agent.server import bound, serving
from rapid.detection.alert import Alert, Ground, Status
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId
from rapid.telling import view_of

CLUSTER = ClusterId(bytes(range(16)))


def at(number: int) -> Endpoint:
    return Endpoint(f"10.0.{number // 250}.{number % 250 + 1}", 7400)


def member(number: int, life: int = 0, metadata: Mapping[str, str] | None = None) -> Member:
    node_id = NodeId(sha256(b"%d %d" % (number, life)).digest()[:16])
    return Member(at(number), node_id, metadata or {})


class Stub:
    """A cluster of invented members as one of them, the first, is told of it."""

    def __init__(self) -> None:
        self.record = Record(k=10, judge="Windowed(window=10, failures=4)")
        self.events = Events()
        self.configuration: Configuration | None = None
        self.commands: list[str] = []
        self.refusal: RapidError | None = None
        self.stats = Counter({"messages sent": 3})

    @property
    def endpoint(self) -> Endpoint:
        if self.configuration is None:
            raise StateError("the member is not started; call start() first")
        return at(0)

    @property
    def node_id(self) -> NodeId:
        return member(0).node_id

    async def leave(self) -> None:
        self._obey("leave")

    async def force_new_cluster(self) -> View:
        self._obey("force")
        assert self.record.view is not None
        return self.record.view

    def change(
        self, joined: Iterable[Member] = (), removed: Iterable[Endpoint] = (), left: Iterable[Endpoint] = ()
    ) -> View:
        """The next view."""
        old = self.configuration
        members = {m.endpoint: m for m in (old.members if old is not None else ())}
        gone = [
            Removal(endpoint, members[endpoint].node_id, endpoint in set(left))
            for endpoint in (*removed, *left)
        ]
        for removal in gone:
            del members[removal.endpoint]
        came = tuple(joined)
        members.update({m.endpoint: m for m in came})
        version = 1 if old is None else old.version + 1
        self.configuration = Configuration.of(CLUSTER, version, members.values(), self.record.k)
        view = view_of(self.configuration)
        self.events.append(self.record.changed(ViewChange(view, came, tuple(gone))))
        return view

    def alert(
        self,
        subject: Endpoint,
        rings: Iterable[int],
        status: Status = Status.DOWN,
        ground: Ground = Ground.UNSTATED,
    ) -> None:
        """What the observers on these rings say, each for itself."""
        configuration = self.configuration
        assert configuration is not None
        whom = configuration.member(subject)
        assert whom is not None
        observers = configuration.observers(subject)
        for ring in rings:
            about = Member(whom.endpoint, whom.node_id)
            alert = Alert(observers[ring], about, status, 1 << ring, ground)
            origin = (str(configuration.cluster_id), configuration.version)
            told = {**self.record.alerted(origin, alert), "version": configuration.version}
            self.events.append(now("alerts", alerts=[told]))

    @asynccontextmanager
    async def serving(
        self, guard: Guard | None = None, exposition: Exposition | None = None, most: int | None = None
    ) -> AsyncIterator[Endpoint]:
        admin = Admin(self, self.record, self.events, guard or Guard(loopback=True), exposition)
        async with serving(admin.application(), bound(Endpoint("127.0.0.1", 0)), self.stats, most) as where:
            try:
                yield where
            finally:
                self.events.close()

    def _obey(self, command: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.commands.append(command)
