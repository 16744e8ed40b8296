"""One evaluation as a page: gates, plots, sheets of truth above dream, confusions, every figure and its meaning."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from scenes import page
from scenes.control import Confusion
from scenes.drift import Dream
from scenes.estimates import ALL, Figures, once
from scenes.evaluate import Measured
from scenes.figures import DEFINITIONS, cell, in_order, name_of, steps_of
from scenes.plots import Line, line_plot
from scenes.report import Evaluation, gates, shown_steps

_WALKS_SHOWN = 2  # of each scene
_TURNS_SHOWN = 9  # frames of a full turn


def evaluation_page(evaluation: Evaluation, measured: Measured) -> str:
    """The page of one evaluation."""
    figures, baseline = evaluation.figures, evaluation.baseline
    parts = [page.heading(evaluation.label, evaluation), page.notes([evaluation]), _gates(evaluation)]
    parts += [_drift(figures, baseline)]
    parts += [_sheets(measured.dreams), _control(figures, evaluation.confusion), _places(figures, baseline)]
    if measured.turns:
        told = "Turning left on the spot until it should look as at the start."
        parts += [f"<h2>Full turns</h2><p>{told}</p>", _turns(measured)]
    parts += ["<h2>Every figure</h2>", _intervals_note(), _figures_table(evaluation)]
    parts += [page.definitions([*figures]), page.how(evaluation)]
    return page.html(f"{evaluation.label}: how good a world it is", parts)


def _figures_table(evaluation: Evaluation) -> str:
    """All figures by scene with intervals, copying beside."""
    head = "".join(f"<th>{escape(scene)}</th>" for scene in evaluation.scenes)
    rows, group = [], ""
    for key in in_order(evaluation.figures):
        if DEFINITIONS[name_of(key)].group != group:
            group = DEFINITIONS[name_of(key)].group
            rows.append(page.group_row(group, len(evaluation.scenes) + 2))
        row, other = evaluation.figures[key], evaluation.baseline.get(key)
        cells = "".join(f"<td>{page.interval(row.get(scene))}</td>" for scene in evaluation.scenes)
        rows.append(page.figure_row(key, f'{cells}<td class="copy">{cell(other[ALL]) if other else ""}</td>'))
    return page.table_of(f"{head}<th>copying</th>", rows)


def _gates(evaluation: Evaluation) -> str:
    found = gates(evaluation.figures)
    if not found:
        return "<p>Pictures have no truth: what follows are the figures that need none.</p>"
    cards = [
        f'<div class="card {"pass" if g.passed else "fail"}"><span>{escape(g.name)}</span><b>{g.value:.2f}</b>'
        f'<span class="verdict">{"✓" if g.passed else "✗"} at least {g.least:g}</span></div>'
        for g in found
    ]
    return f'<h2>Gates of a release</h2><div class="cards">{"".join(cards)}</div>'


def _drift(figures: Figures, baseline: Figures) -> str:
    steps = steps_of(figures, "drift_psnr")
    if not steps:
        return ""
    lost = dict.fromkeys(steps, figures["unrelated_psnr"][ALL])
    plots = [
        line_plot(
            f"Drift, {unit or 'SSIM'}",
            "",
            [
                Line("truth through the autoencoder", page.curve(figures, f"ceiling_{kind}"), "c2"),
                Line("teacher-forced", page.curve(figures, f"forced_{kind}"), "c1"),
                Line("walking alone", page.curve(figures, f"drift_{kind}"), "c0", band=True),
                Line("copying the first frame", page.curve(baseline, f"drift_{kind}"), "c3"),
                Line("two random frames", lost if unit else {}, "aside"),
            ],
        )
        for kind, unit in (("psnr", "dB"), ("ssim", ""))
    ]
    plots.append(
        line_plot(
            "Sharpness and place",
            "",
            [
                Line("sharpness, dream / truth", page.curve(figures, "sharpness"), "c0", band=True),
                Line("share of places found", page.curve(figures, "retrieval"), "c4", band=True),
                Line("as the truth", dict.fromkeys(steps, once(1.0)), "aside"),
            ],
        )
    )
    plots.append(
        line_plot(
            "Brightness and saturation, dream − truth",
            "%",
            [
                Line("brightness", page.curve(figures, "brightness"), "c1", band=True),
                Line("saturation", page.curve(figures, "saturation"), "c3", band=True),
                Line("as the truth", dict.fromkeys(steps, once(0.0)), "aside"),
            ],
        )
    )
    life = figures["half_life"][ALL]
    last = max(t for t in steps if figures[f"drift_psnr@{t}"][ALL].count == life.count)  # that all walks reached
    told = f"{last} steps or more" if life.value >= last else f"{cell(life, interval=True)} steps"
    return (
        "<h2>Drift</h2><p>The model is given the first frame and the actions, nothing else, and is compared with the "
        f"simulator. Half-life of its lead over unrelated frames: <b>{told}</b>. Bands are 95% intervals; the axis is "
        f'the step.</p><div class="plots">{"".join(plots)}</div>'
    )


def _sheets(dreams: Sequence[Dream]) -> str:
    parts = []
    for scene in dict.fromkeys(d.walk.scene for d in dreams):
        chosen = [d for d in dreams if d.walk.scene == scene][:_WALKS_SHOWN]
        steps = shown_steps(chosen)
        rows = []
        for d in chosen:
            cells = [
                f'<div class="cell">{page.image(d.walk.states[t].frame, f"truth, step {t}")}'
                f"{page.image(d.frames[t], f'dream, step {t}')}<span>{t}</span></div>"
                for t in steps
            ]
            side = '<div class="side"><span>truth</span><span>dream</span></div>'
            rows.append(f'<div class="strip">{side}{"".join(cells)}</div>')
        parts.append(f'<h3>{escape(scene)}</h3><div class="scroll">{"".join(rows)}</div>')
    return f"<h2>Truth above dream</h2>{''.join(parts)}" if parts else ""


def _control(figures: Figures, confusion: Confusion | None) -> str:
    if confusion is None:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in confusion.names)
    rows = []
    for i, name in enumerate(confusion.names):
        cells = []
        for j in range(len(confusion.names)):
            share = confusion.share(i, j)
            look = ' class="strong"' if share > 0.5 else ""
            cells.append(f'<td{look} style="--share:{share:.2f}">{f"{100 * share:.0f}" if share else ""}</td>')
        rows.append(f"<tr><th>{escape(name)}</th>{''.join(cells)}<td>{sum(confusion.counts[i])}</td></tr>")
    sizes = [
        f"{what} are off by <b>{cell(figures[f'size_error_{unit}'][ALL], interval=True)} {shown}</b> on average"
        for what, unit, shown in (("steps", "m", "m"), ("turns", "deg", "°"))
        if f"size_error_{unit}" in figures
    ]
    told = f"In size, {' and '.join(sizes)}." if sizes else ""
    return (
        "<h2>Does it do what it is told?</h2><p>Each row is an action that was asked for, each column the action whose "
        f"true outcome is nearest to what was drawn, in percent; at the right, how often it was asked. {told}</p>"
        f'<div class="scroll"><table class="matrix"><thead><tr><th></th>{head}<th>asked</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _places(figures: Figures, baseline: Figures) -> str:
    plots = [
        line_plot(
            f"Error of {what}",
            unit,
            [
                Line("dream", page.curve(figures, name), "c0", band=True),
                Line("standing still", page.curve(baseline, name), "c3"),
            ],
        )
        for what, name, unit in (("place", "pose_error_m", "m"), ("heading", "pose_error_deg", "°"))
    ]
    if not any(plots):
        return ""
    return (
        "<h2>Where the dream is</h2><p>Each dreamt frame is looked for in the simulator: the pose whose picture is "
        "nearest to it, against the pose where the walk truly was. Medians.</p>"
        f'<div class="plots">{"".join(plots)}</div>'
    )


def _turns(measured: Measured) -> str:
    rows = []
    for turn in measured.turns:
        last = max(turn.frames)
        steps = sorted({round(last * k / (_TURNS_SHOWN - 1)) for k in range(_TURNS_SHOWN)})
        pictures = {t: page.image(turn.frames[t], f"{turn.scene}, step {t}") for t in steps}
        cells = [f'<div class="cell">{shown}<span>{360 * t // last}°</span></div>' for t, shown in pictures.items()]
        rows.append(
            f'<div class="strip"><div class="side one"><span>{escape(turn.scene)}</span></div>{"".join(cells)}</div>'
        )
    return f'<div class="scroll">{"".join(rows)}</div>'


def _intervals_note() -> str:
    return (
        "<p>± is half of a 95% bootstrap interval over the samples; “copying” is a world that shows its last frame for "
        "ever. It closes every way and keeps every object, because nothing moves: read these beside the half-way rows "
        "and the action accuracy.</p>"
    )
