"""An nginx that passes requests on to backends which can be exchanged while it runs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

_LOOK = 0.02
"""Seconds between two looks whether it has started."""

CONFIGURATION = """\
daemon off;
worker_processes 2;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream backends {{ include {directory}/backends.conf; }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://backends;
            proxy_connect_timeout 1s;
        }}
    }}
}}
"""


class NoNginx(Exception):
    """There is none here, or it does not start."""


def command() -> str:
    """The path of nginx. NoNginx where there is none."""
    # not every user has /usr/sbin in the path, where Debian puts it
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise NoNginx("there is no command nginx; on Debian: apt-get install nginx-light")
    return found


def upstreams(backends: Collection[str]) -> str:
    """The file of backends. Without any, requests are answered with 502: nginx wants one entry at least."""
    return "".join(f"server {backend};\n" for backend in sorted(backends)) or "server 127.0.0.1:1 down;\n"


class Nginx:
    """Listens at an address as long as the block goes on. Everything that it keeps is in the directory.

    NoNginx on entering when the command is missing, or when it ends at once.
    """

    def __init__(self, listen: str, directory: Path) -> None:
        self._listen = listen
        self._directory = directory.resolve()
        self._process: asyncio.subprocess.Process | None = None

    def show(self, backends: Collection[str]) -> None:
        """Pass requests on to these from now on. Those that are under way are finished as they began.

        Returns before nginx has read it: it starts new workers, and lets the old ones end their work.
        """
        assert self._process is not None, "it was entered"
        new = self._directory / "backends.new"
        new.write_text(upstreams(backends))
        new.replace(self._directory / "backends.conf")
        self._process.send_signal(signal.SIGHUP)

    async def __aenter__(self) -> Self:
        found = command()
        configuration = self._directory / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(directory=self._directory, listen=self._listen))
        (self._directory / "backends.conf").write_text(upstreams([]))
        self._process = await asyncio.create_subprocess_exec(
            found, "-e", "stderr", "-p", str(self._directory), "-c", str(configuration)
        )
        try:
            await self._started(self._process)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _started(self, process: asyncio.subprocess.Process) -> None:
        # it writes this once it listens; whoever tried to connect might meet another that has the address
        while not (self._directory / "nginx.pid").exists():
            if process.returncode is not None:
                break
            await asyncio.sleep(_LOOK)
        else:
            return
        raise NoNginx(f"nginx has ended with status {process.returncode}; what it says is above")

    async def _end(self) -> None:
        assert self._process is not None, "it was entered"
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
