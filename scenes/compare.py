"""Several evaluations of one trial side by side: a table, JSON, CSV and a page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from rich.table import Table

from scenes import page
from scenes.estimates import ALL, Estimate, Figures
from scenes.figures import DEFINITIONS, cell, in_order, name_of, titled
from scenes.plots import Line, line_plot
from scenes.report import Evaluation, as_csv, as_json, is_told, json_lines
from world.errors import WorldError
from world.files import atomic_write_text

_COLORS = 6  # that the page's style has


def need_one_trial(evaluations: Sequence[Evaluation], trial: dict[str, Any]) -> None:
    """Raises WorldError where an evaluation was made on another trial."""
    for evaluation in evaluations:
        for key in evaluation.trial | trial:
            value, wanted = evaluation.trial.get(key), trial.get(key)
            if value != wanted:
                raise WorldError(
                    f"{evaluation.label} was measured with {key} {_plain(value)}, not with {_plain(wanted)}: "
                    "compare with its own --suite, --scenes and --task, or measure it again"
                )


def table(evaluations: Sequence[Evaluation]) -> Table:
    """The figures over all scenes, a column a model, the best in bold; copying at the right."""
    first = evaluations[0]
    sheet = Table(title=f"suite {first.setup['suite']['name']}, all scenes", title_justify="left", box=None)
    sheet.add_column("figure")
    for evaluation in evaluations:
        sheet.add_column(evaluation.label, justify="right")
    sheet.add_column("copying", justify="right", style="dim")
    group = ""
    for key in filter(is_told, _keys(evaluations)):
        if DEFINITIONS[name_of(key)].group != group:
            group = DEFINITIONS[name_of(key)].group
            sheet.add_row(f"[bold]{group}[/bold]")
        row = [evaluation.figures.get(key, {}).get(ALL) for evaluation in evaluations]
        best = best_of(key, row)
        cells = ["" if e is None else cell(e, interval=True) for e in row]
        cells = [f"[bold]{text}[/bold]" if i in best else text for i, text in enumerate(cells)]
        other = first.baseline.get(key)
        sheet.add_row(f"  {titled(key)}", *cells, cell(other[ALL]) if other else "")
    return sheet


def best_of(key: str, row: Sequence[Estimate | None]) -> list[int]:
    """Which of the row's figures are the best one; none where nothing is better or all are equal."""
    loss = {
        "more": lambda value: -value,
        "less": lambda value: value,
        "one": lambda value: abs(value - 1),
        "zero": abs,
        "neither": lambda value: 0.0,
    }[DEFINITIONS[name_of(key)].better]
    losses = {i: loss(e.value) for i, e in enumerate(row) if e is not None}
    best = [i for i, value in losses.items() if value == min(losses.values())]
    return best if len(best) < len(losses) else []


def save(folder: Path, evaluations: Sequence[Evaluation]) -> list[Path]:
    """Writes comparison.json, comparison.csv and comparison.html into `folder`; returns the paths."""
    paths = [folder / f"comparison.{kind}" for kind in ("json", "csv", "html")]
    first = evaluations[0]
    content = {
        **first.trial,
        "models": {e.label: {"setup": e.setup, "measures": as_json(e.figures)} for e in evaluations},
        "baseline": as_json(first.baseline),
    }
    atomic_write_text(paths[0], json_lines(content))
    columns = {evaluation.label: evaluation.figures for evaluation in evaluations}
    atomic_write_text(paths[1], as_csv({**columns, "copy-last-frame": first.baseline}))
    atomic_write_text(paths[2], comparison_page(evaluations))
    return paths


def comparison_page(evaluations: Sequence[Evaluation]) -> str:
    """The page: curves of all models in each plot, one table, definitions, and how each was measured."""
    first = evaluations[0]
    title = " · ".join(evaluation.label for evaluation in evaluations)
    parts = [page.heading(title, first), page.notes(evaluations), "<h2>Drift</h2>"]
    parts += [f'<div class="plots">{"".join(_plots(evaluations))}</div>']
    parts.append(
        "<h2>Every figure, over all scenes</h2><p>All were measured on the same trial; ± is half of a 95% bootstrap "
        "interval over its samples. The best of each row is marked, whether or not it is by more than that.</p>"
    )
    parts += [_table(evaluations), page.definitions(_keys(evaluations))]
    parts += [page.how(evaluation) for evaluation in evaluations]
    return page.html(f"{title}: compared", parts)


def _plots(evaluations: Sequence[Evaluation]) -> list[str]:
    first, plots = evaluations[0], []
    for title, name, unit in (
        ("Drift", "drift_psnr", "dB"),
        ("Drift, SSIM", "drift_ssim", ""),
        ("Sharpness, dream / truth", "sharpness", ""),
        ("Share of places found", "retrieval", ""),
        ("Error of place", "pose_error_m", "m"),
        ("Error of heading", "pose_error_deg", "°"),
    ):
        lines = [
            Line(e.label, page.curve(e.figures, name), f"c{i % _COLORS}", band=len(evaluations) < 4)
            for i, e in enumerate(evaluations)
        ]
        if name != "sharpness":  # a copied frame is as sharp as any
            lines.append(Line("copying the first frame", page.curve(first.baseline, name), "aside"))
        plots.append(line_plot(title, unit, lines))
    return plots


def _table(evaluations: Sequence[Evaluation]) -> str:
    head = "".join(f"<th>{escape(evaluation.label)}</th>" for evaluation in evaluations)
    rows, group = [], ""
    for key in _keys(evaluations):
        if DEFINITIONS[name_of(key)].group != group:
            group = DEFINITIONS[name_of(key)].group
            rows.append(page.group_row(group, len(evaluations) + 2))
        row = [evaluation.figures.get(key, {}).get(ALL) for evaluation in evaluations]
        best = best_of(key, row)
        looks = [' class="best"' if i in best else "" for i in range(len(row))]
        cells = "".join(f"<td{look}>{page.interval(e)}</td>" for look, e in zip(looks, row, strict=True))
        other = evaluations[0].baseline.get(key)
        cells += f'<td class="copy">{cell(other[ALL]) if other else ""}</td>'
        rows.append(page.figure_row(key, cells))
    return page.table_of(f"{head}<th>copying</th>", rows)


def _plain(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _keys(evaluations: Sequence[Evaluation]) -> list[str]:
    merged: Figures = {}
    for evaluation in evaluations:
        merged |= evaluation.figures
    return in_order(merged)
