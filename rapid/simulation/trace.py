"""The last events of a world in readable form, and one number that stands for all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator

from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut
from rapid.protocol.messages import Cuts, Decided, Facts, JoinReply, Message, Probe, ProbeAck, Snapshot
from rapid.protocol.outputs import Installed

_MASK = (1 << 64) - 1


class Trace:
    """A bounded record of events; probes and their acks are left out of it, though not of the hash.

    ``limit`` events are kept. Numbers only go into the hash: it is the same in every process.
    """

    def __init__(self, limit: int) -> None:
        self._events: deque[tuple[float, str, object, object, object]] = deque(maxlen=limit)
        self._hash = 0

    def mix(self, *numbers: float) -> None:
        self._hash = hash((self._hash, numbers))

    def add(self, at: float, what: str, subject: object, peer: object = None, message: object = None) -> None:
        self._events.append((at, what, subject, peer, message))

    @property
    def hash(self) -> str:
        return f"{self._hash & _MASK:016x}"

    def lines(self) -> list[str]:
        """The events kept, oldest first."""
        return [" ".join(_words(event)) for event in self._events]


def _words(event: tuple[float, str, object, object, object]) -> Iterator[str]:
    at, what, subject, peer, message = event
    yield f"{at:12.6f}  {what:<9} {subject}"
    if peer is not None:
        yield f"<- {peer}"
    if message is not None:
        yield describe(message)


def describe(message: object) -> str:
    """A message or event in one line."""
    match message:
        case str():
            return message
        case Facts():
            parts = [f"Facts v{message.version}"]
            parts += [
                f"{alert.status.name} {alert.subject.endpoint}/{alert.rings:b} by {alert.observer or 'many'}"
                for alert in message.alerts[:6]
            ]
            if len(message.alerts) > 6:
                parts.append(f"and {len(message.alerts) - 6} more alerts")
            parts += [f"proposal {describe(cut)}" for cut in message.proposals]
            parts += [f"prepare {tuple(prepare.rank)}" for prepare in message.prepares]
            parts += [
                f"promise {tuple(p.rank)} by {p.voters:b} last {_short(p.digest)}@{tuple(p.vrank)}"
                for p in message.promises
            ]
            parts += [f"accept {_short(accept.digest)}@{tuple(accept.rank)}" for accept in message.accepts]
            parts += [f"vote {_short(v.digest)}@{tuple(v.rank)} by {v.voters:b}" for v in message.votes]
            return "; ".join(parts) + ("; complete" if message.complete else "")
        case Decided():
            return f"Decided v{message.version} {_short(message.digest)}"
        case Cuts():
            return f"Cuts from v{message.version}: {len(message.cuts)}"
        case Snapshot():
            return f"Snapshot {describe(message.configuration)}"
        case JoinReply():
            return f"JoinReply {message.standing.name} v{message.version} {message.detail}"
        case Installed():
            cut = "whole" if message.cut is None else describe(message.cut)
            return f"Installed {describe(message.configuration)} {cut} skipped {message.skipped}"
        case Configuration():
            return f"v{message.version} of {message.size} {_short(message.digest)}"
        case Cut():
            gone = " ".join(f"-{removal.endpoint}" for removal in message.removed[:6])
            come = " ".join(f"+{member.endpoint}" for member in message.joined[:6])
            more = " ..." if len(message.removed) > 6 or len(message.joined) > 6 else ""
            return f"{_short(message.digest)} [{gone} {come}{more}]"
        case _:
            version = getattr(message, "version", None)
            return type(message).__name__ + (f" v{version}" if version is not None else "")


def routine(message: Hashable | Message) -> bool:
    """Of no interest in a readable trace."""
    kind = type(message)
    return kind is Probe or kind is ProbeAck


def _short(digest: bytes | None) -> str:
    return "none" if digest is None else digest[:4].hex()
