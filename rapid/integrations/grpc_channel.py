"""Calls to a gRPC service of the members, spread over those of the newest view. Needs no extra."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType, TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

from rapid.cluster import Cluster
from rapid.errors import EndpointError, PlacementError, SettingsError, StateError
from rapid.overlay.member import Endpoint, Member
from rapid.placement import HashRing
from rapid.runtime.fork_support import grpc
from rapid.view import Change, View


def target(member: Member, key: str) -> str | None:
    """Where a member serves, as ``host:port``, by what its metadata hold under ``key``.

    That is a port, on the host that the member is known by, or ``host:port``. None when there is
    nothing, or nothing that makes sense.
    """
    text = member.metadata.get(key)
    if text is None:
        return None
    try:
        found = Endpoint.parse(text) if ":" in text else Endpoint.checked(member.endpoint.host, int(text))
    except (EndpointError, ValueError):
        # what one member says of itself must not keep the others from being called
        return None
    return str(found) if found.port else None


def targets(view: View, key: str, *, role: str | None = None) -> Mapping[Member, str]:
    """Each member of the view that serves, and where (see :func:`target`), in the order of the view.

    With ``role``, only those that have it as ``role`` in their metadata.
    """
    return MappingProxyType(
        {
            member: where
            for member in view.members
            if (role is None or member.metadata.get("role") == role)
            and (where := target(member, key)) is not None
        }
    )


class _Stubbed(ABC):
    """What a stub needs of a channel; each call picks one anew."""

    @abstractmethod
    def pick(self) -> grpc.aio.Channel:
        """The channel for the next call."""

    def unary_unary(self, *args: Any, **kwargs: Any) -> Call:
        """As that of :class:`grpc.aio.Channel`."""
        return Call(self.pick, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Call:
        """As that of :class:`grpc.aio.Channel`."""
        return Call(self.pick, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Call:
        """As that of :class:`grpc.aio.Channel`."""
        return Call(self.pick, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Call:
        """As that of :class:`grpc.aio.Channel`."""
        return Call(self.pick, "stream_stream", args, kwargs)


class Call:
    """One method of a stub: called, it calls the method of the channel that is picked."""

    def __init__(
        self,
        pick: Callable[[], grpc.aio.Channel],
        kind: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._pick = pick
        self._kind = kind
        self._args = args
        self._kwargs = kwargs
        self._made: WeakKeyDictionary[grpc.aio.Channel, Callable[..., Any]] = WeakKeyDictionary()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        channel = self._pick()
        method = self._made.get(channel)
        if method is None:
            method = self._made[channel] = getattr(channel, self._kind)(*self._args, **self._kwargs)
        return method(*args, **kwargs)


class FollowingChannel(_Stubbed):
    """A channel to whichever members serve: ``async with FollowingChannel(cluster, "grpc") as channel``.

    Members say under ``key`` in their metadata where they serve (see :func:`target`); with ``role``,
    only those of that role are called. Give it to a stub in place of a :class:`grpc.aio.Channel`. Each
    call goes to one member of the newest view, in turn; those that cannot be reached at the moment are
    passed over while there are others. For calls that belong to a key there is :meth:`keyed`.

    A call that has begun stays with its member. When that is removed from the view, the call has
    ``grace`` seconds left, and is cancelled then. Nothing is called twice: whoever calls sees the
    error of a member that has failed and is not removed yet, and may call again if that does no harm.

    ``credentials`` and ``options`` are those of the channels to the members; without credentials they
    are insecure. Start the cluster first, and use the channel on the event loop on which it was
    entered. Calls raise :class:`rapid.PlacementError` when no member serves, and
    :class:`rapid.StateError` outside of the block. :class:`rapid.SettingsError` when ``grace`` is below 0.
    """

    def __init__(
        self,
        cluster: Cluster,
        key: str,
        *,
        role: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
        grace: float = 5.0,
    ) -> None:
        if not grace >= 0:
            raise SettingsError("grace", f"{grace} s; take 0 or more")
        self._cluster = cluster
        self._key = key
        self._role = role
        self._credentials = credentials
        self._options = tuple(options)
        self._grace = grace
        self._served: _Served | None = None
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._turn = 0
        self._closing: dict[grpc.aio.Channel, asyncio.Task[None]] = {}
        """Channels to members that are gone, in their grace."""
        self._unsubscribe: Callable[[], None] | None = None

    async def __aenter__(self) -> Self:
        """Follow the cluster. StateError when it has not started, or this was entered before."""
        if self._unsubscribe is not None:
            raise StateError("a FollowingChannel is entered once; make a new one")
        self._served = self._follow(self._cluster.view)
        # to close channels though nobody calls
        self._unsubscribe = self._cluster.subscribe(self._changed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all channels; calls under way are cancelled."""
        assert self._unsubscribe is not None, "it was entered"
        self._unsubscribe()
        self._served = None
        channels = [*self._channels.values(), *self._closing]
        self._channels.clear()
        for waiting in self._closing.values():
            waiting.cancel()
        self._closing.clear()
        await asyncio.gather(*(channel.close() for channel in channels))

    @property
    def targets(self) -> Mapping[Member, str]:
        """The members that are called now, and where."""
        return self._now().targets

    def keyed(self, key: str | bytes) -> KeyedChannel:
        """A channel whose calls go to the member that owns the key, whichever it is at each call.

        It is ``view.ring(where=...).owner(key)`` among those that serve. If it cannot be reached, the call
        fails, since another one does not have what belongs to the key.
        """
        return KeyedChannel(self, key)

    def owner(self, key: str | bytes) -> grpc.aio.Channel:
        """The channel to the member that owns the key in the newest view."""
        served = self._now()
        return self._channel(served.targets[served.ring.owner(key)])

    def pick(self) -> grpc.aio.Channel:
        """The channel to the member whose turn it is; a stub calls this for each call."""
        addresses = self._now().addresses
        if not addresses:
            whom = "no member" if self._role is None else f"no member of the role {self._role!r}"
            raise PlacementError(f"{whom} says under {self._key!r} in its metadata where it serves")
        self._turn += 1
        first = self._turn % len(addresses)
        order = addresses[first:] + addresses[:first]
        # one by one: no channel is opened to those that are not needed
        for channel in map(self._channel, order):
            if not _is_failing(channel):
                return channel
        return self._channel(order[0])

    def _changed(self, _: Change) -> None:
        self._now()

    def _now(self) -> _Served:
        """What the newest view says."""
        if self._served is None:
            raise StateError("a FollowingChannel is used in its block: async with FollowingChannel(...)")
        view = self._cluster.view
        if view is not self._served.view:
            self._served = self._follow(view)
        return self._served

    def _follow(self, view: View) -> _Served:
        served = _Served(view, targets(view, self._key, role=self._role))
        for gone in self._channels.keys() - set(served.addresses):
            channel = self._channels.pop(gone)
            self._closing[channel] = asyncio.create_task(self._close(channel))
        return served

    async def _close(self, channel: grpc.aio.Channel) -> None:
        # a grace that is given to the channel itself cannot be cut short
        await asyncio.sleep(self._grace)
        del self._closing[channel]
        await channel.close()

    def _channel(self, address: str) -> grpc.aio.Channel:
        if address not in self._channels:
            self._channels[address] = (
                grpc.aio.insecure_channel(address, self._options)
                if self._credentials is None
                else grpc.aio.secure_channel(address, self._credentials, self._options)
            )
        return self._channels[address]


class KeyedChannel(_Stubbed):
    """A channel whose calls go to the owner of one key; see :meth:`FollowingChannel.keyed`."""

    def __init__(self, channel: FollowingChannel, key: str | bytes) -> None:
        self._channel = channel
        self._key = key

    def pick(self) -> grpc.aio.Channel:
        """The channel to the member that owns the key in the newest view."""
        return self._channel.owner(self._key)


@dataclass
class _Served:
    """Who serves in a view."""

    view: View
    targets: Mapping[Member, str]

    @cached_property
    def addresses(self) -> list[str]:
        return list(dict.fromkeys(self.targets.values()))

    @cached_property
    def ring(self) -> HashRing:
        return HashRing(self.targets)


def _is_failing(channel: grpc.aio.Channel) -> bool:
    return bool(channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE)
