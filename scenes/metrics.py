"""How near one picture is to another, and how it looks: pure functions on frames uint8 [N, H, W, 3]."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scenes.estimates import Values
from world.errors import WorldError

Frames: TypeAlias = NDArray[np.uint8]  # [N, H, W, 3]

BEST_PSNR = 60.0  # dB, what equal frames get, so that a mean stays finite
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def squared_error(predicted: Frames, true: Frames) -> Values:
    """The mean squared error of each frame, on the scale 0 to 255. One side may hold a single frame."""
    difference = predicted.astype(np.float32) - true.astype(np.float32)
    return np.square(difference).mean(axis=(1, 2, 3), dtype=np.float64)


def psnr(predicted: Frames, true: Frames) -> Values:
    """The peak signal-to-noise ratio of each frame in dB: 10 log10(255^2 / MSE), at most BEST_PSNR."""
    least = 255.0**2 / 10 ** (BEST_PSNR / 10)
    return 10 * np.log10(255.0**2 / np.maximum(squared_error(predicted, true), least))


def ssim(predicted: Frames, true: Frames) -> Values:
    """The structural similarity of each frame, 1 for equal ones, with the Gaussian window of Wang et al. (2004)."""
    structural_similarity = _skimage("metrics").structural_similarity
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return np.array(
        [
            structural_similarity(a, b, channel_axis=2, data_range=255, **window)
            for a, b in zip(predicted, true, strict=True)
        ],
        float,
    )


def gradient_energy(frames: Frames) -> Values:
    """The mean squared difference between neighbouring pixels of each frame, across and down: what fog lacks."""
    values = frames.astype(np.float32)
    across, down = np.diff(values, axis=2), np.diff(values, axis=1)
    return np.square(across).mean(axis=(1, 2, 3), dtype=np.float64) + np.square(down).mean(
        axis=(1, 2, 3), dtype=np.float64
    )


def brightness(frames: Frames) -> Values:
    """The mean luma (BT.601) of each frame, in percent of white."""
    return (frames.astype(np.float32) @ _LUMA).mean(axis=(1, 2), dtype=np.float64) / 2.55


def saturation(frames: Frames) -> Values:
    """The mean HSV saturation of each frame, in percent: (max - min) / max of a pixel's channels, 0 for black."""
    most, least = frames.max(axis=3).astype(np.float32), frames.min(axis=3).astype(np.float32)
    return 100 * ((most - least) / np.maximum(most, 1)).mean(axis=(1, 2), dtype=np.float64)


def nearest(predicted: Frames, outcomes: Sequence[Frames], truths: Sequence[int]) -> NDArray[np.int64]:
    """For each predicted frame the row of `outcomes[i]` that is nearest to it (MSE).

    Of equally near ones it is the true row: an action that is blocked cannot be told from another blocked one.
    """
    rows = []
    for frame, choices, truth in zip(predicted, outcomes, truths, strict=True):
        errors = squared_error(frame[None], choices)
        rows.append(truth if errors[truth] <= errors.min() else int(errors.argmin()))
    return np.array(rows, np.int64)


def finds_the_place(predicted: Frames, true: Frames, gallery: Frames, share: float = 0.05) -> Values:
    """1 where the true frame is among the nearest `share` (MSE) of the gallery and itself to the predicted, else 0."""
    found = []
    for frame, truth in zip(predicted, true, strict=True):
        nearer = (squared_error(frame[None], gallery) < squared_error(frame[None], truth[None])).sum()
        found.append(nearer < share * (len(gallery) + 1))
    return np.array(found, float)


def color_difference(predicted: Frames, true: Frames, masks: NDArray[np.bool_]) -> Values:
    """How far the mean colours inside `masks` [N, H, W] lie apart: the CIEDE2000 difference of the two means."""
    color = _skimage("color")
    pairs = [[frame[mask].mean(axis=0) for frame in two] for *two, mask in zip(predicted, true, masks, strict=True)]
    lab = color.rgb2lab(np.array(pairs) / 255)  # [N, 2, 3]
    return color.deltaE_ciede2000(lab[:, 0], lab[:, 1])


def _skimage(module: str) -> Any:
    try:
        return importlib.import_module(f"skimage.{module}")
    except ModuleNotFoundError as error:
        raise WorldError("measuring needs scikit-image: pip install -e '.[report]' in the repository") from error
