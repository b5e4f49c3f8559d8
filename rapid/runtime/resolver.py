"""Names to addresses, by the machine's own resolver: for seeds and for members alike.

gRPC's resolver reads neither the machine's name service nor all of its files, so that a seed could be
found by a name by which no stream to it could be opened.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

CACHED = 5.0
"""Seconds that an answer is used again."""
CACHE_LIMIT = 1024
"""Names whose answers are remembered."""
THREADS = 32
"""Names that one resolver looks up at a time: a look-up may hang for half a minute, and cannot be ended."""

WAITED = "name look-ups that waited"
LOOKED_UP = "name look-ups"


async def getaddrinfo(host: str, port: int) -> list[tuple[Any, ...]]:
    """As the function of the same name, on a thread that does not hold up the end of the process.

    Raises OSError, or UnicodeError for a name that cannot be one.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[tuple[Any, ...]]] = loop.create_future()

    def settle(found: list[tuple[Any, ...]] | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found or [])

    def ask() -> None:
        found, failure = None, None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except Exception as error:  # whatever it is, it is raised where the answer is waited for
            failure = error
        try:
            loop.call_soon_threadsafe(settle, found, failure)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    try:
        threading.Thread(target=ask, name="rapid-resolver", daemon=True).start()
    except RuntimeError as error:  # no more threads
        raise OSError(str(error)) from error
    return await answer


class Resolver:
    """Looks each name up once at a time and remembers the answer for a moment.

    A name whose look-up hangs holds up no other one, up to ``THREADS`` of them. Look-ups are counted
    in ``stats``.
    """

    def __init__(self, stats: Counter[str]) -> None:
        self._stats = stats
        self._threads = asyncio.Semaphore(THREADS)
        self._asking: dict[str, asyncio.Task[tuple[str, ...]]] = {}
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def addresses(self, host: str) -> tuple[str, ...]:
        """All addresses of a host, in the machine's order of preference; an address is its own.

        Raises OSError, or UnicodeError for a name that cannot be one. To stop waiting does not stop the
        look-up: who asks next may find its answer.
        """
        if is_address(host):
            return (host,)
        now = asyncio.get_running_loop().time()
        until, known = self._known.get(host, (now, ()))
        if until > now:
            return known
        asking = self._asking.get(host)
        if asking is None:
            asking = asyncio.get_running_loop().create_task(self._ask(host))
            self._asking[host] = asking
            asking.add_done_callback(lambda done: self._asked(host, done))
        return await asyncio.shield(asking)

    def forget(self, host: str) -> None:
        """Its addresses were no good."""
        self._known.pop(host, None)

    def close(self) -> None:
        """Wait for nothing any longer. A thread that looks a name up ends by itself."""
        for asking in self._asking.values():
            asking.cancel()

    async def _ask(self, host: str) -> tuple[str, ...]:
        if self._threads.locked():
            self._stats[WAITED] += 1
        async with self._threads:
            self._stats[LOOKED_UP] += 1
            found = await getaddrinfo(host, 0)
        return tuple(dict.fromkeys(_address(sockaddr) for *_, sockaddr in found))

    def _asked(self, host: str, done: asyncio.Task[tuple[str, ...]]) -> None:
        del self._asking[host]
        if done.cancelled() or done.exception() is not None:
            return  # whoever waits for it is told
        if len(self._known) >= CACHE_LIMIT:
            del self._known[next(iter(self._known))]
        self._known[host] = asyncio.get_running_loop().time() + CACHED, done.result()


def is_address(host: str) -> bool:
    """Whether it is an IP address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def explained(error: OSError | UnicodeError) -> str:
    """Why a name has no addresses, for people."""
    why = error.strerror if isinstance(error, OSError) else None
    return f"its name does not resolve: {why or error}"


def target(addresses: Sequence[str], port: int) -> str:
    """How gRPC names these addresses: it tries them in turn, and resolves nothing."""
    versions = {ip_address(address).version for address in addresses}
    if versions == {4}:
        return "ipv4:" + ",".join(f"{address}:{port}" for address in addresses)
    mapped = (address if ":" in address else f"::ffff:{address}" for address in addresses)
    # the zone of a link-local address, as a URI has it
    return "ipv6:" + ",".join(f"[{address.replace('%', '%25')}]:{port}" for address in mapped)


def _address(sockaddr: tuple[Any, ...]) -> str:
    host, scope = str(sockaddr[0]), sockaddr[3] if len(sockaddr) > 3 else 0
    return f"{host}%{scope}" if scope and "%" not in host else host
