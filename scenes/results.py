"""What a walked script leaves: sheets, an animation, poses, figures, and cameras for 3D tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from scenes.cameras import Lens, Shot, save_cameras
from scenes.fidelity import Outcome
from scenes.sequence import Album
from scenes.views import marked_views
from world.branches import tree_sheet
from world.files import atomic_write_text
from world.recording import contact_sheet, save_gif, save_png, save_video
from world.types import Frame

_FPS = 6.0
_COMPARED = 8  # columns of the comparison


def save_results(album: Album, outcome: Outcome, figures: dict[str, Any]) -> list[Path]:
    """Writes everything beside the album's pictures; returns the paths. Equal outcomes give equal files."""
    folder, plan = album.folder, outcome.session.plan
    paths = [folder / name for name in ("sheet.png", "poses.json", "metrics.json")]
    save_png(paths[0], tree_sheet(plan, outcome.walked.frames[0]))
    atomic_write_text(paths[1], json.dumps(_poses(album, outcome), indent=1, ensure_ascii=False) + "\n")
    atomic_write_text(paths[2], json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    paths += _animate(folder, [[row[i] for row in outcome.walked.frames] for i in plan.line(plan.end)])
    if outcome.views:
        start = [row[0] for row in outcome.walked.frames]
        paths += _animate(folder / "views", [start, *(outcome.views[i] for i in sorted(outcome.views))])
    if outcome.truth is not None or outcome.views is not None or len(outcome.session.seeds) > 1:
        paths.append(folder / "comparison.png")
        save_png(paths[-1], _comparison(outcome))
    return [*paths, *_export(album, outcome)]


def _animate(folder: Path, pictures: Sequence[Sequence[Frame]]) -> list[Path]:
    """The pictures in turn, those of all seeds side by side, as walk.mp4 and walk.gif."""
    beside = [np.concatenate(row, axis=1) for row in pictures]
    paths = [folder / "walk.mp4", folder / "walk.gif"]
    save_video(paths[0], beside, _FPS)
    save_gif(paths[1], beside, _FPS)
    return paths


def _comparison(outcome: Outcome) -> Frame:
    """Rows of the truth, of each seed's walk, and of each seed's views from the start, at the same steps."""
    plan = outcome.session.plan
    names = plan.names()
    steps = [i for i in names if i] or plan.line(plan.end)[1:]
    if outcome.views:
        steps = [i for i in marked_views(plan) if i in outcome.views]
    steps = [
        steps[k] for k in np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _COMPARED)).round().astype(int))
    ]
    rows: list[tuple[str, Sequence[Frame]]] = []
    if outcome.truth is not None:
        rows.append(("truth", [outcome.truth.frames[0][i] for i in steps]))
    for v, seed in enumerate(outcome.session.seeds):
        rows.append((f"walked, seed {seed}", [outcome.walked.frames[v][i] for i in steps]))
    for v, seed in enumerate(outcome.session.seeds if outcome.views else ()):
        rows.append((f"from start, seed {seed}", [outcome.views[i][v] for i in steps] if outcome.views else []))
    frames = [frame for _, row in rows for frame in row]
    labels = [
        f"{title}: {names.get(i, i)}" if i == steps[0] else f"{names.get(i, i)}" for title, _ in rows for i in steps
    ]
    return contact_sheet(frames, columns=len(steps), labels=labels)


def _poses(album: Album, outcome: Outcome) -> list[dict[str, Any]]:
    """Every step: where it is, how it came about, and where its pictures lie."""
    plan, names = outcome.session.plan, outcome.session.plan.names()
    return [
        {
            "step": i,
            "parent": step.parent,
            "checkpoint": names.get(i),
            "action": None if step.action is None else step.action.text,
            "pose": asdict(outcome.walked.poses[0][i]),
            "pictures": [_path(album, v, plan.picture(i)) for v in range(len(outcome.session.seeds))],
        }
        for i, step in enumerate(plan.steps)
    ]


def _path(album: Album, v: int, i: int) -> str:
    return album.picture(v, i).relative_to(album.folder).as_posix()


def _export(album: Album, outcome: Outcome) -> list[Path]:
    """Cameras of the first seed's pictures, and of its views from the start in their own folder."""
    plan, scene, poses = outcome.session.plan, outcome.session.scene, outcome.walked.poses[0]
    height, width = outcome.walked.frames[0][0].shape[:2]
    lens = Lens.of(scene.fov, width, height)
    shown = [i for i in range(len(plan.steps)) if plan.picture(i) == i]
    paths = save_cameras(album.folder, scene, lens, [Shot(_path(album, 0, i), poses[i]) for i in shown])
    if outcome.views:
        dead_reckoned, seed = plan.poses(scene.starts[0].pose), outcome.session.seeds[0]
        start = Shot(f"../{_path(album, 0, 0)}", dead_reckoned[0])
        shots = [start, *(Shot(f"seed-{seed}/{i:04d}.png", dead_reckoned[i]) for i in sorted(outcome.views))]
        paths += save_cameras(album.folder / "views", scene, lens, shots)
    return paths
