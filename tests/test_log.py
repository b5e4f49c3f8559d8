"""The log is there when something is logged, and costs nothing before."""

from __future__ import annotations

import subprocess
import sys

from structlog.testing import capture_logs

from rapid.log import Log


def test_what_is_logged_goes_to_structlog() -> None:
    with capture_logs() as logs:
        Log().warning("it is late", seconds=2)
    assert logs == [{"event": "it is late", "seconds": 2, "log_level": "warning"}]


def test_the_configuration_is_asked_for_once_and_not_before_it_is_needed() -> None:
    asked: list[str] = []
    log = Log()
    log.configure = lambda: asked.append("now")
    assert asked == []
    with capture_logs():
        log.warning("one")
        log.warning("two")
    assert asked == ["now"]


def test_a_quiet_member_does_not_load_structlog() -> None:
    code = (
        "import asyncio, sys, rapid\n"
        "async def main():\n"
        "    async with rapid.Cluster('127.0.0.1:0') as cluster:\n"
        "        assert cluster.view.size == 1\n"
        "asyncio.run(main())\n"
        "sys.exit('structlog' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
