"""The peers of the benchmarks, as far as it shows without building them."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from benchmarks.peers.contract import Printer, Ready, View, parse, parser
from benchmarks.peers.fleet import Fleet, free_addresses
from benchmarks.peers.registry import (
    HERE,
    PEERS,
    TOOLCHAIN_MISSING,
    Peer,
    available,
    build_environment,
    named,
)
from benchmarks.peers.smoke import last_line, try_peer
from rapid.agent.reports import as_report
from rapid.cli.processes import Overdue
from rapid.view import QuorumLost

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
SPEAK = "import sys; print(sys.argv[1], flush=True); sys.stdin.read()"


class TestLines:
    def test_what_an_agent_prints_is_read_back(self, capsys: pytest.CaptureFixture[str]) -> None:
        printer = Printer(with_members=True)
        printer.ready()
        printer.view({"b:2", "a:1"})
        ready, view = (parse(line) for line in capsys.readouterr().out.splitlines())
        assert isinstance(ready, Ready)
        assert isinstance(view, View)
        assert ready.at <= view.at
        assert (view.size, view.members) == (2, ("a:1", "b:2"))

    def test_members_are_left_out_on_demand(self, capsys: pytest.CaptureFixture[str]) -> None:
        Printer(with_members=False).view({"a:1"})
        line = capsys.readouterr().out
        assert "members" not in json.loads(line)
        view = parse(line)
        assert isinstance(view, View)
        assert (view.size, view.members) == (1, None)

    def test_the_lines_of_rapid_agent_are_read_too(self) -> None:
        assert parse('{"t": 1.5, "event": "listening", "endpoint": "a:1"}') == Ready(1.5)
        assert parse('{"t": 1.5, "event": "view", "version": 3, "size": 2}') == View(1.5, 2, None)
        assert parse(json.dumps(as_report(QuorumLost(7)))) is None

    @pytest.mark.parametrize(
        "line",
        [b"", b"ready", b"[]", b'{"event": "ready"}', b'{"at": 1}', b'{"at": 1, "event": "view"}', b"\xff"],
    )
    def test_anything_else_is_refused(self, line: bytes) -> None:
        with pytest.raises(ValueError, match="is no line of an agent"):
            parse(line)


class TestCommands:
    def test_the_address_and_each_seed(self, tmp_path: Path) -> None:
        command = named("memberlist").command("a:1", ["b:2", "c:3"], "--wait", built=tmp_path)
        agent = str(tmp_path / "memberlist" / "agent")
        assert command == [agent, "--listen", "a:1", "--seed", "b:2", "--seed", "c:3", "--wait"]

    @pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
    def test_the_options_are_those_of_the_contract(self, peer: Peer) -> None:
        command = peer.command("a:1", ["b:2"], "--no-members", "--wait", "--tether")
        options, others = parser("").parse_known_args(command[1:])
        assert (options.listen, options.seed) == ("a:1", ["b:2"])
        assert (options.no_members, options.wait, options.tether) == (True, True, True)
        assert others == list(peer.options)

    def test_variants_share_a_build_and_differ_in_options(self) -> None:
        plain, raised = named("kinship"), named("kinship-raised")
        assert plain.build_command() == raised.build_command()
        added = [part for part in raised.command("a:1", []) if part not in plain.command("a:1", [])]
        assert added == ["--raise-stream-limit"]

    def test_a_server_only_where_one_is_needed(self, tmp_path: Path) -> None:
        command = named("zookeeper").server_command("a:1", tmp_path / "data", built=tmp_path)
        server = str(tmp_path / "zookeeper" / "server")
        assert command == [server, "--listen", "a:1", "--data", str(tmp_path / "data")]
        with pytest.raises(ValueError, match="memberlist has no server"):
            named("memberlist").server_command("a:1", tmp_path)

    def test_an_unknown_name_is_answered_with_the_known_ones(self) -> None:
        with pytest.raises(
            ValueError, match="'akka' is no peer; there are rapid, rapid-embedded, memberlist"
        ):
            named("akka")


class TestBuilds:
    def test_every_peer_is_listed_built_or_not(self, tmp_path: Path) -> None:
        assert available(tmp_path) == dict.fromkeys(PEERS, False)
        agent = tmp_path / "kinship" / "agent"
        agent.parent.mkdir()
        agent.touch(mode=0o755)
        built = {peer.name for peer, is_built in available(tmp_path).items() if is_built}
        assert built == {"kinship", "kinship-raised"}

    @pytest.mark.parametrize(
        ("name", "file", "pin"),
        [
            ("memberlist", "go.mod", r"^require github.com/hashicorp/memberlist v(\S+)$"),
            ("kinship", "requirements.txt", r"^kinship==(\S+)"),
            ("pekko", "pom.xml", r"<artifactId>pekko-cluster_\S+</artifactId>\s*<version>(\S+)</version>"),
        ],
    )
    def test_the_version_is_the_one_that_is_built(self, name: str, file: str, pin: str) -> None:
        peer = named(name)
        found = re.search(pin, (HERE / peer.folder / file).read_text(), re.MULTILINE)
        assert found is not None
        assert found[1] == peer.version

    @pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
    def test_a_missing_toolchain_is_said_in_one_line(self, peer: Peer, tmp_path: Path) -> None:
        # all that the scripts use before they look for the toolchain
        for tool in ("dirname", "realpath"):
            (tmp_path / tool).symlink_to(_found(tool))
        into = tmp_path / "built"
        done = subprocess.run(
            peer.build_command(into),
            env={"PATH": str(tmp_path), "PYTHON": "python-that-is-not"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == TOOLCHAIN_MISSING
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"{peer.folder}: ")
        assert "install" in done.stderr
        assert not into.exists()

    @pytest.mark.parametrize(
        ("status", "outcome", "problem"),
        [(3, "missing", "x: no toolchain"), (1, "failed", "returned non-zero exit status 1")],
    )
    def test_what_cannot_be_built_is_reported(
        self, tmp_path: Path, status: int, outcome: str, problem: str
    ) -> None:
        script = tmp_path / "build"
        script.write_text(f"#!/bin/sh\necho 'x: no toolchain' >&2\nexit {status}\n")
        script.chmod(0o755)
        result = try_peer(Peer("x", "1", str(tmp_path)), nodes=5, within=1, settle=0)
        assert (result["peer"], result["outcome"]) == ("x", outcome)
        assert problem in result["problem"]

    def test_the_last_line_with_something_in_it(self) -> None:
        assert last_line("first\n last \n\n") == "last"
        assert last_line("") == ""


@pytest.fixture
def embedded(tmp_path: Path) -> Path:
    """Where it is built."""
    command = named("rapid-embedded").build_command(tmp_path)
    subprocess.run(command, env=build_environment(), capture_output=True, check=True)
    return tmp_path


class TestEmbedded:
    """``rapid-embedded``: a plain program, and what the benchmark puts around it."""

    def test_the_program_is_plain_and_knows_of_no_benchmark(self) -> None:
        text = (HERE / "embedded" / "program.py").read_text()
        tree = ast.parse(text)
        imported = {
            name
            for node in ast.walk(tree)
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert imported == {"asyncio", "sys", "collections.abc", "rapid"}
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "rapid"
        }
        # the other is the type of what it is told
        assert used == {"Cluster", "Change"}

    async def test_the_program_runs_without_a_benchmark(self) -> None:
        (address,) = free_addresses(1)
        program = str(HERE / "embedded" / "program.py")
        process = await asyncio.create_subprocess_exec(
            sys.executable, program, address, stdout=PIPE, env=ENVIRONMENT, preexec_fn=_interruptible
        )
        try:
            assert process.stdout is not None
            line = (await process.stdout.readline()).decode()
            assert line.startswith("ViewChange(")
            assert address.partition(":")[2] in line
            process.send_signal(signal.SIGINT)
            assert await process.wait() != 0
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def test_around_it_two_keep_the_contract(self, embedded: Path) -> None:
        peer = named("rapid-embedded")
        first, second = free_addresses(2)
        options = ("--wait", "--tether", "--join-timeout", "60")
        async with Fleet() as fleet:
            agents = [
                await fleet.start(one, peer.command(one, [first], *options, built=embedded))
                for one in (first, second)
            ]
            await fleet.until(lambda agent: agent.is_ready, agents, 30, "not ready")
            # nothing happens before it is released
            assert [agent.views for agent in agents] == [[], []]
            for agent in agents:
                agent.release()
            await fleet.until(lambda agent: agent.size == 2, agents, 30, "no view of 2")
            assert agents[0].views[-1].members == tuple(sorted((first, second)))
            agents[1].send(peer.graceful)
            await fleet.until(lambda agent: agent.ended, [agents[1]], 30, "not ended")
            await fleet.until(lambda agent: agent.size == 1, [agents[0]], 30, "the other has not left")
            assert agents[0].views[-1].removed == (second,)
            assert agents[1].status == 0
            assert agents[0].process.stdin is not None
            agents[0].is_signalled = True
            agents[0].process.stdin.close()
            await fleet.until(lambda agent: agent.ended, [agents[0]], 30, "it outlives its tether")
            assert agents[0].status == 1

    async def test_it_ends_well_while_it_waits(self, embedded: Path) -> None:
        peer = named("rapid-embedded")
        (address,) = free_addresses(1)
        async with Fleet() as fleet:
            agent = await fleet.start("a", peer.command(address, [address], "--wait", built=embedded))
            await fleet.until(lambda agent: agent.is_ready, [agent], 30, "not ready")
            agent.send(peer.graceful)
            await fleet.until(lambda agent: agent.ended, [agent], 30, "not ended")
            assert agent.status == 0

    @pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
    def test_only_what_gives_up_is_told_when(self, peer: Peer) -> None:
        assert peer.gives_up == peer.name.startswith("rapid")


class TestFleet:
    async def test_waits_for_what_agents_say(self) -> None:
        async with Fleet() as fleet:
            ready = await fleet.start("a", [sys.executable, "-c", SPEAK, '{"at": 1, "event": "ready"}'])
            view = await fleet.start(
                "b", [sys.executable, "-c", SPEAK, '{"at": 2, "event": "view", "size": 3}']
            )
            await fleet.until(lambda agent: agent.is_ready, [ready], 30, "not ready")
            await fleet.until(lambda agent: agent.size == 3, [view], 30, "no view of 3")
            assert (view.is_ready, ready.size) == (False, 0)
            assert view.first(3, after=0) == 2
        assert [agent.status for agent in fleet.agents] == [-9, -9]

    async def test_nobody_waits_for_an_agent_that_has_ended(self) -> None:
        fail = "import sys; sys.exit('the port is taken')"
        async with Fleet() as fleet:
            agent = await fleet.start("a", [sys.executable, "-c", fail])
            with pytest.raises(Overdue, match="a has ended with status 1\n  the port is taken"):
                await fleet.until(lambda agent: agent.is_ready, [agent], 30, "not ready")

    async def test_says_who_is_late(self) -> None:
        async with Fleet() as fleet:
            agent = await fleet.start("a", [sys.executable, "-c", SPEAK, '{"at": 1, "event": "ready"}'])
            with pytest.raises(Overdue, match=r"after 0.05 s: no view of 2: a \(0\)"):
                await fleet.until(lambda agent: agent.size == 2, [agent], 0.05, "no view of 2")

    async def test_what_an_agent_has_started_ends_with_it(self) -> None:
        # the child holds standard output open, so listening ends only once it is gone as well
        parent = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], sys.argv[2]])"
        async with Fleet() as fleet:
            agent = await fleet.start(
                "a", [sys.executable, "-c", parent, SPEAK, '{"at": 1, "event": "ready"}']
            )
            await fleet.until(lambda agent: agent.is_ready, [agent], 30, "not ready")
            agent.kill()
            await fleet.until(lambda agent: agent.ended, [agent], 30, "not ended")
        assert agent.status == -9

    def test_addresses_differ(self) -> None:
        addresses = free_addresses(20)
        assert len(set(addresses)) == 20


def _interruptible() -> None:
    # whoever runs the tests in the background has SIGINT ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _found(tool: str) -> Path:
    for folder in os.environ["PATH"].split(os.pathsep):
        if (path := Path(folder) / tool).exists():
            return path
    raise AssertionError(f"there is no {tool} here")
