"""How near one picture is to another, and how sure a mean is: pure functions on frames uint8 [N, H, W, 3]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Frames: TypeAlias = NDArray[np.uint8]  # [N, H, W, 3]
Values: TypeAlias = NDArray[np.float64]  # [N]

BEST_PSNR = 60.0  # dB, what equal frames get, so that a mean stays finite
_RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% confidence interval (bootstrap over `count` samples)."""

    value: float
    low: float
    high: float
    count: int


def squared_error(predicted: Frames, true: Frames) -> Values:
    """The mean squared error of each frame, on the scale 0 to 255. One side may hold a single frame."""
    difference = predicted.astype(np.float32) - true.astype(np.float32)
    return np.square(difference).mean(axis=(1, 2, 3), dtype=np.float64)


def psnr(predicted: Frames, true: Frames) -> Values:
    """The peak signal-to-noise ratio of each frame in dB: 10 log10(255^2 / MSE), at most BEST_PSNR."""
    least = 255.0**2 / 10 ** (BEST_PSNR / 10)
    return 10 * np.log10(255.0**2 / np.maximum(squared_error(predicted, true), least))


def gradient_energy(frames: Frames) -> Values:
    """The mean squared difference between neighbouring pixels of each frame, across and down: what fog lacks."""
    values = frames.astype(np.float32)
    across, down = np.diff(values, axis=2), np.diff(values, axis=1)
    return np.square(across).mean(axis=(1, 2, 3), dtype=np.float64) + np.square(down).mean(
        axis=(1, 2, 3), dtype=np.float64
    )


def picks_the_truth(predicted: Frames, outcomes: Sequence[Frames], truths: Sequence[int]) -> Values:
    """1 where the frame `outcomes[i][truths[i]]` is the nearest (MSE) of `outcomes[i]` to `predicted[i]`, else 0.

    Equal outcomes are equally near: an action that is blocked cannot be told from another blocked one, and is right.
    """
    right = []
    for frame, choices, truth in zip(predicted, outcomes, truths, strict=True):
        errors = squared_error(frame[None], choices)
        right.append(errors[truth] <= errors.min())
    return np.array(right, float)


def finds_the_place(predicted: Frames, true: Frames, gallery: Frames, share: float = 0.05) -> Values:
    """1 where the true frame is among the nearest `share` (MSE) of the gallery and itself to the predicted, else 0."""
    found = []
    for frame, truth in zip(predicted, true, strict=True):
        nearer = (squared_error(frame[None], gallery) < squared_error(frame[None], truth[None])).sum()
        found.append(nearer < share * (len(gallery) + 1))
    return np.array(found, float)


def mean(values: Values) -> Estimate:
    """The mean of the values."""
    return _bootstrap(lambda rows: values[rows].mean(axis=-1), len(values))


def ratio(above: Values, below: Values) -> Estimate:
    """The sum of the one divided by the sum of the other, sample by sample paired."""
    return _bootstrap(lambda rows: above[rows].sum(axis=-1) / below[rows].sum(axis=-1), len(above))


def _bootstrap(statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]], count: int) -> Estimate:
    if count == 0:
        raise ValueError("an estimate needs at least one sample")
    rows = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
    low, high = np.quantile(statistic(rows), (0.025, 0.975))
    return Estimate(float(statistic(np.arange(count))), float(low), float(high), count)
