"""Members that find each other by names, by IPv4 and IPv6, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import rapid
from rapid import Cluster, Endpoint, Settings, discovery
from rapid.runtime.discovery import FAILED

from .authority import Authority
from .names import Names, is_here, loopbacks
from .reactor_loop import until

V4, V6, NAME = "127.0.0.1:0", "[::1]:0", "localhost:0"
LOCAL = Settings.local()


ipv6 = pytest.mark.skipif(not is_here("::1"), reason="nothing can listen on ::1 on this machine")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


async def member(stack: AsyncExitStack, listen: str, seeds: Any = (), **options: Any) -> Cluster:
    cluster = Cluster(listen, seeds=seeds, **{"settings": LOCAL, **options})
    return await stack.enter_async_context(cluster)


async def until_all_agree(clusters: Sequence[Cluster]) -> None:
    """Wait until all of these, and only so many, are in one view."""
    await until(
        lambda: (
            all(cluster.view.size == len(clusters) for cluster in clusters)
            and len({cluster.view for cluster in clusters}) == 1
        )
    )


@pytest.mark.parametrize(
    "listens",
    [
        (NAME, NAME),
        (V4, NAME),
        pytest.param((V6, V6), marks=ipv6),
        pytest.param((V6, V4, NAME), marks=ipv6),
        pytest.param((V4, V6, NAME, V6), marks=ipv6),
    ],
    ids=" ".join,
)
async def test_members_of_all_kinds_form_a_cluster(listens: tuple[str, ...]) -> None:
    async with AsyncExitStack() as stack:
        founder = await member(stack, listens[0])
        rest = [await member(stack, listen, [founder.endpoint]) for listen in listens[1:]]
        await until_all_agree([founder, *rest])
        hosts = [cluster.endpoint.host for cluster in (founder, *rest)]
        assert hosts == [listen.rpartition(":")[0].strip("[]") for listen in listens]
        # each is watched at its address, and found gone there
        await rest[-1].leave()
        await until_all_agree([founder, *rest[:-1]])


async def test_a_name_leads_to_a_member_that_is_known_by_its_address() -> None:
    async with AsyncExitStack() as stack:
        a = await member(stack, V4)
        b = await member(stack, V4, [f"localhost:{a.endpoint.port}"])
        await until_all_agree([a, b])


@pytest.mark.parametrize(
    ("listen", "advertise"),
    [
        ("0.0.0.0:0", V4),
        ("0.0.0.0:0", NAME),
        pytest.param("[::]:0", V6, marks=ipv6),
        pytest.param("[::]:0", V4, marks=ipv6),
    ],
)
async def test_listening_on_all_addresses(listen: str, advertise: str) -> None:
    async with AsyncExitStack() as stack:
        a = await member(stack, listen, advertise=advertise)
        assert (a.endpoint.host, a.endpoint.port != 0) == (Endpoint.parse(advertise).host, True)
        b = await member(stack, listen, [a.endpoint], advertise=advertise)
        await until_all_agree([a, b])


@pytest.mark.parametrize("others", [(), ("127.0.0.1:1",)], ids=["alone", "with one that is not there"])
@pytest.mark.parametrize(
    ("listen", "advertise", "seed"),
    [
        ("127.0.0.1", "localhost", "localhost"),
        ("127.0.0.1", "localhost", "LOCALHOST"),
        ("127.0.0.1", "localhost", "127.0.0.1"),
        ("127.0.0.1", None, "localhost"),
        pytest.param("[::1]", None, "[0:0:0:0:0:0:0:1]", marks=ipv6),
        pytest.param("[::]", "localhost", "[::1]", marks=ipv6),
    ],
)
async def test_the_first_seed_founds_by_whatever_name_it_is_called(
    listen: str, advertise: str | None, seed: str, others: tuple[str, ...]
) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        founder = await member(
            stack,
            f"{listen}:{port}",
            [f"{seed}:{port}", *others],
            advertise=advertise and f"{advertise}:{port}",
        )
        assert founder.view.size == 1


async def test_several_start_with_the_same_names_as_seeds() -> None:
    ports = [free_port() for _ in range(3)]
    seeds = [f"localhost:{port}" for port in ports]
    clusters = [Cluster(f"127.0.0.1:{port}", seeds=seeds, settings=LOCAL) for port in ports]
    async with AsyncExitStack() as stack:
        await asyncio.gather(*map(stack.enter_async_context, clusters))
        await until_all_agree(clusters)


async def test_an_expectation_that_is_not_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rapid.cluster.GRACE", 0.1)
    settings = Settings.local(join_attempt=0.1, join_timeout=1.0)
    async with AsyncExitStack() as stack:
        a = await member(stack, V4, settings=Settings.local(leave_timeout=0.1))
        late = Cluster(V4, seeds=[a.endpoint], bootstrap_expect=3, settings=settings)
        with pytest.raises(rapid.JoinError, match="the view holds 2 of the 3 processes expected"):
            await late.start()


# providers


async def test_the_names_of_seeds_are_resolved_anew_at_each_try(names: Names) -> None:
    async with AsyncExitStack() as stack:
        a = await member(stack, V4)
        names.addresses["cache.example"] = ["192.0.2.1"]
        b = Cluster(V4, seeds=discovery.dns("cache.example", a.endpoint.port), settings=LOCAL)
        starting = asyncio.create_task(b.start())
        await until(lambda: len(names.asked) > 1)
        assert not starting.done()
        names.addresses["cache.example"] = ["192.0.2.1", "127.0.0.1"]
        await starting
        stack.push_async_callback(b.leave)
        await until_all_agree([a, b])


@loopbacks
async def test_those_behind_one_name_start_together(names: Names) -> None:
    """As the pods of a headless service do: each has an address of its own and the same port."""
    port = free_port()
    hosts = [f"127.0.0.{number}" for number in (2, 3, 4)]
    names.addresses["cache.example"] = hosts
    clusters = [
        Cluster(
            f"{host}:{port}",
            seeds=discovery.dns("cache.example", port),
            bootstrap_expect=3,
            settings=LOCAL,
        )
        for host in hosts
    ]
    async with AsyncExitStack() as stack:
        views = await asyncio.gather(*(cluster.start() for cluster in clusters))
        for cluster in clusters:
            stack.push_async_callback(cluster.leave)
        assert [view.size for view in views] == [3, 3, 3]
        await until_all_agree(clusters)


async def test_a_file_that_comes_later(tmp_path: Path) -> None:
    path = tmp_path / "seeds"
    async with AsyncExitStack() as stack:
        a = await member(stack, V4)
        b = Cluster(V4, seeds=discovery.file(path), settings=LOCAL)
        starting = asyncio.create_task(b.start())
        await until(lambda: b.stats[FAILED] > 1)
        path.write_text(f"{a.endpoint}  # it\n")
        await starting
        stack.push_async_callback(b.leave)
        await until_all_agree([a, b])


async def test_what_is_wrong_with_the_seeds_is_in_the_error(tmp_path: Path) -> None:
    settings = Settings.local(join_timeout=0.3)
    with pytest.raises(rapid.JoinError, match="the seed provider: FileNotFoundError: .*nowhere"):
        await Cluster(V4, seeds=discovery.file(tmp_path / "nowhere"), settings=settings).start()


async def test_a_provider_that_fails_and_hangs_does_not_stop_a_member() -> None:
    settings = Settings.local(join_attempt=0.02, outreach_interval=0.05)
    answers = 0

    async def unsteady() -> list[str]:
        nonlocal answers
        answers += 1
        if answers % 2:
            raise ConnectionError("the registry is away")
        if answers > 2:
            await asyncio.Event().wait()
        return [str(a.endpoint)]

    async with AsyncExitStack() as stack:
        a = await member(stack, V4, settings=settings)
        b = await member(stack, V4, unsteady, settings=settings)
        await until_all_agree([a, b])
        await until(lambda: b.stats[FAILED] > 5)
        c = await member(stack, V4, [b.endpoint], settings=settings)
        await until_all_agree([a, b, c])


async def test_a_provider_that_hangs_from_the_first_time_on() -> None:
    settings = Settings.local(join_attempt=0.02, join_timeout=0.5)

    async def hanging() -> list[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(rapid.JoinError, match=r"the seed provider: no answer within 0.1 s"):
        await Cluster(V4, seeds=hanging, settings=settings).start()


# with TLS


async def test_with_tls_a_name_is_dialled_as_it_is_written(tmp_path: Path) -> None:
    """The certificate names it, and not its address."""
    tls = Authority(tmp_path / "ca").tls(hosts=("localhost",))
    async with AsyncExitStack() as stack:
        a = await member(stack, V4, advertise=NAME, tls=tls)
        b = await member(stack, V4, [f"localhost:{a.endpoint.port}"], advertise=NAME, tls=tls)
        await until_all_agree([a, b])
        assert b.stats["handshakes failed"] == 0


async def test_with_one_name_in_all_certificates_names_are_resolved(tmp_path: Path, names: Names) -> None:
    """gRPC's own resolver knows nothing of this name."""
    tls = Authority(tmp_path / "ca").tls(hosts=("rapid.example",), server_name="rapid.example")
    names.addresses["cache.example"] = ["127.0.0.1"]
    async with AsyncExitStack() as stack:
        a = await member(stack, V4, tls=tls)
        b = await member(stack, V4, discovery.dns("cache.example", a.endpoint.port), tls=tls)
        await until_all_agree([a, b])


@pytest.mark.parametrize("listen", [V4, pytest.param(V6, marks=ipv6)])
def test_listening_on_an_address_loads_no_tables_of_unicode(listen: str) -> None:
    code = (
        "import asyncio, sys, rapid\n"
        "async def main():\n"
        f"    async with rapid.Cluster({listen!r}) as cluster:\n"
        "        print(cluster.endpoint.host, {'encodings.idna', 'unicodedata'} & {*sys.modules})\n"
        "asyncio.run(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"{Endpoint.parse(listen).host} set()\n"
