"""The joiner's side: find a seed, ask its observers, wait to be let in (paper section 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from random import Random

from rapid.overlay.member import ClusterId, Endpoint, Member
from rapid.protocol.messages import (
    PROTOCOL_VERSION,
    Admitted,
    ConfigurationRequest,
    JoinReply,
    JoinRequest,
    Message,
    ObserveRequest,
    Restarted,
    Standing,
)
from rapid.settings import Settings


class Joining:
    """Asks one seed after another until the deadline.

    ``send`` takes a message; ``found`` is called when this process shall found the cluster itself,
    ``failed`` with the reason once the deadline is over. ``due`` is the next time to :meth:`wake`.
    """

    def __init__(
        self,
        member: Member,
        seeds: Sequence[Endpoint],
        settings: Settings,
        rng: Random,
        now: float,
        send: Callable[[Endpoint, Message], None],
        found: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        self._member = member
        self._seeds = [seed for seed in dict.fromkeys(seeds) if seed != member.endpoint]
        self._founder = not seeds or seeds[0] == member.endpoint
        self._settings = settings
        self._rng = rng
        self._send = send
        self._found = found
        self._failed = failed
        self._deadline = now + settings.join_timeout
        self._tried = 0
        self._silent: dict[Endpoint, None] = {}
        self._asked: Endpoint | None = None
        self._pause = settings.join_retry
        self._known: tuple[ClusterId, int] | None = None
        self._admitted: Admitted | None = None
        self._trouble = "no seed answered"
        self.due = now

    def wake(self, now: float) -> None:
        """Make the next try, or give up."""
        if now < self.due:
            return
        if now >= self._deadline:
            self.due = inf
            self._failed(self._trouble)
            return
        if self._admitted is not None:
            self._fetch(self._admitted)
            self._admitted = None
            self._until(now + self._settings.join_attempt, now)
            return
        if self._founder and len(self._silent) == len(self._seeds):
            self.due = inf
            self._found()
            return
        if self._asked is not None:
            self._silent[self._asked] = None
            if self._founder and len(self._silent) == len(self._seeds):
                self.due = inf
                self._found()
                return
        seed = self._seeds[self._tried % len(self._seeds)]
        self._tried += 1
        self._asked = seed
        self._known = None
        self._ask(seed)
        self._until(now + self._settings.join_attempt * (0.75 + 0.5 * self._rng.random()), now)

    def unreachable(self, endpoint: Endpoint, now: float) -> None:
        """The connection to this address failed."""
        if endpoint == self._asked:
            self._asked = None
            self._silent[endpoint] = None
            self._trouble = f"seed {endpoint} cannot be reached"
            self._again(now)

    def replied(self, reply: JoinReply, now: float) -> None:
        if reply.standing is Standing.WELCOME and reply.cluster_id is not None:
            state = (reply.cluster_id, reply.version)
            if self._known is not None and self._known[0] == state[0] and self._known[1] >= state[1]:
                return
            self._known = state
            self._asked = None
            self._pause = self._settings.join_retry
            self._trouble = f"cluster {reply.cluster_id} did not agree on letting this member in"
            request = ObserveRequest(self._member.endpoint, self._member, *state)
            for observer in dict.fromkeys(reply.observers):
                self._send(observer, request)
            self._until(now + 3 * self._settings.join_attempt, now)
        elif reply.standing is Standing.ADDRESS_HELD:
            self._trouble = f"an earlier process at {self._member.endpoint} is still a member"
            restarted = Restarted(self._member.endpoint, self._member.node_id)
            for observer in dict.fromkeys(reply.observers):
                self._send(observer, restarted)
            self._wait_after(reply.sender, now)
        elif reply.standing is Standing.UNREACHABLE:
            self._trouble = f"{reply.sender} cannot reach {self._member.endpoint}: {reply.detail}"
        elif reply.standing is Standing.INCOMPATIBLE:
            self._trouble = f"{reply.sender} refused: {reply.detail}"
            if not self._founder and len(self._seeds) == 1 and reply.sender == self._asked:
                self.due = inf
                self._failed(self._trouble)
                return
            self._wait_after(reply.sender, now)
        else:
            self._trouble = f"seed {reply.sender} is not in a cluster yet"
            self._silent[reply.sender] = None
            self._wait_after(reply.sender, now)

    def admitted(self, admitted: Admitted, now: float) -> None:
        """Let in; the snapshot is on its way from another observer, or has to be fetched."""
        if self._admitted is None:
            self._admitted = admitted
            self._until(now + self._settings.join_attempt / 2, now)

    def _ask(self, seed: Endpoint) -> None:
        settings, member = self._settings, self._member
        self._send(
            seed,
            JoinRequest(
                member.endpoint, member.node_id, PROTOCOL_VERSION, settings.k, settings.h, settings.l
            ),
        )

    def _fetch(self, admitted: Admitted) -> None:
        request = ConfigurationRequest(self._member.endpoint, admitted.cluster_id, None, self._member.node_id)
        self._send(admitted.sender, request)

    def _wait_after(self, sender: Endpoint, now: float) -> None:
        if sender == self._asked:
            self._asked = None
            self._again(now)

    def _again(self, now: float) -> None:
        """Back off: a pause that doubles, with jitter."""
        self._until(now + self._pause * (0.5 + self._rng.random()), now)
        self._pause = min(2 * self._pause, self._settings.join_attempt)

    def _until(self, at: float, now: float) -> None:
        self.due = max(now, min(at, self._deadline))
