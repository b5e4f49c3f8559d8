"""What must hold for the whole of a world, or once its faults are over, for every process in it.

The invariants look at one process and one configuration at a time. These look at what the processes
are to each other: who was removed, who is left behind, and who was told of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint
from rapid.protocol.outputs import Event, Evicted, Installed, JoinFailed, OtherCluster
from rapid.simulation.process import Life
from rapid.simulation.world import World
from rapid.telling import Telling


class Stability:
    """Raises when anybody removes a member in which there is no fault.

    ``suspects`` are the addresses of the members that may be removed; the world's owner keeps it true.
    A member that left or crashed may be removed as well.
    """

    def __init__(self, world: World, suspects: Iterable[Endpoint] = ()) -> None:
        self.suspects = dict.fromkeys(suspects)
        self._world = world
        world.subscribe(self._told)

    def _told(self, endpoint: Endpoint, event: Event) -> None:
        life = self._world.lives_of(endpoint)[-1]
        if isinstance(event, Evicted) and endpoint not in self.suspects:
            self._world.violated("stability", f"{life} is evicted, and there is no fault in it")
        if isinstance(event, Installed) and len(life.views) > 1:
            before, after = life.views[-2].configuration, event.configuration
            if before.cluster_id == after.cluster_id:
                self._removed(life, before, after)

    def _removed(self, life: Life, before: Configuration, after: Configuration) -> None:
        for member in before.members:
            endpoint = member.endpoint
            if endpoint in after or endpoint in self.suspects:
                continue
            current = self._world.lives_of(endpoint)[-1]
            leaving = current.node._departure is not None
            if current.live and not leaving and current.node.node_id == member.node_id:
                version = after.version
                self._world.violated(
                    "stability", f"{life} removes {current} in version {version}, and there is no fault in it"
                )


class Ends:
    """Raises when a process that was a member ends, and its application is told nothing of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.subscribe(self._told)

    def _told(self, endpoint: Endpoint, event: Event) -> None:
        life = self._world.lives_of(endpoint)[-1]
        if not (isinstance(event, JoinFailed) and life.views):
            return
        telling = Telling()
        telling.change(Installed(life.views[-1].configuration, None))
        if telling.change(event) is None:
            self._world.violated(
                "end", f"{life} was a member and ends ({event.reason}), and its application is told nothing"
            )


def unsettled(world: World, *, one_cluster: bool = False) -> str | None:
    """Why this world has not come to rest, with all links healthy; None when it has.

    At rest every live process is a member of a view, and that view's members are exactly the live
    processes that hold it. Who has ended was told so. The exceptions are views of which no majority
    lives: their members hold one view and have been told that the quorum is lost; and processes that can
    get into no view with a majority: their applications have been told that they wait.
    ``one_cluster``: all are to be in one view if a majority of any lives.
    """
    if world.starting:
        return f"{world.starting} processes are still to start"
    live = world.live
    current = {(life.place.endpoint, life.node.node_id): life for life in live}
    healthy: dict[Configuration, None] = {}
    helpless: dict[Configuration, None] = {}
    outside: list[Life] = []
    for life in live:
        view = life.membership
        if view is None:
            outside.append(life)
            continue
        present = [current.get((member.endpoint, member.node_id)) for member in view.members]
        here = [peer for peer in present if peer is not None]
        majority = 2 * len(here) > view.size
        (healthy if majority else helpless)[view] = None
        if problem := _apart(life, view, here) or _ill_told(life, view, lost=not majority):
            return problem
        if majority and len(here) < view.size:
            return f"{life} holds v{view.version} of {view.size}, of which only {len(here)} run"
    if problem := _stranded(world, outside):
        return problem
    digests = {view.digest for view in healthy}
    if one_cluster and digests and (len(digests) > 1 or helpless or outside):
        return f"there are {len(digests)} clusters with a quorum, {len(helpless)} without one"
    return None


def _apart(life: Life, view: Configuration, here: list[Life]) -> str | None:
    """Whether a member that runs holds another view, or knows other facts."""
    for peer in here:
        theirs = peer.membership
        if theirs is None:
            return f"{peer} is in no view, and {life} holds v{view.version} with it as a member"
        if theirs.digest != view.digest:
            held = f"v{view.version} of {view.size}, its member {peer} v{theirs.version} of {theirs.size}"
            return f"{life} holds {held}"
        mine, epoch = life.node._epoch, peer.node._epoch
        if mine is not None and epoch is not None and mine.gossip.digest != epoch.gossip.digest:
            return f"{life} and {peer} know different facts of v{view.version}"
    return None


def _ill_told(life: Life, view: Configuration, *, lost: bool) -> str | None:
    """Whether what the application was told last is not what is the case."""
    where = f"{life} is in v{view.version}"
    if life.between or life.configuration is None or life.configuration.digest != view.digest:
        return f"{where}, and its application was told otherwise"
    if life.quorum_lost and not lost:
        return f"{where} like the others, and was never told that the quorum is restored"
    if lost and not life.quorum_lost:
        return f"{where}, most of whose members are gone, and was not told that the quorum is lost"
    return None


def _stranded(world: World, outside: list[Life]) -> str | None:
    """Whether one in no view could be in one, or waits in silence."""
    for life in outside:
        known = life.configuration
        ways = {*life.seeds, *(known.endpoints if known is not None else ())} - {life.place.endpoint}
        if any(peer.place.endpoint in ways and _has_quorum(world, peer) for peer in world.live):
            return f"{life} is in no view, though it knows members of one"
        if not life.events or isinstance(life.events[-1][1], Evicted | OtherCluster):
            return f"{life} is in no view, nobody can let it in, and its application is told nothing"
    return None


def _has_quorum(world: World, life: Life) -> bool:
    view = life.membership
    if view is None:
        return False
    current = {(peer.place.endpoint, peer.node.node_id) for peer in world.live}
    return 2 * sum((member.endpoint, member.node_id) in current for member in view.members) > view.size
