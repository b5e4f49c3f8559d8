"""A member of a cluster for the life of a FastAPI or Starlette application. Needs the extra ``fastapi``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, Self

from rapid.cluster import Cluster
from rapid.errors import MissingExtraError, StateError
from rapid.integrations import health
from rapid.overlay.member import Member as ClusterMember
from rapid.view import View

try:
    from fastapi import APIRouter, Depends, HTTPException, Response
    from pydantic import BaseModel
    from starlette.requests import HTTPConnection
except ModuleNotFoundError as missing:
    raise MissingExtraError(__name__, "fastapi", missing.name) from missing

KEY = "rapid_cluster"
"""The key of the member in ``request.state`` and ``websocket.state``; :func:`current_cluster` looks there."""


def lifespan(make: Callable[[], Cluster]) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Cluster]]]:
    """For ``FastAPI(lifespan=...)``: starts the Cluster that ``make`` gives, and leaves at the end.

    ``make`` is called in the process that serves, once for each start of the application, which is
    served only when :meth:`rapid.Cluster.start` has returned; what that raises fails the server's
    start. The server ends when the departure is agreed on, or ``settings.leave_timeout`` has passed.
    """

    @asynccontextmanager
    async def live(app: Any) -> AsyncIterator[dict[str, Cluster]]:
        async with make() as cluster:
            yield {KEY: cluster}

    return live


def current_cluster(connection: HTTPConnection) -> Cluster:
    """The member of the application that handles this request or websocket.

    For Starlette, where there are no dependencies, and for parts of an application that have only
    the request. :class:`rapid.StateError` when the application has no :func:`lifespan` of this module.
    """
    cluster = getattr(connection.state, KEY, None)
    if not isinstance(cluster, Cluster):
        raise StateError(
            "this application has no cluster: make it with lifespan=rapid.integrations.fastapi.lifespan(...)"
        )
    return cluster


CurrentCluster = Annotated[Cluster, Depends(current_cluster)]
"""The type of a handler's parameter that is to be the application's member: ``cluster: CurrentCluster``."""


class Version(BaseModel):
    """The name of a view: its ``cluster_id``, ``version`` and ``digest``."""

    cluster_id: str
    version: int
    digest: str

    @classmethod
    def of(cls, view: View) -> Self:
        return cls(cluster_id=view.cluster_id, version=view.version, digest=view.digest)


class Member(BaseModel):
    """One member: its ``endpoint`` as ``host:port``, ``node_id`` in hex, and ``metadata``."""

    endpoint: str
    node_id: str
    metadata: dict[str, str]

    @classmethod
    def of(cls, member: ClusterMember) -> Self:
        return cls(
            endpoint=str(member.endpoint), node_id=str(member.node_id), metadata=dict(member.metadata)
        )


class Members(Version):
    """The name of one view and its ``members``, in its order; all, or those of the role asked for."""

    members: list[Member]


class Leader(Version):
    """The name of one view and its ``leader`` among those of the role and for the name asked for."""

    leader: Member
    me: bool
    """Whether it is the member that answers."""


def router(prefix: str = "/cluster") -> APIRouter:
    """Routes that tell of the member: ``members``, ``version``, ``leader``, ``livez``, ``readyz``.

    They are below ``prefix``, and need the :func:`lifespan` of this module. Whoever reaches them can
    read all addresses and metadata: keep them where only operators are.
    """
    routes = APIRouter(prefix=prefix, tags=["cluster"])

    @routes.get("/members")
    async def members(cluster: CurrentCluster, role: str | None = None) -> Members:
        """The members of the newest view, or those of a role."""
        view = cluster.view
        chosen = [m for m in view.members if role is None or m.metadata.get("role") == role]
        return Members(**Version.of(view).model_dump(), members=[Member.of(m) for m in chosen])

    @routes.get("/version")
    async def version(cluster: CurrentCluster) -> Version:
        """The name of the newest view."""
        return Version.of(cluster.view)

    @routes.get("/leader", responses={404: {"description": "No member has this role"}})
    async def leader(cluster: CurrentCluster, role: str | None = None, name: str = "") -> Leader:
        """The leader of the newest view."""
        view = cluster.view
        found = view.leader(role=role, name=name)
        if found is None:
            raise HTTPException(404, f"no member of view {view.version} has the role {role!r}")
        return Leader(
            **Version.of(view).model_dump(), leader=Member.of(found), me=found.node_id == cluster.node_id
        )

    @routes.get("/livez", responses={503: {"description": "It has ended"}})
    async def livez(cluster: CurrentCluster, response: Response) -> health.Body:
        """200 unless the member has ended, and only a new process brings it back."""
        response.status_code, body = health.live(cluster)
        return body

    @routes.get("/readyz", responses={503: {"description": "Not ready"}})
    async def readyz(cluster: CurrentCluster, response: Response) -> health.Body:
        """200 while the member is in a view and the quorum is not lost."""
        response.status_code, body = health.ready(cluster)
        return body

    return routes
