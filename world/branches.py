"""How a walk with forks is shown: a sheet on which each branch has rows of its own, a video in which all ways run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from world.plan import Plan
from world.recording import BACKGROUND, contact_sheet, resized, sheet_columns
from world.types import Frame

MOST = 600  # pictures of a sheet: longer branches are thinned out
_ROW = 10  # pictures of a branch in one row at most
WIDEST = 1920  # pixels of a video, beyond which its pictures are reduced

_NOTHING: Mapping[int, str] = MappingProxyType({})


def tree_sheet(plan: Plan, frames: Sequence[Frame], told: Mapping[int, str] = _NOTHING) -> Frame:
    """Every picture, `frames[i]` of step i: the main line, then each branch from a new row on; uint8 [H, W, 3].

    `told` are words for steps that their actions do not tell about.
    """
    stride = math.ceil(len(plan.steps) / MOST)
    branches = [_thinned(branch, stride) for branch in plan.branches()]
    longest = max(map(len, branches))
    columns = sheet_columns(longest) if len(branches) == 1 else min(_ROW, longest)
    cells, labels = [], []
    for branch in branches:
        gap = -len(cells) % columns
        cells += [_ground(frames[0].shape[:2])] * gap + [frames[i] for i in branch]
        labels += [""] * gap + [_label(plan, i, told) for i in branch]
    return contact_sheet(cells, columns=columns, labels=labels)


def tree_video(plan: Plan, frames: Sequence[Frame]) -> Iterator[Frame]:
    """All ways from the start to an end at once, the main line first; each waits at its end for the longest."""
    ways = [plan.line(branch[-1]) for branch in plan.branches()]
    columns = math.ceil(math.sqrt(len(ways)))
    height, width = frames[0].shape[:2]
    shrink = min(1.0, WIDEST / (columns * width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    gap = max(2, size[0] // 48) if columns > 1 else 0
    for at in range(max(map(len, ways))):
        shown = [resized(frames[way[min(at, len(way) - 1)]], size) for way in ways]
        yield shown[0] if columns == 1 else _grid(shown, columns, gap)


def _grid(frames: Sequence[Frame], columns: int, gap: int) -> Frame:
    height, width = frames[0].shape[:2]
    rows = math.ceil(len(frames) / columns)
    page = np.array(_ground((rows * (height + gap) - gap, columns * (width + gap) - gap)))
    for i, frame in enumerate(frames):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        page[top : top + height, left : left + width] = frame
    return page


def _ground(shape: tuple[int, int]) -> Frame:
    return np.broadcast_to(np.array(BACKGROUND, np.uint8), (*shape, 3))


def _thinned(branch: Sequence[int], stride: int) -> list[int]:
    """Every so many steps, and the last."""
    return [*branch[:-1:stride], branch[-1]]


def _label(plan: Plan, i: int, told: Mapping[int, str]) -> str:
    """The number of a step, the one that it follows where that is not the one before, and what was done."""
    step = plan.steps[i]
    words = told.get(i) or plan.names().get(i) or (step.action.text if step.action else "wait")
    return f"{i} · {words}" if step.parent >= i - 1 else f"{i} from {step.parent} · {words}"
