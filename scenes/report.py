"""An evaluation kept and told: the table, the gates that a release must pass, JSON, CSV, and sheets."""

from __future__ import annotations

import csv
import io
import json
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.table import Table

from scenes.control import Confusion
from scenes.drift import Dream
from scenes.estimates import ALL, Estimate, Figures
from scenes.figures import DEFINITIONS, cell, in_order, name_of, step_of, steps_of, titled
from scenes.library import read_scene, scene_names
from world.errors import WorldError
from world.files import atomic_write_text
from world.recording import contact_sheet, save_png
from world.settings import SamplerConfig

FILE, CSV = "evaluation.json", "evaluation.csv"
_FORMAT = 2
_WALKS_SHOWN = 2  # of each scene
_SHOWN = (0, 1, 2, 4, 8, 16, 32, 64)  # steps on a sheet
_TOLD = (1, 10, 50, 64, 200)  # of the steps that walks are measured at, those on the terminal
_MARKED = ("drift_psnr", "forced_psnr", "sharpness", "retrieval")
_UNTOLD = ("drift_ssim", "forced_ssim", "ceiling_psnr", "ceiling_ssim", "brightness", "saturation")
_PACKAGES = ("bagel-world", "torch", "numpy", "mujoco", "scikit-image")


@dataclass(frozen=True)
class Gate:
    """One thing that a model of the shipped size must reach."""

    name: str
    value: float
    least: float

    @property
    def passed(self) -> bool:
        return self.value >= self.least


@dataclass(frozen=True)
class Evaluation:
    """A model's figures, beside those of a world in which nothing moves, and how they came about."""

    label: str  # what it is called in tables
    setup: dict[str, Any]  # model, suite, scenes, frame size, seeds, sampler, versions
    figures: Figures
    baseline: Figures  # copy-last-frame on the same trial
    confusion: Confusion | None
    notes: tuple[str, ...] = ()

    @property
    def scenes(self) -> list[str]:
        """The scenes with a figure, after `ALL`."""
        found = dict.fromkeys(scene for row in self.figures.values() for scene in row)
        return [ALL, *(scene for scene in found if scene != ALL)]

    @property
    def trial(self) -> dict[str, Any]:
        """What two evaluations must share to be comparable."""
        return {key: self.setup[key] for key in ("suite", "scenes", "frame", "first_seed", "task") if key in self.setup}


def setup(model: dict[str, Any], sampler: SamplerConfig | None, trial: dict[str, Any]) -> dict[str, Any]:
    """How an evaluation comes about, as plain values: `trial` has what comparable ones share."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        **trial,
        "model": model,
        "sampler": None if sampler is None else {**asdict(sampler), "cfg_interval": list(sampler.cfg_interval)},
        "machine": platform.machine(),
        "versions": versions,
    }


def gates(figures: Figures) -> list[Gate]:
    """The gates, in order; those of an autoencoder only where the model shows it, none without a truth.

    They are means over the scenes that stay as they are; of a scene with layouts alone where there is no other.
    """
    if "next_psnr" not in figures:
        return []
    last = max(step for step in steps_of(figures, "sharpness") if step <= 50)
    wanted = {
        "autoencoder, dB": ("autoencoder", 31.0),
        "next frame, dB": ("next_psnr", 27.0),
        "next frame that moves, dB": ("moving_psnr", 26.0),
        "action accuracy": ("action_accuracy", 0.97),
        f"sharpness at {last}": (f"sharpness@{last}", 0.7),
        f"place found at {last}": (f"retrieval@{last}", 0.9),
    }
    return [Gate(name, _known(figures[key]), least) for name, (key, least) in wanted.items() if key in figures]


def _known(row: dict[str, Estimate]) -> float:
    """The mean over scenes that may be remembered; each has the same number of walks and probes."""
    scenes = [name for name in row if name in scene_names() and not read_scene(name, with_frames=False).has_layouts]
    return statistics.mean(row[name].value for name in scenes) if scenes else row[ALL].value


def is_told(key: str) -> bool:
    """Whether the terminal shows the figure: the page and the files have them all."""
    return name_of(key) not in _UNTOLD and (step_of(key) in (None, *_TOLD) or name_of(key) not in _MARKED)


def table(evaluation: Evaluation) -> Table:
    """All figures by scene, with half of the 95% interval over all; the baseline in the last column."""
    scenes = evaluation.scenes
    page = Table(title=f"{evaluation.label}, suite {evaluation.setup['suite']['name']}", title_justify="left", box=None)
    page.add_column("figure")
    for scene in scenes:
        page.add_column(scene, justify="right", no_wrap=True)
    page.add_column("copying", justify="right", style="dim", no_wrap=True)
    group = ""
    for key in filter(is_told, in_order(evaluation.figures)):
        definition, row, other = DEFINITIONS[name_of(key)], evaluation.figures[key], evaluation.baseline.get(key, {})
        if definition.group != group:
            group = definition.group
            page.add_row(f"[bold]{group}[/bold]")
        cells = (cell(row[s], interval=s == ALL) if s in row else "" for s in scenes)
        page.add_row(f"  {titled(key)}", *cells, cell(other[ALL]) if other else "")
    return page


def actions_table(confusion: Confusion) -> Table:
    """Action accuracy, action by action, and with what each is confused most."""
    page = Table(title="action accuracy", title_justify="left", box=None)
    for column in ("action", "right", "asked", "else most often"):
        page.add_column(column, justify="right" if column in ("right", "asked") else "left")
    for i, name in enumerate(confusion.names):
        row = confusion.counts[i]
        others = [(count, confusion.names[j]) for j, count in enumerate(row) if j != i and count]
        worst = max(others, default=(0, ""))[1]
        page.add_row(name, f"{confusion.share(i, i):.2f}" if sum(row) else "", str(sum(row)), worst)
    return page


def save(folder: Path, evaluation: Evaluation, dreams: Sequence[Dream]) -> list[Path]:
    """Writes evaluation.json, evaluation.csv and a sheet for each simulated scene; returns the paths."""
    paths = [folder / FILE, folder / CSV]
    content = {
        "format": _FORMAT,
        "label": evaluation.label,
        "setup": evaluation.setup,
        "gates": [{**asdict(gate), "passed": gate.passed} for gate in gates(evaluation.figures)],
        "measures": as_json(evaluation.figures),
        "baseline": as_json(evaluation.baseline),
        "confusion": None if evaluation.confusion is None else asdict(evaluation.confusion),
        "notes": list(evaluation.notes),
    }
    atomic_write_text(paths[0], json_lines(content))
    atomic_write_text(paths[1], as_csv({evaluation.label: evaluation.figures, "copy-last-frame": evaluation.baseline}))
    for scene in dict.fromkeys(d.walk.scene for d in dreams):
        paths.append(folder / f"{scene}.png")
        _save_sheet(paths[-1], [d for d in dreams if d.walk.scene == scene][:_WALKS_SHOWN])
    return paths


def read(folder: Path) -> Evaluation:
    """The evaluation that `save` left in `folder`. Raises WorldError where there is none of this format."""
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise WorldError(f"{path} has format {content['format']}, this version reads {_FORMAT}: measure it again")
        confusion = content["confusion"]
        return Evaluation(
            content["label"],
            content["setup"],
            _figures(content["measures"]),
            _figures(content["baseline"]),
            confusion and Confusion(tuple(confusion["names"]), tuple(tuple(row) for row in confusion["counts"])),
            tuple(content.get("notes", ())),
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise WorldError(f"{path} is no evaluation of this version ({error!r}): measure it again") from error


def as_json(figures: Figures) -> dict[str, dict[str, dict[str, float]]]:
    """The figures as plain values: by key, by scene."""
    return {key: {scene: asdict(e) for scene, e in figures[key].items()} for key in in_order(figures)}


def json_lines(content: dict[str, Any]) -> str:
    """JSON with one line for each entry of each entry: a figure a line, so that two files can be told apart."""

    def entry(value: Any) -> str:
        if not isinstance(value, dict):
            return json.dumps(value)
        return "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(row)}" for key, row in value.items()) + "\n }"

    return "{\n" + ",\n".join(f" {json.dumps(key)}: {entry(value)}" for key, value in content.items()) + "\n}\n"


def as_csv(columns: dict[str, Figures]) -> str:
    """One line a figure, step, scene and column, with interval and count."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "figure", "step", "scene", "unit", "value", "low", "high", "count"])
    for label, figures in columns.items():
        for key in in_order(figures):
            name, _, step = key.partition("@")
            for scene, e in figures[key].items():
                writer.writerow([label, name, step, scene, DEFINITIONS[name].unit, e.value, e.low, e.high, e.count])
    return text.getvalue()


def shown_steps(dreams: Sequence[Dream]) -> list[int]:
    """The steps that a sheet of these dreams shows."""
    return [t for t in _SHOWN if all(t in d.frames for d in dreams)]


def _save_sheet(path: Path, dreams: Sequence[Dream]) -> None:
    """For each walk a row of truth above a row of dream."""
    steps = shown_steps(dreams)
    frames, labels = [], []
    for d in dreams:
        frames += [d.walk.states[t].frame for t in steps] + [d.frames[t] for t in steps]
        labels += [f"truth · {t}" for t in steps] + [f"dream · {t}" for t in steps]
    save_png(path, contact_sheet(frames, columns=len(steps), labels=labels))


def _figures(plain: dict[str, dict[str, dict[str, Any]]]) -> Figures:
    return {key: {scene: Estimate(**e) for scene, e in row.items()} for key, row in plain.items()}
