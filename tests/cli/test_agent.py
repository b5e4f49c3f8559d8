"""``rapid`` and ``rapid agent``: arguments, and what is printed of a change."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys

import pytest

from rapid import (
    Change,
    Endpoint,
    Evicted,
    Member,
    NodeId,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    RejoinDelayed,
    RejoinFailed,
    Removal,
    View,
    ViewChange,
    ViewsSkipped,
)
from rapid.agent.configuration import Configuration
from rapid.agent.reports import Report, as_report, as_text
from rapid.cli import COMMANDS, main
from rapid.cli.agent import _configure_log, configure, given
from rapid.log import configured_by, log

A, B, C = (Endpoint("10.0.0.1", port) for port in (7400, 7401, 7402))
ID = NodeId(bytes(16))
NO_ENDPOINT = "is no HOST:PORT, such as 10.0.0.5:7400"
NO_PAIR = "is no KEY=VALUE, such as role=cache"
NAME = {"cluster_id": "c0", "version": 3, "size": 2, "digest": "d1"}
VIEW = View("c0", 3, "d1", (Member(A, ID), Member(B, ID)))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rapid ")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: rapid {command}")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "which command?"),
        (["dance"], "invalid choice: 'dance'"),
        (["agent", "--listen", "127.0.0.1:0", "--settings", "moon"], "invalid choice: 'moon'"),
        (
            ["agent", "--listen", "127.0.0.1:0", "--seed", "127.0.0.1:1", "--seed-file", "x"],
            "argument --seed-file: not allowed with argument --seed",
        ),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert error in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "listen: is missing; give the HOST:PORT to serve on, such as 10.0.0.7:7400"),
        (["--listen", "nonsense"], f"listen: 'nonsense' {NO_ENDPOINT}"),
        (["--listen", "127.0.0.1:70000"], "listen: port 70000 of '127.0.0.1' is not within 0 to 65535"),
        (["--listen", "127.0.0.1:0", "--seed", "here"], f"seeds: 'here' {NO_ENDPOINT}"),
        (["--listen", "127.0.0.1:0", "--seed-dns", "here"], f"seed_dns: 'here' {NO_ENDPOINT}"),
        (["--listen", "127.0.0.1:0", "--seed-dns", "here:0"], "seed_dns: seed here:0: no process can be "),
        (["--listen", "127.0.0.1:0", "--seed-srv", "a..b"], "seeds: 'a..b' is no name in the DNS"),
        (["--listen", "127.0.0.1:0", "--advertise", ":1"], f"advertise: ':1' {NO_ENDPOINT}"),
        (["--listen", "127.0.0.1:0", "--metadata", "role"], f"metadata: 'role' {NO_PAIR}"),
        (["--listen", "127.0.0.1:0", "--metadata", "=x"], f"metadata: '=x' {NO_PAIR}"),
        (["--listen", "127.0.0.1:0", "--metadata", "a=1", "--metadata", "a=2"], "metadata: 'a' is "),
        (["--listen", "127.0.0.1:0", "--join-timeout", "-1"], "join_timeout: -1.0 s"),
        (["--listen", "127.0.0.1:0", "--set", "speed=9"], "speed: no such setting; there are k, h, l, "),
        (["--listen", "127.0.0.1:0", "--set", "window=ten"], "window: 'ten' is no int"),
        (["--listen", "127.0.0.1:0", "--set", "window"], "window: '' is no int"),
        (["--listen", "127.0.0.1:0", "--set", "failures=11"], "failures: 11 is not within 1 to window=10"),
    ],
)
def test_bad_values_are_named_in_one_line(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str], own_signals: None
) -> None:
    assert main(["agent", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"rapid agent: {error}")
    assert said.count("\n") == 1


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Configuration)])
def test_every_field_is_an_argument(field: str) -> None:
    parser = argparse.ArgumentParser()
    configure(parser)
    kept_from_the_list_of_processes = {"admin_token"}
    found = {action.dest for action in parser._actions}
    assert (field in found) != (field in kept_from_the_list_of_processes)


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ([], {}),
        (["--tls-verify-address"], {"tls_verify_address": True}),
        (["--no-tls-verify-address"], {"tls_verify_address": False}),
        (["--no-tls-mutual"], {"tls_mutual": False}),
        (["--tls-server-name", "a.example"], {"tls_server_name": "a.example"}),
    ],
)
def test_the_options_of_tls(arguments: list[str], fields: dict[str, object]) -> None:
    parser = argparse.ArgumentParser()
    configure(parser)
    assert given(parser.parse_args(arguments)) == fields


def test_the_log_for_people_has_one_printable_line_for_each_event(
    capsys: pytest.CaptureFixture[str], own_signals: None
) -> None:
    configured_by(_configure_log)
    log.warning("told\x1b[2J", reason="a\nb\u202e", other=["c\x9b"])
    try:
        raise ValueError("of a peer")
    except ValueError:
        log.exception("failed")
    said, *traceback = capsys.readouterr().err.splitlines()
    assert said.isprintable()
    assert r"told\x1b[2J" in said
    assert r"reason=a\x0ab\u202e" in said
    assert traceback[-1] == "ValueError: of a peer"


@pytest.mark.skipif(sys.platform != "linux", reason="where there are such policies")
def test_a_policy_that_somebody_chose_stays() -> None:
    script = (
        "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)); "
        "from rapid.cli import agent; agent._wait_for_a_turn(); print(os.sched_getscheduler(0))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert int(said) == os.SCHED_IDLE


@pytest.mark.parametrize(
    ("change", "report"),
    [
        (
            ViewChange(VIEW, (Member(B, ID),), (Removal(A, ID), Removal(C, ID, left=True))),
            {
                "event": "view",
                "cluster_id": "c0",
                "version": 3,
                "size": 2,
                "digest": "d1",
                "joined": ["10.0.0.1:7401"],
                "removed": ["10.0.0.1:7400", "10.0.0.1:7402"],
                "left": ["10.0.0.1:7402"],
                "view": NAME,
            },
        ),
        (
            ViewsSkipped(VIEW, 4),
            {
                "event": "views skipped",
                "cluster_id": "c0",
                "version": 3,
                "size": 2,
                "digest": "d1",
                "joined": ["10.0.0.1:7400", "10.0.0.1:7401"],
                "removed": [],
                "left": [],
                "view": NAME,
                "skipped": 4,
            },
        ),
        (
            Evicted("c0", 9, rejoining=True),
            {"event": "evicted", "cluster_id": "c0", "version": 9, "rejoining": True},
        ),
        (
            OtherCluster(Endpoint("b", 2), "c1", 7, merging=False),
            {"event": "other cluster", "endpoint": "b:2", "cluster_id": "c1", "size": 7, "merging": False},
        ),
        (QuorumLost(3), {"event": "quorum lost", "version": 3}),
        (QuorumRestored(3), {"event": "quorum restored", "version": 3}),
        (
            RejoinDelayed(30.04, "nobody answers"),
            {"event": "rejoin delayed", "waited": 30.0, "reason": "nobody answers"},
        ),
        (RejoinFailed("nobody answers"), {"event": "rejoin failed", "reason": "nobody answers"}),
    ],
)
def test_every_change_has_a_report(change: Change, report: Report) -> None:
    printed = as_report(change)
    assert printed.pop("t") > 1_600_000_000
    assert json.loads(json.dumps(printed)) == report


def test_skipped_views_are_told_as_what_they_made_of_the_last_one() -> None:
    before = View("c0", 1, "d0", (Member(A, ID), Member(B, NodeId(bytes(15) + b"\1")), Member(C, ID)))
    report = as_report(ViewsSkipped(VIEW, 1), before)
    # B is another process now
    assert (report["joined"], report["removed"]) == ([str(B)], [str(B), str(C)])
    line = as_text(report).split("  ", 1)[1]
    assert line == f"view 3, 2 members after 1 that were skipped: +{B} -{B} -{C}"


def test_the_line_for_people() -> None:
    report = as_report(ViewChange(VIEW, (Member(B, ID),), (Removal(A, ID), Removal(C, ID, left=True))))
    line = as_text(report).split("  ", 1)[1]
    assert line == "view 3, 2 members: +10.0.0.1:7401 -10.0.0.1:7400 -10.0.0.1:7402 (left)"
    assert as_text(as_report(QuorumLost(3))).endswith("  quorum lost: version 3")
    assert as_text({"t": 0.0, "event": "leaving"}).endswith("  leaving")
    assert as_text({"t": 0.0, "event": "x", "said": "a\nb\x1b[2J"}).endswith(r"  x: said a\x0ab\x1b[2J")
