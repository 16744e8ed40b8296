"""An evaluation on one page: the table, the gates that a release must pass, JSON, and sheets of truth above dream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from scenes.evaluate import ALL, ByScene, Dream, Measures
from scenes.metrics import Estimate
from scenes.trial import Suite
from world.files import atomic_write_text
from world.recording import contact_sheet, save_png
from world.types import WorldSpec

_WALKS_SHOWN = 2  # of each scene


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
    """A model's figures, beside those of a world in which nothing moves."""

    spec: WorldSpec
    suite: str
    size: Suite
    measures: Measures
    baseline: Measures  # copy-last-frame on the same trial


def gates(measures: Measures) -> list[Gate]:
    """The gates, in order; those of an autoencoder only where the model shows it."""
    last = max(t for t in measures.sharpness if t <= 50)
    found = [
        Gate("next frame, dB", measures.next_psnr[ALL].value, 27.0),
        Gate("next frame that moves, dB", measures.moving_psnr[ALL].value, 26.0),
        Gate("action accuracy", measures.action_accuracy[ALL].value, 0.97),
        Gate(f"sharpness at {last}", measures.sharpness[last][ALL].value, 0.7),
        *(Gate(f"place found at {last}: {scene}", e.value, 0.9) for scene, e in measures.retrieval.items()),
    ]
    if measures.autoencoder:
        found.insert(0, Gate("autoencoder, dB", measures.autoencoder[ALL].value, 31.0))
    return found


def table(evaluation: Evaluation) -> Table:
    """All figures by scene, with the half width of the 95% interval over all; the baseline in the last column."""
    measures, baseline = evaluation.measures, evaluation.baseline
    scenes = list(measures.next_psnr)
    page = Table(title=f"{evaluation.spec.model}, suite {evaluation.suite}", title_justify="left", box=None)
    page.add_column("on held-out starts", no_wrap=True)
    for scene in scenes:
        page.add_column(scene, justify="right", no_wrap=True)
    page.add_column("copying", justify="right", style="dim", no_wrap=True)

    def add(name: str, row: ByScene, other: ByScene) -> None:
        if row:
            last = _cell(other[ALL], interval=False) if other else ""
            page.add_row(name, *(_cell(row[s], interval=s == ALL) if s in row else "" for s in scenes), last)

    add("autoencoder, dB", measures.autoencoder, {})
    add("  its sharpness", measures.autoencoder_sharpness, {})
    add("next frame, dB", measures.next_psnr, baseline.next_psnr)
    add("  where it moves, dB", measures.moving_psnr, baseline.moving_psnr)
    add("action accuracy", measures.action_accuracy, baseline.action_accuracy)
    for t, row in measures.drift.items():
        add(f"after {t} steps, dB", row, baseline.drift[t])
    for t, row in measures.sharpness.items():
        add(f"sharpness after {t}", row, baseline.sharpness[t])
    add("place found", measures.retrieval, baseline.retrieval)
    add("full turn, dB", measures.loop, {})
    return page


def actions_table(measures: Measures) -> Table:
    """Action accuracy, action by action."""
    page = Table(title="action accuracy", title_justify="left", box=None)
    for column in ("action", "share", "probes"):
        page.add_column(column, justify="left" if column == "action" else "right")
    for name, estimate in measures.accuracy_by_action.items():
        page.add_row(name, f"{estimate.value:.2f}", str(estimate.count))
    return page


def save(folder: Path, evaluation: Evaluation, dreams: Sequence[Dream]) -> list[Path]:
    """Writes evaluation.json and a sheet for each scene; returns the paths."""
    paths = [folder / "evaluation.json"]
    content = {
        "model": {**asdict(evaluation.spec), "supports": sorted(evaluation.spec.supports)},
        "suite": {"name": evaluation.suite, **asdict(evaluation.size)},
        "measures": asdict(evaluation.measures),
        "baseline": asdict(evaluation.baseline),
        "gates": [{**asdict(gate), "passed": gate.passed} for gate in gates(evaluation.measures)],
    }
    atomic_write_text(paths[0], json.dumps(content, indent=2) + "\n")
    for scene in dict.fromkeys(d.walk.scene for d in dreams):
        paths.append(folder / f"{scene}.png")
        _save_sheet(paths[-1], [d for d in dreams if d.walk.scene == scene][:_WALKS_SHOWN])
    return paths


def _save_sheet(path: Path, dreams: Sequence[Dream]) -> None:
    """For each walk a row of truth above a row of dream."""
    steps = [t for t in dreams[0].frames if t <= min(len(d.walk.actions) for d in dreams)]
    frames, labels = [], []
    for dream in dreams:
        frames += [dream.walk.states[t].frame for t in steps] + [dream.frames[t] for t in steps]
        labels += [f"truth · {t}" for t in steps] + [f"dream · {t}" for t in steps]
    save_png(path, contact_sheet(frames, columns=len(steps), labels=labels))


def _cell(estimate: Estimate, *, interval: bool) -> str:
    digits = 2 if abs(estimate.value) < 5 else 1
    spread = f" ±{(estimate.high - estimate.low) / 2:.{digits}f}" if interval else ""
    return f"{estimate.value:.{digits}f}{spread}"
