"""The last cuts, for members that missed them."""

from __future__ import annotations

from rapid.overlay.cut import Cut
from rapid.protocol.history import History

from .invented import named

CUTS = [Cut.of((), [named(number)]) for number in range(5)]


def filled(limit: int) -> History:
    """The cuts from version 7 on, as far as they are kept."""
    history = History(limit)
    for number, cut in enumerate(CUTS):
        history.append(7 + number, cut)
    return history


def test_all_cuts_from_a_version_on_are_given_in_order() -> None:
    history = filled(limit=5)
    assert history.since(7) == tuple(CUTS)
    assert history.since(10) == tuple(CUTS[3:])
    assert history.since(12) == ()


def test_of_what_is_not_kept_any_more_nothing_is_given() -> None:
    assert filled(limit=5).since(6) is None
    history = filled(limit=2)
    assert history.since(9) is None
    assert history.since(10) == tuple(CUTS[3:])


def test_without_any_cut_nothing_is_known() -> None:
    history = History(5)
    assert history.since(7) is None
    history.append(7, CUTS[0])
    history.clear()
    assert history.since(7) is None
