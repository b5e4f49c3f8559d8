"""Where the seeds are: a provider is asked, and names become addresses, anew at every try."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address

from rapid.errors import EndpointError
from rapid.log import log
from rapid.overlay.member import Endpoint
from rapid.runtime import resolver
from rapid.runtime.contained import is_own_end
from rapid.runtime.resolver import explained, is_address
from rapid.settings import Settings

SeedProvider = Callable[[], Awaitable[Iterable[str | Endpoint]]]
"""Gives the seeds at present, as ``host:port`` or endpoints; asked anew at every try, and now and then.
Awaited on the library's own event loop and thread: it must not block, and cannot use what belongs to
another event loop."""

PROVIDER = "the seed provider"
FAILED = "seed look-ups failed"


def patience(settings: Settings) -> float:
    """Seconds that a provider, and a name after it, may take to give an answer."""
    return 5 * settings.join_attempt


def as_seeds(values: Iterable[str | Endpoint]) -> tuple[Endpoint, ...]:
    """Read seeds; raise :class:`EndpointError` for one that no process can be reached at."""
    if isinstance(values, str | Endpoint):
        raise EndpointError(f"{str(values)!r}: several seeds are wanted, such as a list of this one")
    return tuple(map(_seed, values))


class Discovery:
    """Asks a provider for the seeds and resolves their names: every address is a seed.

    What raises, is no list of seeds or takes longer than ``patience`` seconds is counted in ``stats``
    and logged once; the last good answer stays in use. ``as_written``: names are
    not resolved but left to the transport.
    """

    def __init__(
        self, provider: SeedProvider, patience: float, stats: Counter[str], *, as_written: bool = False
    ) -> None:
        self._provider = provider
        self._patience = patience
        self._stats = stats
        self._as_written = as_written
        self._seeds: Sequence[Endpoint] = ()
        self._addresses: dict[Endpoint, list[Endpoint]] = {}
        self._resolving: dict[Endpoint, asyncio.Task[list[Endpoint]]] = {}
        self._troubles: dict[str, str] = {}

    async def addresses(self, me: Endpoint) -> list[Endpoint]:
        """The seeds' addresses, in order. Of one name's, the order is the same everywhere.

        An endpoint that is this member's own stays as it is written, and comes first among those of a
        name that are all this machine's.
        """
        self._seeds = await self._ask()
        found = await asyncio.gather(*(self._resolved(seed, me) for seed in self._seeds))
        self._addresses = {seed: held for seed, held in self._addresses.items() if seed in self._seeds}
        current = {PROVIDER, *map(str, self._seeds)}
        self._troubles = {what: why for what, why in self._troubles.items() if what in current}
        return list(dict.fromkeys(address for group in found for address in group))

    def troubles(self) -> dict[str, str]:
        """What cannot be looked up at present, and why."""
        return dict(self._troubles)

    def close(self) -> None:
        """Wait for nothing any longer. A thread that resolves a name ends by itself."""
        for resolving in self._resolving.values():
            resolving.cancel()

    async def _ask(self) -> Sequence[Endpoint]:
        limit, task = asyncio.timeout(self._patience), asyncio.current_task()
        try:
            async with limit:
                seeds = as_seeds(await self._provider())
        except BaseException as error:
            if is_own_end(error, task):
                raise
            late = f"no answer within {self._patience:g} s" if limit.expired() else None
            self._trouble(PROVIDER, late or f"{type(error).__name__}: {error}")
            return self._seeds
        self._troubles.pop(PROVIDER, None)
        return seeds

    async def _resolved(self, seed: Endpoint, me: Endpoint) -> list[Endpoint]:
        if self._as_written or seed == me or is_address(seed.host):
            return [seed]
        resolving = self._resolving.get(seed)
        if resolving is None:
            # a thread that hangs cannot be ended: one for each name is enough
            resolving = asyncio.get_running_loop().create_task(_look_up(seed))
            resolving.add_done_callback(lambda _: self._resolving.pop(seed))
            self._resolving[seed] = resolving
        try:
            async with asyncio.timeout(self._patience):
                addresses = await asyncio.shield(resolving)
        except TimeoutError:
            self._trouble(str(seed), f"its name was not resolved within {self._patience:g} s")
        except (OSError, UnicodeError) as error:  # the latter for a label that is empty or too long
            self._trouble(str(seed), explained(error))
        else:
            self._troubles.pop(str(seed), None)
            if me in addresses and all(_is_here(address.host) for address in addresses):
                addresses.remove(me)
                addresses.insert(0, me)
            self._addresses[seed] = addresses
        # one that was never resolved is kept, too: who may found counts the seeds
        return self._addresses.get(seed) or [seed]

    def _trouble(self, what: str, why: str) -> None:
        self._stats[FAILED] += 1
        before, self._troubles[what] = self._troubles.get(what), why
        # the rest of a text may be another each time, such as how long it took
        if before is None or before.partition(":")[0] != why.partition(":")[0]:
            log.warning("seeds cannot be looked up", seed=what, reason=why)


async def _look_up(seed: Endpoint) -> list[Endpoint]:
    answers = await resolver.getaddrinfo(seed.host, seed.port)
    hosts = {str(address[0]) for *_, address in answers}
    return [Endpoint(host, seed.port) for host in sorted(hosts, key=_by_address)]


def _seed(value: str | Endpoint) -> Endpoint:
    endpoint = Endpoint.parse(value) if isinstance(value, str) else Endpoint.checked(*value)
    if not endpoint.port or is_wildcard(endpoint.host):
        raise EndpointError(f"seed {endpoint}: no process can be reached there")
    return endpoint


def is_wildcard(host: str) -> bool:
    """Whether it stands for all addresses of a machine, and so for none that can be dialled."""
    return is_address(host) and ip_address(host).is_unspecified


def _by_address(host: str) -> tuple[int, int]:
    address = ip_address(host)
    return address.version, int(address)


def _is_here(host: str) -> bool:
    """Whether this machine has the address: only then can it be taken."""
    family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.bind((host, 0))
    except OSError:
        return False
    return True
