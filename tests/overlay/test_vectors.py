"""The rings, observers and subjects against those of the protocol's original implementation."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.overlay.rings import ring_keys

VECTORS = [
    line.split()
    for line in (Path(__file__).parent / "vectors.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def local(number: str) -> Endpoint:
    return Endpoint("127.0.0.1", 10000 + int(number))


def cluster(size: str) -> Configuration:
    members = [Member(local(str(number)), NodeId(bytes(16))) for number in range(int(size))]
    return Configuration.of(ClusterId(bytes(16)), 1, members, 10)


def name(vector: list[str]) -> str:
    return " ".join(vector[:4])


def test_every_kind_of_vector_is_there() -> None:
    kinds = [vector[0] for vector in VECTORS]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "key": 20,
        "observers": 3,
        "subjects": 3,
        "ring0": 3,
    }


@pytest.mark.parametrize("vector", VECTORS, ids=name)
def test_vector(vector: list[str]) -> None:
    match vector:
        case ["key", ring, host, port, bits]:
            key = ring_keys(Endpoint(host, int(port)), int(ring) + 1)[int(ring)]
            assert key % (1 << 64) == int(bits, 16)
        case ["observers", size, member, *expected]:
            assert cluster(size).observers(local(member)) == tuple(map(local, expected))
        case ["subjects", size, member, *expected]:
            assert cluster(size).subjects(local(member)) == tuple(map(local, expected))
        case ["ring0", size, *expected]:
            assert cluster(size).endpoints == tuple(map(local, expected))
        case _:
            pytest.fail(f"what is {vector}?")


def test_keys_are_ordered_as_signed_numbers() -> None:
    """Else half of each ring would stand in the other half's place."""
    keys = [ring_keys(local(str(number)), 1)[0] for number in range(64)]
    assert any(key < 0 for key in keys)
    assert all(-(1 << 63) <= key < 1 << 63 for key in keys)
    assert list(cluster("64").rings[0].keys) == sorted(keys)
