"""What is really said in the targets' town, as inputs for a fuzzer to begin with."""

from __future__ import annotations

from collections import deque

from rapid.proto.codec import encode
from rapid.proto.frames import FrameWriter
from rapid.protocol.messages import Decided, Facts, Message
from tests.protocol.harness import at

from . import targets
from .town import Town

PAUSE = 2
TOGETHER = 12
"""Messages of one script."""


def of(target: str) -> list[bytes]:
    """Inputs of this target."""
    return codec() if target == "codec" else node()


def codec() -> list[bytes]:
    """The longest message of each kind, and all of them as one stream."""
    longest: dict[type[Message], bytes] = {}
    for _, said in _overheard():
        encoded = encode(said)
        longest[type(said)] = max(longest.get(type(said), b""), encoded, key=len)
    frames = FrameWriter(targets.SPEAKER, targets.FRAME_LIMIT).frames(deque(longest.values()))
    return [*longest.values(), b"".join(targets.piece(0, 0, frame) for frame in frames)]


def node() -> list[bytes]:
    """Scripts of what was said to one member; some in which another crashes as well."""
    victim = Town().victim.member.endpoint
    steps = [
        targets.piece(said.sender.port % 8, PAUSE, encode(said)) for to, said in _overheard() if to == victim
    ]
    scripts = [b"".join(steps[at : at + TOGETHER]) for at in range(0, len(steps), TOGETHER)]
    return [*scripts, *(script + targets.piece(2, PAUSE, b"") for script in scripts[::4])]


def _overheard() -> list[tuple[object, Message]]:
    """One joins, at first not reached by all; one crashes, comes back, leaves; one misses that; two go on."""
    said: list[tuple[object, Message]] = []
    deaf: list[object] = []

    def hear(_: object, to: object, message: Message) -> bool:
        said.append((to, message))
        return to not in deaf or not isinstance(message, Facts | Decided)

    town = Town()
    net, members = town.net, town.members
    net.keep = hear
    net.blocked = {(members[1].member.endpoint, at(5))}
    newcomer = net.add(5, 0)
    net.run(3.0)
    net.blocked = set()
    net.run(4.0)
    net.crash(members[3])
    back = net.add(3, 0)
    net.run(5.0)
    deaf.append(newcomer.member.endpoint)
    back.leave(net.now)
    net.settle(back)
    net.run(5.0)
    deaf.clear()
    net.crash(*members[1:3])
    net.run(15.0)
    town.victim.force_new_cluster(net.now)
    net.settle(town.victim)
    net.run(4.0)
    return said
