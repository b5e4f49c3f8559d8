"""The commands that talk to a running agent: what they print, and their exit status."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from rapid import Endpoint, LeaveTimeout, QuorumError
from rapid.agent.guard import Guard
from rapid.agent.reports import now
from rapid.cli import COMMANDS, main
from rapid.detection.alert import Ground
from tests.agent.stub import CLUSTER, Stub, at, member

TALKING = ["members", "watch", "leave", "why", "force-new-cluster"]
ARGUMENTS = {"why": ["10.0.0.1:7400"], "force-new-cluster": ["--yes"]}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAPID_ADMIN", raising=False)
    monkeypatch.delenv("RAPID_ADMIN_TOKEN", raising=False)


@pytest.fixture
def stub() -> Stub:
    stub = Stub()
    stub.change(member(number, metadata={"role": "cache"} if number == 1 else {}) for number in range(4))
    return stub


async def rapid(command: str, where: Endpoint | None, *arguments: str) -> int:
    admin = [] if where is None else ["--admin", str(where)]
    return await asyncio.to_thread(main, [command, *admin, *arguments])


async def test_members(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    async with stub.serving() as where:
        assert await rapid("members", where) == 0
        said = capsys.readouterr().out.splitlines()
        assert said[0] == f"cluster {CLUSTER}, view 1, 4 members"
        assert f"{at(1)}  {member(1).node_id}  role=cache" in said
        assert f"{at(2)}  {member(2).node_id}" in said
        assert await rapid("members", where, "--json") == 0
        assert json.loads(capsys.readouterr().out)["size"] == 4


HOSTILE = "\x1b]0;pwned\x07\x1b[2J\n127.0.0.1:1  0123456789abcdef0123456789abcdef  role=primary\u202e\x9b"


@pytest.mark.parametrize("command", ["members", "force-new-cluster"])
async def test_what_a_member_says_of_itself_is_one_line_that_no_terminal_obeys(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = Stub()
    stub.change([member(0), member(1, metadata={"x": HOSTILE, "[red]y": "[bold]z"})])
    async with stub.serving() as where:
        assert await rapid(command, where, *ARGUMENTS.get(command, [])) == 0
        said = capsys.readouterr().out
        assert all(line.isprintable() for line in said.split("\n"))
        assert said.count("\n") == 3
        [line] = [line for line in said.splitlines() if line.startswith(str(at(1)))]
        assert line.endswith(
            r' [red]y=[bold]z x="\x1b]0;pwned\x07\x1b[2J\x0a127.0.0.1:1  0123456789abcdef0123456789abcdef'
            r'  role=primary\u202e\x9b"'
        )
        # and for programs it is what it is
        assert await rapid(command, where, *ARGUMENTS.get(command, []), "--json") == 0
        said = capsys.readouterr().out
        assert said.isascii()
        assert any(one["metadata"].get("x") == HOSTILE for one in json.loads(said)["members"])


async def test_an_error_of_whoever_answers_is_no_command_to_the_terminal(
    stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.refusal = LeaveTimeout("a\nb\x1b[2J")
    async with stub.serving() as where:
        assert await rapid("leave", where) == 1
    assert capsys.readouterr().err == "rapid leave: a\\x0ab\\x1b[2J\n"


async def test_what_happens_is_one_line_each_that_no_terminal_obeys(
    stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stub.serving() as where:
        watching = asyncio.create_task(rapid("watch", where))
        said = ""
        while "view 1" not in said:
            await asyncio.sleep(0.01)
            said += capsys.readouterr().out
        stub.events.append(now("made up", said=HOSTILE))
        stub.events.close()
        assert await watching == 3
    said += capsys.readouterr().out
    assert all(line.isprintable() for line in said.split("\n"))
    assert said.count("\n") == 3


async def test_why(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    assert stub.configuration is not None
    observers = stub.configuration.observers(at(2))
    stub.alert(at(2), range(8), ground=Ground.SILENT)
    stub.alert(at(2), [8], ground=Ground.REINFORCED)
    async with stub.serving() as where:
        assert await rapid("why", where, str(at(2))) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"{at(2)} is a member since view 1, as {member(2).node_id}\nreported, and not")
        judge = "the member asked judges by Windowed(window=10, failures=4), others by judges of their own"
        assert said.endswith(f"no removal of it is remembered\n{judge}\n")
        stub.change(removed=[at(2)])
        stub.change(left=[at(3)])
        assert await rapid("why", where, str(at(2))) == 0
        first, second, *rest, last = capsys.readouterr().out.splitlines()
        assert first.startswith(f"{at(2)} was removed as failed with view 2 at ")
        assert second.startswith("  reported on 9 of 10 rings; ")
        assert [line.split("  ", 2)[2] for line in rest] == [
            *(f"{observers[ring]}  down (silent)      ring {ring}" for ring in range(8)),
            f"{observers[8]}  down (reinforced)  ring 8",
        ]
        assert last == judge
        assert await rapid("why", where, str(at(3))) == 0
        said = capsys.readouterr().out
        assert " left with view 3 at " in said
        assert "has heard none of the reports" in said
        assert await rapid("why", where, "--json", str(at(2))) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["removals"][0]["version"] == 2
        assert {report["ground"] for report in answer["removals"][0]["reports"]} == {"silent", "reinforced"}
        assert answer["judge"] == "Windowed(window=10, failures=4)"
        assert await rapid("why", where, "10.9.9.9:1") == 1
        assert "rapid why: 10.9.9.9:1 is no member" in capsys.readouterr().err
        assert await rapid("why", where, "here") == 2


@pytest.mark.parametrize("options", [(), ("--alerts",), ("--json", "--alerts")])
async def test_watch(stub: Stub, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    async with stub.serving() as where:
        watching = asyncio.create_task(rapid("watch", where, *options))
        said = ""
        while "version" not in said and "view 1" not in said:
            await asyncio.sleep(0.01)
            said += capsys.readouterr().out
        stub.alert(at(3), [2], ground=Ground.REFUSED)
        stub.change(removed=[at(3)])
        stub.events.close()
        assert await watching == 3
    captured = capsys.readouterr()
    said += captured.out
    assert f"the agent at {where} has ended" in captured.err
    if "--json" in options:
        events = [json.loads(line)["event"] for line in said.splitlines()]
        assert events == ["agent", "view", "alerts", "view"]
        return
    lines = [line.split("  ", 1)[1] for line in said.splitlines()]
    assert lines[-1] == f"view 2, 3 members: -{at(3)}"
    assert (f"alerts: {at(3)} down (refused) on 1 ring" in lines) == ("--alerts" in options)


async def test_leave(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    async with stub.serving() as where:
        assert await rapid("leave", where) == 0
        assert capsys.readouterr().out == "it has left\n"
        assert await rapid("leave", where, "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"left": True}
        stub.refusal = LeaveTimeout("nobody agreed")
        assert await rapid("leave", where) == 1
        assert capsys.readouterr().err == "rapid leave: nobody agreed\n"


async def test_the_token(
    stub: Stub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stub.serving(Guard(loopback=True, token="key")) as where:
        assert await rapid("leave", where) == 1
        assert "give it as RAPID_ADMIN_TOKEN" in capsys.readouterr().err
        monkeypatch.setenv("RAPID_ADMIN_TOKEN", "key")
        assert await rapid("leave", where) == 0
    assert stub.commands == ["leave"]


async def test_force_new_cluster(
    stub: Stub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stub.serving() as where:
        assert await rapid("force-new-cluster", where, "--yes") == 0
        assert capsys.readouterr().out.startswith(f"cluster {CLUSTER}, view 1, 4 members\n")
        monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
        assert await rapid("force-new-cluster", where) == 2
        assert capsys.readouterr().err.endswith("nothing was done; --yes says that you mean it\n")
        stub.refusal = QuorumError("a quorum answers")
        assert await rapid("force-new-cluster", where, "--yes") == 1
        assert capsys.readouterr().err == "rapid force-new-cluster: a quorum answers\n"
    assert stub.commands == ["force"]


@pytest.mark.parametrize(("word", "status"), [("yes", 0), ("no", 2), ("", 2)])
async def test_a_person_is_asked(
    stub: Stub, word: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = io.StringIO(f"{word}\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    async with stub.serving() as where:
        assert await rapid("force-new-cluster", where) == status
    assert "there will be two" in capsys.readouterr().err
    assert stub.commands == ["force"] * (status == 0)


async def test_the_variable_that_names_the_agent(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stub.serving() as where:
        monkeypatch.setenv("RAPID_ADMIN", str(where.port))
        assert await rapid("members", None) == 0
        monkeypatch.setenv("RAPID_ADMIN", "127.0.0.1:1")
        assert await rapid("members", where) == 0


@pytest.mark.parametrize("command", TALKING)
def test_which_agent(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    rest = ARGUMENTS.get(command, [])
    assert main([command, *rest]) == 2
    assert capsys.readouterr().err == (
        f"rapid {command}: which agent? give --admin [HOST:]PORT, or set RAPID_ADMIN\n"
    )
    assert main([command, "--admin", "here", *rest]) == 2
    assert f"rapid {command}: --admin: 'here' is no HOST:PORT" in capsys.readouterr().err


@pytest.fixture
def deaf() -> Iterator[Endpoint]:
    """An address that refuses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Endpoint(*taken.getsockname())


@pytest.mark.parametrize("command", TALKING)
def test_nobody_answers(command: str, deaf: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--admin", str(deaf), *ARGUMENTS.get(command, [])]) == 3
    assert capsys.readouterr().err == f"rapid {command}: no agent answers at {deaf}: Connection refused\n"


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n", b"HTTP/1.0 200 OK\r\n\r\nhello", b"HTTP/1.0 200 OK\r\n\r\n[]"]
)
def test_somebody_else_answers(answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as one:
                one.recv(65536)
                one.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        where = Endpoint(*server.getsockname())
        assert main(["members", "--admin", str(where)]) == 3
        thread.join()
    assert f"rapid members: at {where} is no agent's admin endpoint" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_the_shell_completes(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="the package shtab, which makes the script, is not installed")
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    asked = "compopt() { :; }; COMP_WORDS=(rapid '{words}'); COMP_CWORD=1; _shtab_rapid; echo ${COMPREPLY[@]}"
    for begun, expected in (("w", {"watch", "why"}), ("force", {"force-new-cluster"}), ("", set(COMMANDS))):
        done = subprocess.run(
            ["bash", "-c", script + asked.replace("{words}", begun)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert set(done.stdout.split()) - {"-h", "--help", "--version"} == expected
