"""Quorum arithmetic: what any two quorums must share."""

import pytest

from rapid.consensus.quorum import classic_quorum, fast_quorum, tolerance


@pytest.mark.parametrize(
    ("n", "f", "fast", "classic"),
    [
        (1, 0, 1, 1),
        (2, 0, 2, 2),
        (3, 0, 3, 2),
        (4, 0, 4, 3),
        (5, 1, 4, 3),
        (8, 1, 7, 5),
        (9, 2, 7, 5),
        (100, 24, 76, 51),
    ],
)
def test_known_sizes(n: int, f: int, fast: int, classic: int) -> None:
    assert (tolerance(n), fast_quorum(n), classic_quorum(n)) == (f, fast, classic)


@pytest.mark.parametrize("n", range(1, 200))
def test_fast_paxos_intersections(n: int) -> None:
    fast, classic = fast_quorum(n), classic_quorum(n)
    assert 2 * classic > n, "two classic quorums meet"
    assert 2 * fast + classic > 2 * n, "two fast quorums and a classic one meet in one member"
    assert fast <= n
    assert tolerance(n) < n / 4
