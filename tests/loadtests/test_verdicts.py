"""The bench's own arithmetic: a figure must not be better than what was measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.verdicts import (
    Rate,
    Verdict,
    judge_flat,
    judge_least,
    judge_most,
    judge_ratio,
    judge_ratio_at_least,
    take_median,
    take_percentile,
    take_ratio,
)

FIGURES = st.lists(st.floats(min_value=0.1, max_value=1e6), min_size=1, max_size=50)


def rates(*per_second: float, generator: float = 60.0, server: float = 99.0) -> list[Rate]:
    return [Rate(each, generator, server) for each in per_second]


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([5.0], 5.0),
        ([1.0, 100.0, 2.0], 2.0),  # one disturbed round does not count
        ([1.0, 3.0], 2.0),
    ],
)
def test_the_median_is_taken(values: list[float], median: float) -> None:
    assert take_median(values) == median


def test_no_rounds_are_no_figure() -> None:
    with pytest.raises(ValueError, match="no rounds"):
        take_median([])


def test_ratios_are_of_pairs_that_ran_one_after_the_other() -> None:
    """A slow minute that hits both sides of a pair leaves its ratio as it is; a ratio of medians would not."""
    assert take_ratio(rates(80, 8, 80), rates(100, 10, 100)) == pytest.approx(0.8)
    with pytest.raises(ValueError, match="2 rounds against 1"):
        take_ratio(rates(1, 2), rates(1))


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (rates(80), rates(100), Verdict.HELD),  # exactly the bound
        (rates(79), rates(100), Verdict.MISSED),
        (rates(79, generator=94.9), rates(100), Verdict.MISSED),
        (rates(90, generator=95), rates(100), Verdict.NOT_MEASURABLE),  # the generator was measured, not the server
        (rates(90), rates(100, generator=99), Verdict.NOT_MEASURABLE),  # nginx could have done more
        (rates(90, server=50), rates(100), Verdict.NOT_MEASURABLE),  # somebody else used the core
        (rates(90), rates(100, server=50), Verdict.NOT_MEASURABLE),
    ],
)
def test_a_ratio_counts_only_if_both_servers_were_at_their_limit(
    ours: list[Rate], theirs: list[Rate], verdict: Verdict
) -> None:
    judged, reason = judge_ratio(ours, theirs, 0.8)
    assert judged is verdict
    assert bool(reason) == (verdict is Verdict.NOT_MEASURABLE)


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (rates(105, generator=100, server=70), rates(100), Verdict.HELD),  # reached all the same
        (rates(95, generator=100, server=70), rates(100), Verdict.NOT_MEASURABLE),  # the server had time left
        (rates(95), rates(100), Verdict.MISSED),
        (rates(105), rates(100, generator=100, server=70), Verdict.NOT_MEASURABLE),
        (rates(105, generator=30, server=40), rates(100), Verdict.NOT_MEASURABLE),
    ],
)
def test_a_slow_generator_is_never_taken_for_a_slow_server(
    ours: list[Rate], theirs: list[Rate], verdict: Verdict
) -> None:
    assert judge_ratio_at_least(ours, theirs, 1.04)[0] is verdict


def test_bounds_hold_at_their_value() -> None:
    assert judge_least(25_000, 25_000) is Verdict.HELD
    assert judge_least(24_999, 25_000) is Verdict.MISSED
    assert judge_most(1.0, 1.0) is Verdict.HELD
    assert judge_most(1.001, 1.0) is Verdict.MISSED


def test_memory_is_flat_if_the_rest_of_the_rows_adds_little() -> None:
    assert judge_flat(100e6, 120e6) is Verdict.HELD
    assert judge_flat(100e6, 200e6) is Verdict.MISSED


@pytest.mark.parametrize(
    ("percent", "value"),
    [(50, 50.0), (99, 99.0), (100, 100.0), (0, 1.0)],
)
def test_percentiles_are_of_the_nearest_rank(percent: float, value: float) -> None:
    assert take_percentile([float(n) for n in range(100, 0, -1)], percent) == value


@given(values=FIGURES, percent=st.integers(min_value=1, max_value=100))
def test_so_many_values_do_not_exceed_a_percentile(values: list[float], percent: int) -> None:
    taken = take_percentile(values, percent)
    assert taken in values
    assert sum(value <= taken for value in values) * 100 >= percent * len(values)
    assert sum(value < taken for value in values) * 100 < percent * len(values)
