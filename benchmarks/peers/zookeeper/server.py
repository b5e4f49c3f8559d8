"""A ZooKeeper server of its own for a benchmark: one, not an ensemble.

Prints a line with the event ``ready`` once it serves, and ends on SIGTERM with status 0. Everything
it keeps is in ``--data``.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.peers.contract import Printer, exit_on_signals, tether

MAIN = "org.apache.zookeeper.server.ZooKeeperServerMain"
POLL = 0.05
STOP_TIMEOUT = 10.0

LOGGING = """\
log4j.rootLogger=WARN, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.target=System.err
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=%d{ISO8601} %-5p %c{1}: %m%n
"""


def configuration(host: str, port: int, data: Path) -> str:
    """The packaged example's timing. All clients come from one address, so the limit for it is lifted."""
    return "\n".join([
        "tickTime=2000",
        f"dataDir={data}",
        f"clientPort={port}",
        f"clientPortAddress={host}",
        "maxClientCnxns=0",
        "admin.enableServer=false",
        "4lw.commands.whitelist=ruok",
        "",
    ])  # fmt: skip


def serves(host: str, port: int) -> bool:
    """Whether the server answers that it is well."""
    try:
        with socket.create_connection((host, port), timeout=1.0) as connection:
            connection.sendall(b"ruok")
            return connection.recv(4) == b"imok"
    except OSError:
        return False


def main() -> None:
    options = argparse.ArgumentParser(description="A ZooKeeper server of its own.")
    options.add_argument("--listen", required=True, metavar="HOST:PORT")
    options.add_argument("--data", required=True, type=Path, metavar="DIRECTORY", help="made when missing")
    options.add_argument("--tether", action="store_true", help="end when standard input ends")
    chosen = options.parse_args()
    host, _, service = chosen.listen.rpartition(":")
    port = int(service)
    data = chosen.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    (data / "zoo.cfg").write_text(configuration(host, port, data))
    (data / "log4j.properties").write_text(LOGGING)
    exit_on_signals()
    java = subprocess.Popen(
        ["java", "-Xmx512m", "-cp", f"{data}:{os.environ['ZOOKEEPER_JAR']}", MAIN, str(data / "zoo.cfg")],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )
    try:
        if chosen.tether:
            # not at once: the server proper would live on
            tether(lambda: os.kill(os.getpid(), signal.SIGTERM))
        while not serves(host, port):
            if java.poll() is not None:
                sys.exit(f"the server has ended with status {java.returncode}")
            time.sleep(POLL)
        Printer(with_members=False).ready()
        sys.exit(f"the server has ended with status {java.wait()}")
    finally:
        java.terminate()
        try:
            java.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            java.kill()


if __name__ == "__main__":
    main()
