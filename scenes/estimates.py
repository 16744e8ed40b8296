"""How sure a figure is: means, ratios, medians and half-lives with bootstrap intervals, by scene and for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[np.float64]  # [N]

ALL = "all"  # the key beside the scenes' names
_RESAMPLES = 2000
_DUST = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% confidence interval (bootstrap over `count` samples)."""

    value: float
    low: float
    high: float
    count: int


ByScene: TypeAlias = dict[str, Estimate]
Figures: TypeAlias = dict[str, ByScene]  # by a name of scenes.figures, "name@step" where it is one of several steps


def mean(values: Values) -> Estimate:
    """The mean of the values."""
    return _bootstrap(lambda rows: values[rows].mean(axis=-1), len(values))


def median(values: Values) -> Estimate:
    """The median of the values."""
    return _bootstrap(lambda rows: np.median(values[rows], axis=-1), len(values))


def ratio(above: Values, below: Values) -> Estimate:
    """The sum of the one divided by the sum of the other, sample by sample paired."""
    return _bootstrap(lambda rows: above[rows].sum(axis=-1) / below[rows].sum(axis=-1), len(above))


def half_life(advantages: NDArray[np.float64], steps: Sequence[int]) -> Estimate:
    """The step at which the mean of `advantages` [N, T] has fallen to half of what it is at the first of `steps`.

    Linear between the steps in log2; the last step where half is not reached, the first where there is no advantage.
    """
    times = np.log2(steps)

    def statistic(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        curves = advantages[rows].mean(axis=-2)  # [..., T]
        lives = [_half_life(curve, times) for curve in curves.reshape(-1, len(times))]
        return np.reshape(lives, curves.shape[:-1])

    return _bootstrap(statistic, len(advantages))


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> Estimate:
    """Pearson's r over all values of N rows [N, T] each; rows are what is drawn again. 0 where one does not vary."""

    def statistic(rows: NDArray[np.int64]) -> Values:
        a, b = (_centred(values[rows]) for values in (one, other))
        spread = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
        return np.where(spread > _DUST, (a * b).sum(axis=-1) / np.maximum(spread, _DUST), 0.0)

    return _bootstrap(statistic, len(one))


def auc(values: NDArray[np.float64], true: NDArray[np.bool_]) -> Estimate:
    """The chance that a value of N rows [N, T] that is true is above one that is not (Mann and Whitney 1947), ties
    counting half; rows are what is drawn again. 0.5 where all are true, or none is."""
    wins = np.array(
        [[_wins(a[t], b[~u]) for b, u in zip(values, true, strict=True)] for a, t in zip(values, true, strict=True)]
    )  # [N, N], of the true ones of a row over the others of a row

    def statistic(rows: NDArray[np.int64]) -> Values:
        times = (rows[..., None] == np.arange(len(values))).sum(axis=-2).astype(float)  # [..., N]
        pairs = (times @ true.sum(axis=1)) * (times @ (~true).sum(axis=1))
        return np.where(pairs > 0, np.einsum("...i,ij,...j->...", times, wins, times) / np.maximum(pairs, 1), 0.5)

    return _bootstrap(statistic, len(values))


def once(value: float) -> Estimate:
    """A figure that was taken a single time, and so has no interval."""
    return Estimate(value, value, value, 1)


def by(
    keys: Sequence[str], estimate: Callable[..., Estimate], *values: NDArray[np.float64] | NDArray[np.bool_]
) -> ByScene:
    """`estimate` of the values for all, and for each key; empty where there are none."""
    if not keys:
        return {}
    groups = {ALL: np.ones(len(keys), bool)} | {k: np.array([key == k for key in keys]) for k in dict.fromkeys(keys)}
    return {name: estimate(*(v[rows] for v in values)) for name, rows in groups.items()}


def _centred(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """[..., N, T] as [..., N * T] around 0."""
    flat = drawn.reshape(*drawn.shape[:-2], -1)
    return flat - flat.mean(axis=-1, keepdims=True)


def _wins(above: Values, below: Values) -> float:
    """How many pairs the first win, ties counting half."""
    return float((np.sign(above[:, None] - below) + 1).sum() / 2)


def _half_life(curve: Values, times: Values) -> float:
    half = curve[0] / 2
    below = np.flatnonzero(curve <= half)
    if curve[0] <= 0 or not below.size:
        return float(2 ** times[0 if curve[0] <= 0 else -1])
    i = below[0]
    part = (curve[i - 1] - half) / (curve[i - 1] - curve[i])
    return float(2 ** (times[i - 1] + part * (times[i] - times[i - 1])))


def _bootstrap(statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]], count: int) -> Estimate:
    if count == 0:
        raise ValueError("an estimate needs at least one sample")
    rows = np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))
    low, high = np.quantile(statistic(rows), (0.025, 0.975))
    return Estimate(float(statistic(np.arange(count))), float(low), float(high), count)
