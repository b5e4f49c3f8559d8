"""For the commands that talk to a running agent: where it is, what it answers, and how that is shown."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from typing import Any, Never
from urllib.parse import quote

from rapid.agent.address import admin_endpoint
from rapid.agent.printable import printable
from rapid.errors import EndpointError, RapidError
from rapid.overlay.member import Endpoint

ADMIN = "RAPID_ADMIN"
TOKEN = "RAPID_ADMIN_TOKEN"
PATIENCE = 10.0
"""Seconds to wait for an answer that is there."""
SILENCE = 60.0
"""Seconds to wait for an answer that others must agree on, and for a sign of life of a stream."""
EXIT_STATUS = (
    "Exit status: 0 when it was done, 1 when the agent refused or failed to, 2 for bad arguments, 3 when no"
    " agent answers there."
)

Answer = dict[str, Any]


class Refused(RapidError):
    """The agent does not do that, or does not know. It says why."""


class Unreachable(RapidError):
    """No agent answers there."""


class Agent:
    """The admin endpoint of a running agent. Raises :class:`Refused` and :class:`Unreachable`."""

    def __init__(self, at: Endpoint) -> None:
        self.at = at

    def get(self, path: str, **query: str) -> Answer:
        """Ask."""
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        with self._response("GET", f"{path}?{asked}" if asked else path, PATIENCE) as response:
            return self._read(response)

    def post(self, path: str) -> Answer:
        """Command; the answer comes when it is done."""
        headers = {"Content-Type": "application/json"}
        if token := os.environ.get(TOKEN):
            headers["Authorization"] = f"Bearer {token}"
        with self._response("POST", path, SILENCE, headers) as response:
            return self._read(response)

    def events(self) -> Iterator[Answer]:
        """What happens to the agent, beginning with the view as it is, until it ends."""
        with self._response("GET", "/events", SILENCE) as response:
            if response.status != 200:
                self._read(response)
            for line in response:
                name, _, data = line.decode().rstrip("\n").partition(": ")
                if name == "data":
                    yield json.loads(data)

    @contextmanager
    def _response(
        self, method: str, path: str, timeout: float, headers: dict[str, str] | None = None
    ) -> Iterator[HTTPResponse]:
        connection = HTTPConnection(self.at.host, self.at.port, timeout=timeout)
        try:
            connection.request(method, path, headers=headers or {})
            with connection.getresponse() as response:
                yield response
        except TimeoutError:
            raise Unreachable(f"the agent at {self.at} was silent for {timeout:g} s") from None
        except OSError as problem:
            raise Unreachable(f"no agent answers at {self.at}: {problem.strerror or problem}") from None
        except IncompleteRead:
            raise Unreachable(f"the agent at {self.at} has ended") from None
        except HTTPException as problem:
            raise Unreachable(f"at {self.at} is no agent's admin endpoint: {problem!r}") from None
        finally:
            connection.close()

    def _read(self, response: HTTPResponse) -> Answer:
        try:
            answer = json.loads(response.read())
        except ValueError:
            self._stranger(response.status)
        if not isinstance(answer, dict):
            self._stranger(response.status)
        if response.status != 200:
            raise Refused(str(answer.get("error", answer)))
        return answer

    def _stranger(self, status: int) -> Never:
        raise Unreachable(f"at {self.at} is no agent's admin endpoint: it answers {status}, without JSON")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of every command that talks to an agent."""
    parser.epilog = EXIT_STATUS
    parser.add_argument(
        "--admin",
        metavar="[HOST:]PORT",
        help=f"the agent's admin endpoint ({ADMIN}); on this machine, unless a host is given",
    )
    parser.add_argument("--json", action="store_true", help="print JSON objects")


def talk(command: str, args: argparse.Namespace, about: Callable[[Agent], None]) -> int:
    """Talk to the agent that the arguments name; the exit status."""
    at = args.admin or os.environ.get(ADMIN)
    if not at:
        return fail(command, f"which agent? give --admin [HOST:]PORT, or set {ADMIN}", 2)
    try:
        agent = Agent(admin_endpoint(at))
    except EndpointError as problem:
        return fail(command, f"--admin: {problem}", 2)
    try:
        about(agent)
    except Refused as problem:
        return fail(command, problem, 1)
    except Unreachable as problem:
        return fail(command, problem, 3)
    return 0


def fail(command: str, problem: object, status: int) -> int:
    """Say what was wrong; the exit status."""
    print(f"rapid {command}: {printable(problem)}", file=sys.stderr)
    return status
