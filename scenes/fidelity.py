"""How well a script came out: against the simulator where it knows the scene, and what needs no truth elsewhere.

`psnr` is dB to the true picture, `changed` the same over those pixels alone in which the true picture differs from the
start by more than 8 levels (left out below 1% of the pixels): elsewhere a picture that never changes is right. The
`copying` ones are what showing the start picture all along would get. `sharpness` is the gradient energy of a picture
and `brightness` its mean, both divided by the start picture's. Of several seeds the mean is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scenes import metrics
from scenes.metrics import Frames
from scenes.scripts import Script
from scenes.sequence import Walked
from scenes.views import distance, marked_views
from world.session import Session
from world.types import Frame, Pose
from world.walks import bumped

_SAME = 1e-6  # degrees
_LEVELS, _SHARE = 8, 0.01
_OTHERS = 24  # pictures in between that are looked at


@dataclass(frozen=True)
class Outcome:
    """A script that was walked, the true walk beside it where there is one, and views made from the start picture."""

    script: Script
    session: Session
    walked: Walked
    truth: Walked | None = None  # of one variant
    views: Mapping[int, Sequence[Frame]] | None = None  # step -> a picture for each seed
    exact: bool = False  # whether the walk's own poses are true


def measure(outcome: Outcome) -> dict[str, Any]:
    """The figures of an outcome, ready for JSON."""
    session, plan = outcome.session, outcome.session.plan
    asked = {i: step.action for i, step in enumerate(plan.steps) if step.action is not None}
    poses = (outcome.truth or outcome.walked).poses[0]
    names = plan.names()
    steps = [{"step": i, "checkpoint": names.get(i)} | _look(outcome, i) | _against_truth(outcome, i) for i in asked]
    return {
        "script": outcome.script.name,
        "scene": session.scene.name,
        "start": session.scene.starts[0].name,
        "model": session.model,
        "seeds": list(session.seeds),
        "pictures": len(asked),
        "poses": "exact" if outcome.truth or outcome.exact else "as the moves add up",
        "bumps": [i for i, a in asked.items() if bumped(poses[plan.steps[i].parent], a, poses[i])],
        "end": _end(outcome, poses),
        "means": _means(steps, ("psnr", "copying_psnr", "changed", "copying_changed", "sharpness", "brightness")),
        "steps": steps,
        "revisits": _revisits(outcome),
        "views": _views(outcome),
    }


def summary(figures: Mapping[str, Any]) -> list[str]:
    """The figures in a few lines for a person."""
    end, means, seeds = figures["end"], figures["means"], len(figures["seeds"])
    lines = [f"{figures['pictures']} pictures by {figures['model']}, {seeds} seed{'s' * (seeds > 1)}"]
    if end["expected"] is not None:
        lines.append("ends where it should" if not end["missed"] else f"does NOT end right: {'; '.join(end['missed'])}")
    if figures["bumps"]:
        lines.append(f"{len(figures['bumps'])} moves were stopped by something: the script does not fit this start")
    if "changed" in means:
        lines.append(f"where the picture changes, to the truth: {means['changed']:.1f} dB{_copying(means)}")
    elif "sharpness" in means and figures["poses"] != "exact":
        lines.append(
            f"beside the start picture: sharpness {means['sharpness']:.2f}, brightness {means['brightness']:.2f}"
        )
    if figures["revisits"]:
        last = max(figures["revisits"], key=lambda row: row["step"] - row["of"])
        lines.append(
            f"step {last['step']} is back at step {last['of']}: {last['psnr']:.1f} dB to what was seen there "
            f"(the pictures in between: {last['others']:.1f})"
        )
    if (views := figures["views"]) is not None:
        lines.append(_of_views(views["means"], len(views["steps"])))
    return lines


def _of_views(means: Mapping[str, float], num: int) -> str:
    name, unit, where = ("changed", " dB", "where they differ from the start")
    if name not in means:
        name, unit, where = ("sharpness", "", "beside the start picture, sharpness")
    one, other = (f"{means[key]:.{1 if unit else 2}f}{unit}" for key in (name, f"walked_{name}"))
    ends = _copying(means) if unit else ""
    return f"the {num} views, {where}: {one} from the start and their neighbours, {other} step after step{ends}"


def _copying(means: Mapping[str, float]) -> str:
    return f" (the start picture alone: {means['copying_changed']:.1f})"


def _end(outcome: Outcome, poses: Sequence[Pose]) -> dict[str, Any]:
    expect, end = outcome.script.expect, poses[outcome.session.plan.end]
    missed = [] if expect is None else expect.missed(poses[0], end)
    return {"pose": asdict(end), "expected": None if expect is None else asdict(expect), "missed": missed}


def _look(outcome: Outcome, i: int) -> dict[str, float]:
    seen, start = (np.stack([row[k] for row in outcome.walked.frames]) for k in (i, 0))
    brightness = seen.mean(axis=(1, 2, 3)) / max(start.mean(), 1e-9)
    return {"sharpness": _sharpness(outcome, seen), "brightness": _mean(brightness)}


def _sharpness(outcome: Outcome, seen: Frames) -> float:
    start = np.stack([row[0] for row in outcome.walked.frames])
    return _mean(metrics.gradient_energy(seen) / np.maximum(metrics.gradient_energy(start), 1e-9))


def _against_truth(outcome: Outcome, i: int, views: Sequence[Frame] = ()) -> dict[str, float]:
    """A step's pictures (or those of its view) beside the true one; {} where there is no truth."""
    if outcome.truth is None:
        return {}
    true = outcome.truth.frames[0][i][None]
    start = np.stack([row[0] for row in outcome.walked.frames])
    walked = np.stack([row[i] for row in outcome.walked.frames])
    shown = (
        {"": walked, "copying_": start} if not views else {"": np.stack(views), "walked_": walked, "copying_": start}
    )
    mask = np.any(np.abs(true[0].astype(np.int16) - start[0]) > _LEVELS, axis=-1)
    found = {f"{name}psnr": _mean(metrics.psnr(frames, true)) for name, frames in shown.items()}
    if mask.mean() >= _SHARE:
        pixels = true[:, mask][:, None]  # a picture of one row
        found |= {f"{name}changed": _mean(metrics.psnr(f[:, mask][:, None], pixels)) for name, f in shown.items()}
    return found


def _revisits(outcome: Outcome) -> list[dict[str, Any]]:
    """Where a line comes back to a pose that it left: how near the picture is to the one seen there first.

    `others` is how near the pictures in between are: what any other place of the walk would get.
    """
    plan = outcome.session.plan
    poses = plan.poses(Pose())
    found: dict[int, dict[str, Any]] = {}
    for line in [plan.line(branch[-1]) for branch in plan.branches()]:
        for k, i in enumerate(line):
            back = [j for j in line[: max(0, k - 1)] if distance(poses[i], poses[j]) < _SAME]
            if not back or i in found or plan.steps[i].action is None:
                continue
            between = [m for m in line[line.index(back[0]) + 1 : k] if distance(poses[m], poses[i]) >= _SAME]
            if between:
                some = between[:: -(-len(between) // _OTHERS)]
                others = _mean([_likeness(outcome.walked, m, back[0]) for m in some])
                likeness = _likeness(outcome.walked, i, back[0])
                found[i] = {"step": i, "of": back[0], "psnr": likeness, "others": others}
    return [found[i] for i in sorted(found)]


def _likeness(walked: Walked, i: int, j: int) -> float:
    return _mean([metrics.psnr(row[i][None], row[j][None])[0] for row in walked.frames])


def _views(outcome: Outcome) -> dict[str, Any] | None:
    """The views made from the start beside the same views of the walk; stepping stones between them are left out."""
    if outcome.views is None:
        return None
    rows = [
        {"step": i, "sharpness": _sharpness(outcome, np.stack(outcome.views[i]))}
        | {"walked_sharpness": _look(outcome, i)["sharpness"]}
        | _against_truth(outcome, i, outcome.views[i])
        for i in marked_views(outcome.session.plan)
        if i in outcome.views
    ]
    names = [f"{a}{b}" for b in ("sharpness", "psnr", "changed") for a in ("", "walked_", "copying_")]
    return {"means": _means(rows, names), "steps": rows}


def _means(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, float]:
    found = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: _mean(values) for name, values in found.items() if values}


def _mean(values: Any) -> float:
    return round(float(np.mean(values)), 3)
