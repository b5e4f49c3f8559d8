"""Where the seeds of a cluster come from: a list, DNS, a file, or an async function of your own.

Each function here gives a provider for ``Cluster(seeds=...)``, which is asked at the start, at every
further try to join, and every now and then for as long as the member lives. A provider that raises or
takes too long stops nothing: that is logged once, counted in ``stats`` as ``seed look-ups failed``, and
the last good answer stays in use. The names in an answer are resolved each time, and every address is
a seed; with TLS they are dialled as they are written, since the certificate names them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rapid.errors import EndpointError, SettingsError
from rapid.overlay.member import Endpoint
from rapid.runtime.discovery import SeedProvider, as_seeds

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

__all__ = ["SeedProvider", "dns", "file", "srv", "static"]


def static(seeds: Iterable[str | Endpoint]) -> SeedProvider:
    """The same seeds each time.

    Raises :class:`EndpointError` for one that is no ``host:port`` that can be reached.
    """
    held = as_seeds(seeds)

    async def provide() -> tuple[Endpoint, ...]:
        return held

    return provide


def dns(name: str, port: int) -> SeedProvider:
    """Every address (A and AAAA) that the name has at the time, such as that of a headless service.

    Raises :class:`EndpointError` for a name or port that is none.
    """
    return static([Endpoint.checked(name, port)])


def srv(name: str, *, resolver: Resolver | None = None) -> SeedProvider:
    """The targets and ports of the SRV records of a name such as ``_rapid._tcp.example.org``.

    They come by priority, then by weight, the heaviest first, then by name: in the same order
    everywhere. A name that does not end with a dot is also tried in the search domains of this
    machine. ``resolver`` is one of dnspython, such as for a server of your own; without it each
    look-up follows the machine's configuration as it is then.

    Raises :class:`SettingsError` when dnspython is not installed, which the extra ``dns`` is for, or
    when the name cannot be one.
    """
    try:
        from dns.asyncresolver import Resolver
        from dns.exception import DNSException
        from dns.name import from_text
    except ImportError as error:
        raise SettingsError(
            "seeds", "SRV records need dnspython: pip install 'rapid-membership[dns]'"
        ) from error
    try:
        wanted = from_text(name, origin=None)
    except (DNSException, UnicodeError) as error:
        raise SettingsError("seeds", f"{name!r} is no name in the DNS: {error}") from error

    async def provide() -> list[Endpoint]:
        answer = await (resolver or Resolver()).resolve(wanted, "SRV", search=True)
        records = sorted(
            (record.priority, -record.weight, record.target.to_text(omit_final_dot=True), record.port)
            for record in answer
        )
        # a target of "." says that there is no such service
        return [Endpoint.checked(target, port) for _, _, target, port in records if target != "."]

    return provide


def file(path: str | os.PathLike[str]) -> SeedProvider:
    """One ``HOST:PORT`` on each line of a file in UTF-8; what follows a ``#`` is a comment.

    It is read anew each time. Put a new one in place with a rename, lest half of it be read.
    """

    async def provide() -> list[Endpoint]:
        # a network's file system can hang
        text = await asyncio.to_thread(Path(path).read_text, encoding="utf-8")
        seeds: list[Endpoint] = []
        for number, line in enumerate(text.splitlines(), start=1):
            seed = line.partition("#")[0].strip()
            if seed:
                try:
                    seeds += as_seeds([seed])
                except EndpointError as error:
                    raise EndpointError(f"{os.fspath(path)}, line {number}: {error}") from None
        return seeds

    return provide
