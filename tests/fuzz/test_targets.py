"""Anything that peers may send, and what they may not."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rapid.consensus.facts import Rank
from rapid.overlay.cut import CutDigest
from rapid.overlay.member import ClusterId, NodeId
from rapid.proto.codec import Encoder, encode
from rapid.proto.frames import FrameWriter
from rapid.protocol.catch_up import CatchUp
from rapid.protocol.messages import ConfigurationRequest, Facts, Message
from tests.proto.strategies import ANY, ME, messages
from tests.protocol.harness import at

from . import targets, town
from .town import EPOCH, HELD, KNOWN

known = st.integers(0, KNOWN).map(lambda first: bytes([first]) + bytes(15))
NEAR = replace(
    ANY,
    endpoints=st.integers(0, 9).map(at),
    node_ids=known.map(NodeId),
    cluster_ids=known.map(ClusterId),
    digests=known.map(CutDigest),
    versions=st.sampled_from([EPOCH] * 8 + [EPOCH - 1, EPOCH + 1, EPOCH + 2, 0]) | ANY.versions,
    ranks=st.builds(Rank, st.integers(1, 4), st.integers(0, 3)) | ANY.ranks,
    rings=st.integers(1, 1023).map(lambda rings: rings | HELD) | ANY.rings,
    voters=st.integers(0, 31),
    numbers=st.integers(0, 4) | ANY.numbers,
    sequences=st.integers(0, 40),
    k=st.integers(1, 9),
)
"""So near to what the members know that they take it seriously."""
KINDS = messages(NEAR)
SPOKEN = st.one_of(*KINDS.values(), *[KINDS[Facts]] * 5)


def encoded(message: Message) -> bytes:
    return encode(message)


speakers = st.integers(0, 3) | st.integers(0, 255)
steps = st.builds(targets.piece, speakers, st.just(0) | st.integers(0, 255), SPOKEN.map(encoded))
events = st.builds(targets.piece, st.integers(0, 3), st.integers(0, 255), st.just(b""))
scripts = st.lists(steps | steps | steps | events, min_size=1, max_size=25).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Some bytes changed, left out or put in."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 5))):
        where = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("change", "leave out", "put in"))):
            case "change" if where < len(data):
                data[where] = draw(st.integers(0, 255))
            case "leave out":
                del data[where : where + draw(st.integers(1, 8))]
            case _:
                data[where:where] = draw(st.binary(max_size=8))
    return bytes(data)


def stream(said: list[Message]) -> bytes:
    """What one member says, as a script of frames."""
    encoder = Encoder(1 << 12)
    frames = FrameWriter(ME, targets.FRAME_LIMIT).frames(deque(map(encoder.encode, said)))
    return b"".join(targets.piece(0, 0, frame) for frame in frames)


streams = st.lists(st.one_of(*messages(ANY).values()), max_size=5).map(stream)
any_stream = streams | damaged(streams) | st.binary(max_size=300)
any_script = scripts | damaged(scripts)


@given(any_stream)
def test_frames(data: bytes) -> None:
    targets.codec(data)


@given(damaged(st.one_of(*messages(ANY).values()).map(encoded)))
def test_messages(data: bytes) -> None:
    targets.codec(data)


@settings(max_examples=60)
@given(scripts)
def test_a_member_that_is_told_anything(script: bytes) -> None:
    targets.node(script)


@settings(max_examples=20)
@given(damaged(scripts))
@example(b"")
def test_a_member_that_is_told_what_is_damaged(script: bytes) -> None:
    targets.node(script)


def test_a_script_comes_back_in_pieces() -> None:
    script = targets.piece(1, 2, b"abc") + targets.piece(130, 0, b"")
    assert list(targets.pieces(script)) == [(1, 2, b"abc"), (130, 0, b"")]
    assert list(targets.pieces(script[:-5])) == [(1, 2, b"ab")]


def test_the_target_fails_when_a_member_does(monkeypatch: pytest.MonkeyPatch) -> None:
    request = ConfigurationRequest(ME, ClusterId(bytes(16)), None, NodeId(bytes(16)))
    script = targets.piece(1, 0, encoded(request))
    targets.node(script)
    monkeypatch.setattr(CatchUp, "answer", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        targets.node(script)


def test_the_target_fails_when_a_member_does_not_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(town, "REMEMBERED", 100)
    with pytest.raises(AssertionError):
        targets.node(b"")
