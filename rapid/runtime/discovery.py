"""Where the seeds are: names become addresses, anew at every try."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address

import structlog

from rapid.errors import EndpointError
from rapid.overlay.member import Endpoint

log = structlog.get_logger("rapid")

SeedProvider = Callable[[], Awaitable[Iterable[str | Endpoint]]]
"""Gives the seeds at present, as ``host:port`` or endpoints; asked anew at every try, and now and then."""


class Discovery:
    """Asks a provider for the seeds and resolves their names: every address is a seed.

    What cannot be had is logged once until it can be had again.
    """

    def __init__(self, provider: SeedProvider) -> None:
        self._provider = provider
        self._troubles: dict[str, str] = {}

    async def addresses(self, me: Endpoint) -> list[Endpoint]:
        """The seeds' addresses, in order; this member's own first where the first seed has it.

        An endpoint that is this member's own stays as it is written.
        """
        try:
            seeds = [_endpoint(seed) for seed in await self._provider()]
        except (OSError, EndpointError, TimeoutError) as error:
            self._trouble("the seed provider", error)
            return []
        self._troubles.pop("the seed provider", None)
        found = await asyncio.gather(*(self._resolved(seed, me) for seed in seeds))
        for group in found[:1]:
            if me in group:
                group.sort(key=lambda address: address != me)
        return list(dict.fromkeys(address for group in found for address in group))

    def troubles(self) -> list[str]:
        """What cannot be looked up at present, and why."""
        return [f"{what}: {trouble}" for what, trouble in self._troubles.items()]

    async def _resolved(self, seed: Endpoint, me: Endpoint) -> list[Endpoint]:
        if seed == me or _is_literal(seed.host):
            return [seed]
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.getaddrinfo(seed.host, seed.port, type=socket.SOCK_STREAM)
        except OSError as error:
            self._trouble(str(seed), error)
            return [seed]  # perhaps the transport knows it
        self._troubles.pop(str(seed), None)
        return [Endpoint(str(address[0]), seed.port) for *_, address in answers]

    def _trouble(self, what: str, error: Exception) -> None:
        if self._troubles.get(what) != repr(error):
            self._troubles[what] = repr(error)
            log.warning("seeds cannot be looked up", seed=what, reason=repr(error))


def static(seeds: Sequence[str | Endpoint]) -> SeedProvider:
    """The same seeds each time; their names are still resolved anew."""

    async def provide() -> Sequence[str | Endpoint]:
        return seeds

    return provide


def _endpoint(seed: str | Endpoint) -> Endpoint:
    return Endpoint.parse(seed) if isinstance(seed, str) else seed


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
