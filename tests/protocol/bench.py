"""One joiner in virtual time, among seeds that do as they are told."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.joining import NONE_TRUSTED, Joining, Trusted
from rapid.protocol.messages import JoinReply, JoinRequest, Message, Standing
from rapid.protocol.outbox import Outbox
from rapid.protocol.outputs import Discover, Send
from rapid.settings import Settings

from .harness import at

LAN = Settings.lan()
HERE = ClusterId(b"h" * 16)
RTT = 0.001
Seed = Callable[[JoinRequest], JoinReply | None]


class Joiner:
    """One joiner among seeds that do as they are told; who has no entry in ``seeds`` is silent."""

    def __init__(
        self,
        *seeds: Endpoint,
        me: int = 0,
        settings: Settings = LAN,
        founds: bool = False,
        expected: int = 1,
        trusted: Trusted = NONE_TRUSTED,
    ) -> None:
        self.now = 0.0
        self.member = Member(at(me), NodeId(b"0" * 16))
        self.seeds: dict[Endpoint, Seed] = {}
        self.refusing: set[Endpoint] = set()
        self.looked_up = seeds
        self.asked: list[tuple[float, Endpoint]] = []
        self.sent: list[tuple[float, Endpoint, Message]] = []
        self.founded: float | None = None
        self.failed: str | None = None
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._outbox = Outbox()
        self.joining = Joining(
            self.member, seeds, settings, Random(1), self._outbox, self.now, found=self._found,
            failed=self._fail, renew=self._renew, founds=founds, expected=expected,
            deadline=settings.join_timeout, trusted=trusted,
        )  # fmt: skip

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            self._drain()
            due = min(self.joining.due, self._heap[0][0] if self._heap else end + 1)
            if due > end:
                break
            self.now = due
            if self._heap and self._heap[0][0] <= due:
                heappop(self._heap)[2]()
            else:
                self.joining.wake(self.now)
        self.now = end

    def requests(self, kind: type[Message]) -> list[tuple[float, Endpoint]]:
        return [(when, to) for when, to, message in self.sent if isinstance(message, kind)]

    @property
    def join_requests(self) -> list[JoinRequest]:
        return [message for _, _, message in self.sent if isinstance(message, JoinRequest)]

    def _drain(self) -> None:
        for output in self._outbox.drain():
            if isinstance(output, Discover):
                self.joining.discovered(self.looked_up)
            elif isinstance(output, Send):
                self.sent.append((self.now, output.to, output.message))
                if isinstance(output.message, JoinRequest):
                    self.asked.append((self.now, output.to))
                    self._pass_on(output.to, output.message)

    def _pass_on(self, to: Endpoint, request: JoinRequest) -> None:
        if to in self.refusing:
            self._after(RTT, lambda: self.joining.unreachable(to, self.now))
        elif (answer := self.seeds.get(to)) is not None and (reply := answer(request)) is not None:
            self._after(RTT, lambda: self.joining.replied(reply, self.now))

    def _after(self, delay: float, act: Callable[[], None]) -> None:
        heappush(self._heap, (self.now + delay, len(self.sent), act))

    def _found(self) -> None:
        self.founded = self.now

    def _fail(self, reason: str) -> None:
        self.failed = reason

    def _renew(self) -> Member:
        self.member = Member(self.member.endpoint, NodeId(bytes(15) + bytes([self.member.node_id[15] + 1])))
        return self.member


def saying(
    standing: Standing, seed: Endpoint, version: int = 7, detail: str = ""
) -> Callable[[JoinRequest], JoinReply]:
    inside = standing in (Standing.WELCOME, Standing.ADDRESS_HELD, Standing.INCOMPATIBLE)
    observers = (at(20), at(21), at(20)) if standing in (Standing.WELCOME, Standing.ADDRESS_HELD) else ()

    def answer(request: JoinRequest) -> JoinReply:
        return JoinReply(
            seed, standing, HERE if inside else None, version, observers, detail, NodeId(b"s" * 16),
            request.attempt, (at(30), at(31), at(30)) if standing is Standing.ADDRESS_HELD else (),
        )  # fmt: skip

    return answer
