"""Every supported protobuf gives the same bytes, which are those of ``bytes.txt``.

``python -m tests.proto.test_bytes`` writes that file anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rapid.consensus.facts import Accept, Prepare, Promise, Rank, Vote
from rapid.detection.alert import Alert, Ground, Status
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, CutDigest, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.proto.codec import Encoder, encode
from rapid.proto.pieces import LargeMessage
from rapid.protocol.messages import (
    ConfigurationRequest,
    Decided,
    Facts,
    JoinReply,
    JoinRequest,
    Leaving,
    Message,
    ObserveRequest,
    Probe,
    Snapshot,
    Standing,
)

ME = Endpoint("10.0.0.1", 7400)
CLUSTER = ClusterId(bytes(range(16)))
NODE = NodeId(bytes(range(16, 32)))
DIGEST = CutDigest(bytes(range(32, 48)))
MEMBER = Member(
    Endpoint("größe.example", 65535),
    NODE,
    # unsorted, each protobuf has an order of its own for these; of a name and its beginning even sorted
    {"zone": "b", "größe": "groß", "a": "", "port": "8080", "role": "store"},
)
CUT = Cut.of([Removal(ME, NODE, left=True), Removal(Endpoint("::1", 1), NODE)], [MEMBER])
RANK = Rank(3, 300)
MESSAGES: dict[str, Message] = {
    "probe": Probe(ME, NODE, 2**63, CLUSTER, 2**40, 2**64 - 1, 1000, 3, True, cluster_name="größe"),
    "probe-of-nobody": Probe(ME, NODE, 0, None, 0, 0),
    "join-request": JoinRequest(ME, NODE, 1, 10, 9, 4, CLUSTER, 2**32 - 1, True),
    "join-reply": JoinReply(ME, Standing.ADDRESS_HELD, CLUSTER, 7, (ME, ME), "detail", NODE, 1, (ME,)),
    "observe-request": ObserveRequest(ME, MEMBER, CLUSTER, 7, relay=True),
    "leaving": Leaving(ME, NODE, CLUSTER, 127),
    "facts": Facts(
        ME,
        CLUSTER,
        128,
        (Alert(None, MEMBER, Status(1), 2**32 - 1), Alert(ME, MEMBER, Status(2), 1, Ground(2), 3)),
        (CUT,),
        (Prepare(RANK),),
        (Promise(RANK, Rank(0, 0), None, 0), Promise(RANK, RANK, DIGEST, 2**70 + 1)),
        (Accept(RANK, DIGEST),),
        (Vote(RANK, DIGEST, 5),),
        True,
    ),
    "decided": Decided(ME, CLUSTER, 7, DIGEST, CUT),
    "configuration-request": ConfigurationRequest(ME, CLUSTER, 0, NODE),
    "snapshot": Snapshot(ME, Configuration.of(CLUSTER, 9, [MEMBER, Member(ME, NODE)], 3), (CLUSTER,)),
}
COMMITTED = Path(__file__).parent / "bytes.txt"


def encoded() -> dict[str, str]:
    """The bytes of each message as hex, and of one that is in pieces, by name."""
    found = {name: encode(message).hex() for name, message in MESSAGES.items()}
    divided = Encoder(limit=1).encode(MESSAGES["snapshot"])
    assert isinstance(divided, LargeMessage)
    return found | {"pieces": b"".join(divided).hex()}


def committed() -> dict[str, str]:
    return dict(line.split() for line in COMMITTED.read_text(encoding="utf-8").splitlines())


def test_each_message_has_its_line() -> None:
    assert list(encoded()) == list(committed())


@pytest.mark.parametrize("name", [*MESSAGES, "pieces"])
def test_the_bytes_of_a_message_are_always_the_same(name: str) -> None:
    assert encoded()[name] == committed()[name]


if __name__ == "__main__":
    text = "".join(f"{name} {found}\n" for name, found in encoded().items())
    COMMITTED.write_text(text, encoding="utf-8")
