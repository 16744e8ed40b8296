"""Estimates of samples whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from scenes import estimates
from scenes.estimates import ALL


def test_an_interval_holds_its_mean_and_narrows() -> None:
    few, many = (estimates.mean(np.random.default_rng(1).normal(5, 1, n)) for n in (10, 1000))
    assert few.low < few.value < few.high
    assert many.high - many.low < (few.high - few.low) / 3
    assert (many.low, many.high) == pytest.approx((5 - 0.06, 5 + 0.06), abs=0.08)


def test_a_ratio_is_of_sums() -> None:
    estimate = estimates.ratio(np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    assert estimate.value == 1.0
    assert estimates.ratio(np.array([1.0, 2.0]), np.array([2.0, 4.0])).low == 0.5


def test_no_sample_is_no_estimate() -> None:
    with pytest.raises(ValueError, match="at least one"):
        estimates.mean(np.zeros(0))
    assert estimates.by([], estimates.mean, np.zeros(0)) == {}


def test_samples_are_kept_apart_by_scene() -> None:
    row = estimates.by(["a", "b", "a"], estimates.median, np.array([1.0, 5.0, 3.0]))
    assert {key: e.value for key, e in row.items()} == {ALL: 3.0, "a": 2.0, "b": 5.0}


@pytest.mark.parametrize(
    ("advantage", "life"),
    [
        ([8.0, 6.0, 4.0, 2.0], 4.0),  # half of 8 at step 4
        ([8.0, 6.0, 5.0, 3.0], 2**2.5),  # half way between steps 4 and 8, in log2
        ([8.0, 7.0, 7.0, 7.0], 8.0),  # never: the last step
        ([-1.0, -1.0, -1.0, -1.0], 1.0),  # nothing to lose: the first
    ],
)
def test_a_half_life_is_where_the_lead_has_halved(advantage: list[float], life: float) -> None:
    estimate = estimates.half_life(np.array([advantage, advantage]), (1, 2, 4, 8))
    assert (estimate.value, estimate.low, estimate.high, estimate.count) == pytest.approx((life, life, life, 2))


def test_a_correlation_is_of_all_values_of_all_rows() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=(6, 5)), rng.normal(size=(6, 5))
    found = estimates.correlation(one, one + other)
    assert found.value == pytest.approx(np.corrcoef(one.ravel(), (one + other).ravel())[0, 1])
    assert found.low < found.value < found.high
    assert estimates.correlation(one, np.ones((6, 5))).value == 0.0


def test_the_area_under_the_curve_counts_pairs_of_all_rows() -> None:
    values, true = np.array([[0.1, 0.9], [0.4, 0.4]]), np.array([[False, True], [True, False]])
    found = estimates.auc(values, true)
    assert found.value == (1 + 1 + 1 + 0.5) / 4  # 0.9 and 0.4 over 0.1 and 0.4
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert estimates.auc(values, np.ones((2, 2), bool)).value == 0.5
