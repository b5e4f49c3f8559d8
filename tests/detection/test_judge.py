"""Each judge against a slow, obvious oracle, and what its description refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from itertools import accumulate, pairwise, takewhile
from math import isclose
from statistics import NormalDist, fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapid.detection.judge import Consecutive, Judge, MakeJudge, PhiAccrual, Windowed
from rapid.errors import SettingsError

Outcome = tuple[bool, float]


def outcomes(least: int = 0) -> st.SearchStrategy[list[Outcome]]:
    """Outcomes at times that advance by up to two and a half intervals."""
    gaps = st.floats(0.05, 2.5)
    return st.lists(st.tuples(st.booleans(), gaps), min_size=least, max_size=60).map(
        lambda pairs: list(
            zip((ok for ok, _ in pairs), accumulate((gap for _, gap in pairs), initial=0.0), strict=False)
        )
    )


def fed(make: MakeJudge, past: list[Outcome]) -> Judge:
    judge = make()
    for answered, now in past:
        judge.record(answered, now)
    return judge


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 12), st.integers(1, 12))
def test_windowed_counts_failures_among_the_last(answers: list[bool], window: int, failures: int) -> None:
    window, failures = max(window, failures), min(window, failures)
    judge = Windowed(window, failures)()
    for at, answered in enumerate(answers, start=1):
        judge.record(answered, float(at))
        assert judge.faulty is (answers[:at][-window:].count(False) >= failures)


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 6))
def test_consecutive_counts_failures_since_the_last_answer(answers: list[bool], failures: int) -> None:
    judge = Consecutive(failures)()
    for at, answered in enumerate(answers, start=1):
        judge.record(answered, float(at))
        run = list(takewhile(lambda answer: not answer, reversed(answers[:at])))
        assert judge.faulty is (len(run) >= failures)


def phi_faulty_from(policy: PhiAccrual, past: list[Outcome], now: float) -> float | None:
    """When a failed probe would be a verdict: the quantile of the distribution, all anew from the past."""
    answers = [at for answered, at in past if answered]
    intervals = [after - before for before, after in pairwise(answers)]
    intervals = intervals[-policy.window :]
    if not past:
        return None
    if not intervals:
        intervals = [now - past[-1][1]]
    silent_since = answers[-1] if answers else past[0][1]
    mean, std = fmean(intervals), pstdev(intervals)
    std = max(std, policy.min_std * mean)
    quantile = -NormalDist().inv_cdf(10**-policy.threshold)
    return silent_since + mean + policy.acceptable_pause * mean + std * quantile


@given(
    outcomes(),
    st.builds(
        PhiAccrual,
        threshold=st.floats(0.5, 15.0),
        window=st.integers(1, 20),
        min_std=st.floats(0.01, 2.0),
        acceptable_pause=st.floats(0.0, 5.0),
    ),
)
def test_phi_passes_its_threshold_at_the_quantile(past: list[Outcome], policy: PhiAccrual) -> None:
    judge = policy()
    for at, (answered, now) in enumerate(past):
        judge.record(answered, now)
        if answered:
            assert not judge.faulty
            continue
        verdict_at = phi_faulty_from(policy, past[:at], now)
        if verdict_at is None or not isclose(verdict_at, now, rel_tol=1e-9):
            assert judge.faulty is (verdict_at is not None and now >= verdict_at)


@given(outcomes(least=3), st.floats(1e-3, 1e3), st.floats(-1e4, 1e4))
def test_phi_knows_no_unit_and_no_origin(past: list[Outcome], unit: float, origin: float) -> None:
    elsewhere = [(answered, origin + unit * now) for answered, now in past]
    one, other = PhiAccrual(threshold=300.0)(), PhiAccrual(threshold=300.0)()
    for (answered, now), (_, then) in zip(past, elsewhere, strict=True):
        one.record(answered, now)
        other.record(answered, then)
        assert isclose(phi(one), phi(other), rel_tol=1e-3, abs_tol=1e-3)


@given(outcomes(least=2), st.lists(st.floats(0.01, 3.0), min_size=2, max_size=8))
def test_phi_grows_with_the_silence(past: list[Outcome], gaps: list[float]) -> None:
    last = past[-1][1] + 1.0
    judge = fed(PhiAccrual(), [(True, -1.0), *past, (True, last)])
    before = 0.0
    for now in accumulate(gaps, initial=last):
        judge.record(False, now)
        assert phi(judge) >= before
        before = phi(judge)
    judge.record(True, now + 1.0)
    assert not judge.faulty


def phi(judge: Judge) -> float:
    value = getattr(judge, "phi")  # noqa: B009 - the type says only what every judge has
    assert isinstance(value, float)
    return value


def steady(make: MakeJudge, answers: int, silence: float) -> int:
    """How many probes fail until the verdict on one that answered ``answers`` times, each second."""
    judge = fed(make, [(True, float(at)) for at in range(answers)])
    for failed in range(1, 100):
        judge.record(False, answers - 1 + failed + silence)
        if judge.faulty:
            return failed
    raise AssertionError("no verdict")


@pytest.mark.parametrize("answers", [0, 1, 2, 3, 10, 500])
@pytest.mark.parametrize("silence", [0.0, 0.6], ids=["refused", "silent"])
def test_by_default_all_take_about_as_many_failures(answers: int, silence: float) -> None:
    assert steady(Windowed(), answers, silence) == 4
    assert steady(Consecutive(), answers, silence) == 4
    assert steady(PhiAccrual(), answers, silence) in ((4, 5) if answers else (6,))


def test_phi_is_as_patient_as_the_past_was_irregular() -> None:
    lossy = [(at % 2 == 0, float(at)) for at in range(100)]
    judge = fed(PhiAccrual(), lossy)
    failed = 0
    while not judge.faulty:
        failed += 1
        judge.record(False, 99.0 + failed)
    assert failed > 6
    assert fed(Windowed(), lossy).faulty


@pytest.mark.parametrize("make", [Windowed(1, 1), Consecutive(1), PhiAccrual(threshold=0.3)])
def test_each_edge_has_a_judge_of_its_own(make: MakeJudge) -> None:
    one, other = make(), make()
    for at in range(9):
        one.record(False, float(at))
    assert one.faulty
    assert not other.faulty
    assert isinstance(one, Judge)


def test_a_description_is_a_value() -> None:
    assert Windowed() == Windowed(window=10, failures=4)
    assert len({PhiAccrual(), PhiAccrual(8.0), Consecutive()}) == 2
    with pytest.raises(FrozenInstanceError):
        Consecutive().failures = 2  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("window", lambda: Windowed(window=0)),
        ("window", lambda: Windowed(window=1025)),
        ("window", lambda: Windowed(window=9.5)),  # type: ignore[arg-type]  # that is the point
        ("failures", lambda: Windowed(failures=0)),
        ("failures", lambda: Windowed(window=3, failures=4)),
        ("failures", lambda: Consecutive(failures=0)),
        ("failures", lambda: Consecutive(failures="4")),  # type: ignore[arg-type]  # that is the point
        ("threshold", lambda: PhiAccrual(threshold=0.0)),
        ("threshold", lambda: PhiAccrual(threshold=float("nan"))),
        ("threshold", lambda: PhiAccrual(threshold=301.0)),
        ("window", lambda: PhiAccrual(window=0)),
        ("min_std", lambda: PhiAccrual(min_std=0.0)),
        ("min_std", lambda: PhiAccrual(min_std=float("nan"))),
        ("acceptable_pause", lambda: PhiAccrual(acceptable_pause=-1.0)),
        ("acceptable_pause", lambda: PhiAccrual(acceptable_pause=float("inf"))),
    ],
)
def test_what_is_out_of_range_is_named(field: str, make: Callable[[], MakeJudge]) -> None:
    with pytest.raises(SettingsError, match=f"^{field}: ") as refused:
        make()
    assert refused.value.field == field


@pytest.mark.parametrize(
    "make",
    [
        lambda: Windowed(1, 1),
        lambda: Windowed(1024, 1024),
        lambda: Consecutive(1),
        lambda: Consecutive(1024),
        lambda: PhiAccrual(300, 10_000, 100, 1000),
        lambda: PhiAccrual(1e-9, 1, 1e-9, 0),
    ],
)
def test_the_bounds_are_within_the_range(make: Callable[[], MakeJudge]) -> None:
    assert not make()().faulty


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Windowed(1025), "window: 1025; take a whole number from 1 to 1024"),
        (lambda: Windowed(5, 6), "failures: 6; take a whole number from 1 to 5"),
        (lambda: Consecutive(1025), "failures: 1025; take a whole number from 1 to 1024"),
        (lambda: PhiAccrual(window=10_001), "window: 10001; take a whole number from 1 to 10000"),
        (lambda: PhiAccrual(threshold=300.5), "threshold: phi 300.5; take more than 0 and at most 300"),
        (lambda: PhiAccrual(min_std=100.5), "min_std: 100.5 intervals; take more than 0 and at most 100"),
        (
            lambda: PhiAccrual(acceptable_pause=1000.5),
            "acceptable_pause: 1000.5 intervals; take 0 to 1000",
        ),
    ],
)
def test_what_is_just_out_of_range_is_refused_with_the_range(
    make: Callable[[], MakeJudge], reason: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        make()
    assert str(refused.value) == reason


@pytest.mark.parametrize(("silence", "faulty"), [(5.08, False), (5.1, True)])
def test_phi_is_3_at_the_quantile_of_a_thousandth(silence: float, faulty: bool) -> None:
    """Intervals of 1 and 3: the mean is 2, the deviation 1, and one in a thousand is longer than 5.09."""
    judge = fed(PhiAccrual(threshold=3.0, acceptable_pause=0.0), [(True, 0.0), (True, 1.0), (True, 4.0)])
    judge.record(False, 4.0 + silence)
    assert judge.faulty is faulty


def test_without_any_time_between_outcomes_phi_knows_nothing() -> None:
    judge = fed(PhiAccrual(threshold=0.5), [(False, 5.0), (False, 5.0)])
    assert phi(judge) == 0.0


@pytest.mark.parametrize(("window", "faulty"), [(2, True), (4, False)])
def test_phi_forgets_what_is_before_its_window(window: int, faulty: bool) -> None:
    """After 21 s with long intervals two of 1 s: a silence of 10 s is long or not."""
    answers = [(True, at) for at in (0.0, 10.0, 20.0, 21.0, 22.0)]
    judge = fed(PhiAccrual(window=window), answers)
    judge.record(False, 32.0)
    assert judge.faulty is faulty
