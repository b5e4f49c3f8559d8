"""Quorum arithmetic (paper section 4.3; Fast Paxos)."""

from __future__ import annotations


def tolerance(n: int) -> int:
    """F, the silent members that a fast round of n bears."""
    return (n - 1) // 4


def fast_quorum(n: int) -> int:
    """N - F, about three quarters."""
    return n - tolerance(n)


def classic_quorum(n: int) -> int:
    """A bare majority."""
    return n // 2 + 1
