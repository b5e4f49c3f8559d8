"""Seeds from files and SRV records."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from dns.asyncresolver import Resolver

import rapid
from rapid import Endpoint, discovery
from rapid.runtime.discovery import FAILED, PROVIDER

from .names import Names
from .test_discovery import ME, at, looking

# files


async def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "seeds"
    path.write_text("# the first two racks\n10.0.0.1:7400\n\n  [::1]:7401  # the old one\n", encoding="utf-8")
    found, _ = looking(discovery.file(path))
    assert await found.addresses(ME) == [*at("10.0.0.1"), Endpoint("::1", 7401)]
    path.write_text("10.0.0.2:7400", encoding="utf-8")
    assert await found.addresses(ME) == at("10.0.0.2")
    path.write_text("# nobody at all\n", encoding="utf-8")
    assert await found.addresses(ME) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "FileNotFoundError: "),
        (b"10.0.0.3:7400\nhalf a li", "seeds, line 2: 'half a li' is no HOST:PORT"),
        (b"10.0.0.3:0\n", "seeds, line 1: seed 10.0.0.3:0: no process can be reached there"),
        (b"\xff\xfe\x00", "UnicodeDecodeError: "),
    ],
)
async def test_a_file_that_is_missing_or_broken(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "seeds"
    path.write_text("10.0.0.1:7400", encoding="utf-8")
    found, stats = looking(discovery.file(str(path)))
    assert await found.addresses(ME) == at("10.0.0.1")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert await found.addresses(ME) == at("10.0.0.1")
    assert why in found.troubles()[PROVIDER]
    assert stats == {FAILED: 1}
    path.write_text("10.0.0.2:7400", encoding="utf-8")
    assert await found.addresses(ME) == at("10.0.0.2")


# SRV


class Nameserver(asyncio.DatagramProtocol):
    """Knows SRV records only."""

    def __init__(self, records: dict[str, list[str]]) -> None:
        self.records = records

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, peer: tuple[str | Any, int]) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        name = query.question[0].name.to_text()
        if name in self.records:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", *self.records[name]))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), peer)


@asynccontextmanager
async def nameserver(records: dict[str, list[str]]) -> AsyncIterator[Resolver]:
    """A resolver that asks one that has these records."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Nameserver(records), local_addr=("127.0.0.1", 0)
    )
    resolver = Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    resolver.search = [dns.name.from_text("example.org.")]
    try:
        yield resolver
    finally:
        transport.close()


async def test_srv_records_come_by_priority_weight_and_name(names: Names) -> None:
    name = "_rapid._tcp.example.org."
    records = {
        name: [
            "20 0 7400 spare.example.org.",
            "10 1 7402 light.example.org.",
            "10 5 7401 heavy.example.org.",
            "10 1 7400 a.example.org.",
        ]
    }
    names.addresses = {"heavy.example.org": ["10.0.0.1", "10.0.0.2"], "a.example.org": ["10.0.0.3"]}
    async with nameserver(records) as resolver:
        # as it stands in the DNS, and completed by the search domain
        for text in (name, "_rapid._tcp"):
            found, _ = looking(discovery.srv(text, resolver=resolver))
            assert await found.addresses(ME) == [
                Endpoint("10.0.0.1", 7401),
                Endpoint("10.0.0.2", 7401),
                Endpoint("10.0.0.3", 7400),
                Endpoint("light.example.org", 7402),
                Endpoint("spare.example.org", 7400),
            ]
            assert len(found.troubles()) == 2
        found, _ = looking(discovery.srv(name, resolver=resolver), as_written=True)
        assert [str(seed) for seed in await found.addresses(ME)][:2] == [
            "heavy.example.org:7401",
            "a.example.org:7400",
        ]


async def test_srv_records_are_asked_for_anew_and_the_last_good_ones_stay(names: Names) -> None:
    name = "_rapid._tcp.example.org."
    records = {name: ["0 0 7400 a.example.org."]}
    names.addresses = {"a.example.org": ["10.0.0.1"], "b.example.org": ["10.0.0.2"]}
    async with nameserver(records) as resolver:
        found, stats = looking(discovery.srv("_rapid._tcp.example.org", resolver=resolver))
        assert await found.addresses(ME) == at("10.0.0.1")
        records[name] = ["0 0 7400 b.example.org."]
        assert await found.addresses(ME) == at("10.0.0.2")
        del records[name]
        assert await found.addresses(ME) == at("10.0.0.2")
        assert found.troubles()[PROVIDER].startswith("NXDOMAIN: ")
        assert stats == {FAILED: 1}
        records[name] = ["0 0 0 ."]
        assert await found.addresses(ME) == [], "the service is not offered"


def test_srv_without_dnspython_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.asyncresolver", None)
    with pytest.raises(rapid.SettingsError, match=r"rapid-membership\[dns\]"):
        discovery.srv("_rapid._tcp.example.org")


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example"])
def test_srv_of_what_is_no_name(name: str) -> None:
    with pytest.raises(rapid.SettingsError, match="is no name in the DNS"):
        discovery.srv(name)
