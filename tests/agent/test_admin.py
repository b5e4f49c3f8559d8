"""The admin endpoint over real HTTP: what it answers, and whom it obeys."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection
from importlib.resources import files
from typing import Any

import pytest

from rapid import BindError, Endpoint, Evicted, LeaveTimeout, QuorumError, QuorumLost, RapidError, StateError
from rapid.agent.guard import Guard
from rapid.agent.server import bound

from .stub import CLUSTER, Stub, at, member

JSON = {"Content-Type": "application/json"}
ELSEWHERE = Guard(loopback=False)


def ask(
    where: Endpoint, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> tuple[int, str, bytes]:
    connection = HTTPConnection(where.host, where.port, timeout=20)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers.get_content_type(), response.read()
    finally:
        connection.close()


async def get(where: Endpoint, path: str, **headers: str) -> tuple[int, Any]:
    status, kind, content = await asyncio.to_thread(ask, where, path, "GET", headers)
    assert kind == "application/json"
    return status, json.loads(content)


async def post(where: Endpoint, path: str, headers: Mapping[str, str] = JSON) -> tuple[int, Any]:
    status, _, content = await asyncio.to_thread(ask, where, path, "POST", headers)
    return status, json.loads(content)


@pytest.fixture
def stub() -> Stub:
    stub = Stub()
    stub.change(member(number, metadata={"role": "cache"} if number == 1 else {}) for number in range(4))
    return stub


async def test_the_members(stub: Stub) -> None:
    async with stub.serving() as where:
        status, answer = await get(where, "/members")
        assert status == 200
        assert (answer["cluster_id"], answer["version"], answer["size"]) == (str(CLUSTER), 1, 4)
        said = {one["endpoint"]: one for one in answer["members"]}
        assert said[str(at(1))] == {
            "endpoint": str(at(1)), "node_id": str(member(1).node_id), "metadata": {"role": "cache"},
        }  # fmt: skip
        stub.alert(at(2), [0, 4])
        status, answer = await get(where, "/view")
        assert (answer["endpoint"], answer["state"], len(answer["rings"])) == (str(at(0)), "member", 10)
        assert [alert["rings"] for alert in answer["alerts"]] == [[0], [4]]
        assert (await get(where, "/alerts"))[1] == {"alerts": answer["alerts"]}


async def test_the_changes_and_the_counters(stub: Stub) -> None:
    stub.change(removed=[at(3)])
    async with stub.serving() as where:
        changes = (await get(where, "/views"))[1]["changes"]
        assert [(change["version"], change["size"]) for change in changes] == [(1, 4), (2, 3)]
        assert await get(where, "/counters") == (200, {"messages sent": 3})
        assert await get(where, "/metrics") == (200, {"messages sent": 3})


async def test_metrics_in_a_format_of_their_own(stub: Stub) -> None:
    async with stub.serving(exposition=lambda: (b"rapid_size 4\n", "text/plain; version=0.0.4")) as where:
        found = await asyncio.to_thread(ask, where, "/metrics")
        assert found == (200, "text/plain", b"rapid_size 4\n")


async def test_why(stub: Stub) -> None:
    stub.alert(at(2), range(10))
    stub.change(removed=[at(2)])
    async with stub.serving() as where:
        status, answer = await get(where, f"/why?endpoint={at(2)}")
        assert (status, answer["removals"][0]["rings"]) == (200, list(range(10)))
        assert (await get(where, f"/why?endpoint={at(1)}"))[1]["member"]["since"] == 1
        status, answer = await get(where, "/why?endpoint=10.9.9.9:1")
        assert status == 404
        assert answer["error"].startswith("10.9.9.9:1 is no member, and nothing is remembered")
        assert (await get(where, "/why?endpoint=here"))[0] == 400
        assert (await get(where, "/why"))[0] == 400


async def test_health() -> None:
    stub = Stub()
    async with stub.serving() as where:
        nobody = {"state": "joining", "live": True, "ready": False}
        assert await get(where, "/livez") == (200, nobody)
        assert await get(where, "/readyz") == (503, nobody)
        assert (await get(where, "/members")) == (
            503, {"error": "there is no view yet: this process is joining"},
        )  # fmt: skip
        stub.change([member(0)])
        member_of = {"endpoint": str(at(0)), "cluster_id": str(CLUSTER), "version": 1, "size": 1}
        body = {"state": "member", "live": True, "ready": True, **member_of}
        assert await get(where, "/livez") == await get(where, "/readyz") == (200, body)
        for change, state in ((QuorumLost(1), "quorum lost"), (Evicted("c", 2), "evicted")):
            stub.record.changed(change)
            status, answer = await get(where, "/readyz")
            assert (status, answer["state"]) == (503, state)
        stub.record.leaving()
        assert (await get(where, "/readyz"))[1]["state"] == "leaving"
        assert (await get(where, "/livez"))[0] == 200


async def test_what_is_not_there(stub: Stub) -> None:
    async with stub.serving() as where:
        assert await get(where, "/nothing") == (404, {"error": "there is no GET /nothing here"})
        assert await get(where, "/leave") == (405, {"error": "there is no GET /leave here"})
        assert (await post(where, "/members"))[0] == 405


async def test_commands(stub: Stub) -> None:
    async with stub.serving() as where:
        assert await post(where, "/leave") == (200, {"left": True})
        status, answer = await post(where, "/force-new-cluster")
        assert (status, answer["size"]) == (200, 4)
    assert stub.commands == ["leave", "force"]


@pytest.mark.parametrize(
    ("path", "refusal", "status"),
    [
        ("/leave", LeaveTimeout("nobody agreed"), 504),
        ("/leave", StateError("not yet"), 409),
        ("/force-new-cluster", QuorumError("a quorum answers"), 409),
        ("/force-new-cluster", StateError("not yet"), 409),
    ],
)
async def test_a_command_that_fails_says_why(stub: Stub, path: str, refusal: RapidError, status: int) -> None:
    stub.refusal = refusal
    async with stub.serving() as where:
        assert await post(where, path) == (status, {"error": str(refusal)})


@pytest.mark.parametrize(
    ("guard", "headers", "status"),
    [
        (Guard(loopback=True), {}, 415),
        (Guard(loopback=True), {"Content-Type": "text/plain"}, 415),
        (Guard(loopback=True), {"Content-Type": "application/json; charset=utf-8"}, 200),
        (ELSEWHERE, JSON, 403),
        (Guard(loopback=False, token="key"), JSON, 401),
        (Guard(loopback=False, token="key"), {**JSON, "Authorization": "Bearer kez"}, 401),
        (Guard(loopback=False, token="key"), {**JSON, "Authorization": "Bearer é"}, 401),
        (Guard(loopback=False, token="key"), {**JSON, "Authorization": "Bearer key"}, 200),
        (Guard(loopback=True, token="key"), JSON, 401),
    ],
)
async def test_whose_commands_are_obeyed(
    stub: Stub, guard: Guard, headers: dict[str, str], status: int
) -> None:
    async with stub.serving(guard) as where:
        assert (await post(where, "/leave", headers))[0] == status
        assert (await get(where, "/members"))[0] == 200
    assert stub.commands == ["leave"] * (status == 200)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:7480", 200),
        ("[::1]:7480", 200),
        ("[::1]", 200),
        ("evil.example", 421),
        ("evil.example:7480", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
async def test_on_loopback_no_other_name_is_answered(stub: Stub, host: str, status: int) -> None:
    async with stub.serving() as where:
        assert (await get(where, "/members", Host=host))[0] == status
    async with Stub().serving(ELSEWHERE) as where:
        assert (await get(where, "/livez", Host=host))[0] == 200


class Stream:
    """A reader of server-sent events who reads on a thread."""

    def __init__(self, where: Endpoint, last: str | None = None) -> None:
        self._connection = HTTPConnection(where.host, where.port, timeout=20)
        self._headers = {} if last is None else {"Last-Event-ID": last}
        self._lines: Any = None

    async def next(self) -> tuple[str, dict[str, Any]] | None:
        return await asyncio.to_thread(self._next)

    def _next(self) -> tuple[str, dict[str, Any]] | None:
        if self._lines is None:
            self._connection.request("GET", "/events", headers=self._headers)
            self._lines = self._connection.getresponse()
        number = ""
        for line in self._lines:
            name, _, value = line.decode().rstrip().partition(": ")
            if name == "id":
                number = value
            elif name == "data":
                return number, json.loads(value)
        return None

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()
        self._connection.close()


async def first_of(where: Endpoint, last: str | None = None) -> tuple[str, dict[str, Any]] | None:
    with closing(Stream(where, last)) as stream:
        return await stream.next()


async def test_the_stream_begins_with_the_view_and_goes_on(stub: Stub) -> None:
    async with stub.serving() as where:
        with closing(Stream(where)) as stream:
            begun = await stream.next()
            assert begun is not None
            assert (begun[1]["event"], begun[1]["endpoint"], begun[1]["version"]) == ("agent", str(at(0)), 1)
            first = await stream.next()
            assert first is not None
            assert (first[1]["event"], first[1]["version"], len(first[1]["joined"])) == ("view", 1, 4)
            stub.change(removed=[at(3)])
            second = await stream.next()
            assert second is not None
            assert (second[1]["version"], second[1]["removed"]) == (2, [str(at(3))])
            stub.events.close()
            assert await stream.next() is None


async def test_a_stream_that_was_torn_goes_on_where_it_was(stub: Stub) -> None:
    async with stub.serving() as where:
        stub.change(removed=[at(3)])
        first = await first_of(where)
        assert first is not None
        stub.change(removed=[at(2)])
        stub.change(removed=[at(1)])
        stub.events.close()
        with closing(Stream(where, first[0])) as again:
            news = [await again.next() for _ in range(3)]
        assert [one and one[1]["version"] for one in news] == [3, 4, None]
        # of another process, or long ago: from the beginning
        for unknown in ("0-1", first[0] + "9", "x", ""):
            begun = await first_of(where, unknown)
            assert begun is not None
            assert (begun[1]["event"], begun[1]["version"]) == ("agent", 4)


async def test_the_page_may_load_nothing_from_elsewhere(stub: Stub) -> None:
    async with stub.serving() as where:
        status, kind, content = await asyncio.to_thread(ask, where, "/")
        assert (status, kind) == (200, "text/html")
        assert b"http://" not in content
        assert b"https://" not in content


async def test_a_port_in_use() -> None:
    async with Stub().serving() as where:
        with pytest.raises(BindError, match=f"cannot listen on {where} for the admin endpoint: Address alr"):
            bound(where)


def test_the_page_puts_text_in_as_text_only() -> None:
    page = (files("rapid.agent") / "page.html").read_text(encoding="utf-8")
    _, _, script = page.partition("<script>")
    markup = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|setHTML|DOMParser|srcdoc"
        r"|document\.write|\beval\b|\bFunction\s*\(|setAttribute|javascript:|\.href\b|\.src\b"
    )
    assert "textContent" in script
    assert markup.findall(script) == []
    # and no text becomes a timer's program
    assert all(what.startswith(("() =>", "draw.timer")) for what in re.findall(r"Timeout\((.{10})", script))
