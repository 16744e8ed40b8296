"""The measures on inputs whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from scenes import metrics

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (6, 16, 16, 3), np.uint8)


def test_psnr_is_in_decibels_on_255() -> None:
    black = np.zeros((1, 4, 4, 3), np.uint8)
    assert metrics.psnr(black + np.uint8(255), black)[0] == pytest.approx(0.0)
    assert metrics.psnr(black + np.uint8(16), black)[0] == pytest.approx(10 * np.log10(255**2 / 256))
    assert metrics.psnr(black, black)[0] == metrics.BEST_PSNR


def test_fog_has_no_gradients() -> None:
    fog = np.full_like(NOISE, 128)
    assert metrics.gradient_energy(fog).max() == 0
    assert metrics.gradient_energy(NOISE).min() > 1000
    stripes = np.zeros((1, 4, 4, 3), np.uint8)
    stripes[:, :, ::2] = 10
    assert metrics.gradient_energy(stripes)[0] == pytest.approx(100.0)


def test_the_truth_is_picked_and_equal_outcomes_are_right() -> None:
    near = np.clip(NOISE[:1].astype(int) + 3, 0, 255).astype(np.uint8)
    assert metrics.picks_the_truth(near, [NOISE], [0])[0] == 1
    assert metrics.picks_the_truth(near, [NOISE], [1])[0] == 0
    twins = np.concatenate([NOISE[:1], NOISE[:1], NOISE[2:]])
    assert metrics.picks_the_truth(near, [twins], [1])[0] == 1


def test_a_place_is_found_among_the_nearest_twentieth() -> None:
    gallery = RNG.integers(0, 256, (100, 16, 16, 3), np.uint8)
    true = gallery[:1]
    assert metrics.finds_the_place(true, true, gallery[1:])[0] == 1
    assert metrics.finds_the_place(gallery[7:8], true, gallery[1:])[0] in (0, 1)
    far = 255 - true
    assert metrics.finds_the_place(far, true, gallery[1:])[0] == 0


def test_an_interval_holds_its_mean_and_narrows() -> None:
    few, many = (metrics.mean(np.random.default_rng(1).normal(5, 1, n)) for n in (10, 1000))
    assert few.low < few.value < few.high
    assert many.high - many.low < (few.high - few.low) / 3
    assert (many.low, many.high) == pytest.approx((5 - 0.06, 5 + 0.06), abs=0.08)


def test_a_ratio_is_of_sums() -> None:
    estimate = metrics.ratio(np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    assert estimate.value == 1.0
    assert metrics.ratio(np.array([1.0, 2.0]), np.array([2.0, 4.0])).low == 0.5


def test_no_sample_is_no_estimate() -> None:
    with pytest.raises(ValueError, match="at least one"):
        metrics.mean(np.zeros(0))
