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


def test_ssim_is_one_for_equal_frames_and_low_for_others() -> None:
    assert metrics.ssim(NOISE, NOISE) == pytest.approx(np.ones(6))
    assert metrics.ssim(NOISE[:3], NOISE[3:]).max() < 0.3


def test_brightness_and_saturation_are_percents() -> None:
    colors = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [128, 64, 64]], np.uint8)
    frames = np.broadcast_to(colors[:, None, None], (4, 4, 4, 3))
    assert metrics.brightness(frames) == pytest.approx([0, 100, 29.9, 32.6], abs=0.1)
    assert metrics.saturation(frames) == pytest.approx([0, 0, 100, 50], abs=0.1)


def test_colors_are_compared_inside_the_outline_alone() -> None:
    masks = np.zeros((1, 16, 16), bool)
    masks[:, 4:8, 4:8] = True
    other = np.where(masks[..., None], NOISE[:1], 0).astype(np.uint8)
    assert metrics.color_difference(other, NOISE[:1], masks)[0] == 0
    red, green = (np.full((1, 16, 16, 3), color, np.uint8) for color in ([200, 20, 20], [20, 200, 20]))
    assert metrics.color_difference(red, green, masks)[0] > 50


def test_the_nearest_outcome_is_named_and_of_equal_ones_the_truth() -> None:
    near = np.clip(NOISE[:1].astype(int) + 3, 0, 255).astype(np.uint8)
    assert metrics.nearest(near, [NOISE], [0])[0] == 0
    assert metrics.nearest(near, [NOISE], [1])[0] == 0
    twins = np.concatenate([NOISE[:1], NOISE[:1], NOISE[2:]])
    assert metrics.nearest(near, [twins], [1])[0] == 1


def test_a_place_is_found_among_the_nearest_twentieth() -> None:
    gallery = RNG.integers(0, 256, (100, 16, 16, 3), np.uint8)
    true = gallery[:1]
    assert metrics.finds_the_place(true, true, gallery[1:])[0] == 1
    assert metrics.finds_the_place(gallery[7:8], true, gallery[1:])[0] in (0, 1)
    far = 255 - true
    assert metrics.finds_the_place(far, true, gallery[1:])[0] == 0
