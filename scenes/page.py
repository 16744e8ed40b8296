"""An evaluation as one page of HTML that holds all it needs: plots, sheets, tables, definitions, how it was measured."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from scenes.control import Confusion
from scenes.drift import Dream
from scenes.estimates import ALL, ByScene, Estimate, Figures
from scenes.evaluate import Measured
from scenes.figures import DEFINITIONS, cell, in_order, name_of, step_of, steps_of, title_of
from scenes.plots import Line, line_plot
from scenes.report import Evaluation, gates, shown_steps
from world.types import Frame

_WALKS_SHOWN = 2  # of each scene
_TURNS_SHOWN = 9  # frames of a full turn
_MOST_PIXELS = 256  # the longer side of a picture on a page
_STYLE = Path(__file__).with_name("page.css")


def evaluation_page(evaluation: Evaluation, measured: Measured) -> str:
    """The page of one evaluation."""
    figures, baseline = evaluation.figures, evaluation.baseline
    parts = [heading(evaluation.label, evaluation), _gates(evaluation), _drift(figures, baseline)]
    parts += [_sheets(measured.dreams), _control(figures, evaluation.confusion), _places(figures, baseline)]
    if measured.turns:
        parts += ["<h2>Full turns</h2><p>Turning left on the spot until it should look as at the start.</p>", _turns(measured)]
    parts += ["<h2>Every figure</h2>", _intervals_note(), figures_table(evaluation)]
    parts += [definitions([*figures]), how(evaluation)]
    return html(f"{evaluation.label}: how good a world it is", parts)


def html(title: str, parts: Sequence[str]) -> str:
    """A whole page of these parts."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
    style = _STYLE.read_text(encoding="utf-8")
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>\n{style}</style></head>\n<body>\n' + "\n".join(
        part for part in parts if part
    ) + "\n</body></html>\n"


def heading(title: str, evaluation: Evaluation) -> str:
    """The page's title, and on what was measured."""
    setup = evaluation.setup
    height, width = setup["frame"]
    told = f"{setup['suite']['name']} suite · {', '.join(setup['scenes'])} · {width} × {height} · held-out starts"
    return f"<h1>{escape(title)}</h1>\n<p class='soft'>{escape(told)}</p>"


def curve(figures: Figures, name: str, scene: str = ALL) -> dict[int, Estimate]:
    """The figure over its steps."""
    return {step: row[scene] for step in steps_of(figures, name) if scene in (row := figures[f"{name}@{step}"])}


def level(figures: Figures, name: str, steps: Sequence[int]) -> dict[int, Estimate]:
    """A figure without steps, as a line across."""
    return dict.fromkeys(steps, figures[name][ALL]) if name in figures else {}


def figures_table(evaluation: Evaluation) -> str:
    """All figures by scene with intervals, copying beside."""
    head = "".join(f"<th>{escape(scene)}</th>" for scene in evaluation.scenes)
    rows, group = [], ""
    for key in in_order(evaluation.figures):
        d = DEFINITIONS[name_of(key)]
        if d.group != group:
            group = d.group
            rows.append(f'<tr><th class="group" colspan="{len(evaluation.scenes) + 2}">{escape(group)}</th></tr>')
        row, other = evaluation.figures[key], evaluation.baseline.get(key, {})
        cells = "".join(f"<td>{interval(row.get(scene))}</td>" for scene in evaluation.scenes)
        copy = cell(other[ALL]) if other else ""
        rows.append(f'<tr><th title="{escape(d.text)}">{_title(key)}</th>{cells}<td class="copy">{copy}</td></tr>')
    return (
        f'<div class="scroll"><table class="wide"><thead><tr><th></th>{head}<th>copying</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def interval(estimate: Estimate | None) -> str:
    """The figure with half of its interval's width, small."""
    if estimate is None:
        return ""
    value, _, spread = cell(estimate, interval=True).partition(" ")
    return f"{value} <small>{spread}</small>" if spread else value


def definitions(keys: Sequence[str]) -> str:
    """What the figures mean."""
    names = dict.fromkeys(name_of(key) for key in in_order(dict.fromkeys(keys, {})))
    rows = []
    for name in names:
        d = DEFINITIONS[name]
        title = d.title.format("n") + (f", {d.unit}" if d.unit else "")
        rows.append(f"<dt>{escape(title)}</dt><dd>{escape(d.text)}</dd>")
    return f"<h2>What the figures mean</h2><details><summary>Definitions</summary><dl>{''.join(rows)}</dl></details>"


def how(evaluation: Evaluation) -> str:
    """Suite, seeds, sampler and versions."""
    setup, rows = evaluation.setup, []
    for name, value in {**setup, "suite": setup["suite"], **setup["versions"]}.items():
        if name == "versions" or value is None:
            continue
        told = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        told = ", ".join(map(str, told)) if isinstance(told, list) else told
        rows.append(f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(str(told))}</dd>")
    return f"<h2>How it was measured</h2><dl>{''.join(rows)}</dl>"


def image(frame: Frame, told: str) -> str:
    """The picture in the page itself."""
    picture = Image.fromarray(frame)
    picture.thumbnail((_MOST_PIXELS, _MOST_PIXELS), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return f'<img alt="{escape(told)}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


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
    plots = [
        line_plot(
            f"Drift, {unit or 'SSIM'}",
            "",
            [
                Line("truth through the autoencoder", curve(figures, f"ceiling_{kind}"), "c2"),
                Line("teacher-forced", curve(figures, f"forced_{kind}"), "c1"),
                Line("walking alone", curve(figures, f"drift_{kind}"), "c0", band=True),
                Line("copying the first frame", curve(baseline, f"drift_{kind}"), "c3"),
                Line("two random frames", level(figures, "unrelated_psnr", steps) if unit else {}, "aside"),
            ],
        )
        for kind, unit in (("psnr", "dB"), ("ssim", ""))
    ]
    one = Estimate(1.0, 1.0, 1.0, 1)
    none = Estimate(0.0, 0.0, 0.0, 1)
    plots.append(
        line_plot(
            "Sharpness and place",
            "",
            [
                Line("sharpness, dream / truth", curve(figures, "sharpness"), "c0", band=True),
                Line("share of places found", curve(figures, "retrieval"), "c4", band=True),
                Line("as the truth", dict.fromkeys(steps, one), "aside"),
            ],
        )
    )
    plots.append(
        line_plot(
            "Brightness and saturation, dream − truth",
            "%",
            [
                Line("brightness", curve(figures, "brightness"), "c1", band=True),
                Line("saturation", curve(figures, "saturation"), "c3", band=True),
                Line("as the truth", dict.fromkeys(steps, none), "aside"),
            ],
        )
    )
    life = figures["half_life"][ALL]
    last = max(steps)
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
                f'<div class="cell">{image(d.walk.states[t].frame, f"truth, step {t}")}'
                f"{image(d.frames[t], f'dream, step {t}')}<span>{t}</span></div>"
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
                Line("dream", curve(figures, name), "c0", band=True),
                Line("standing still", curve(baseline, name), "c3"),
            ],
        )
        for what, name, unit in (("place", "pose_error_m", "m"), ("heading", "pose_error_deg", "°"))
    ]
    if not any(plots):
        return ""
    return (
        "<h2>Where the dream is</h2><p>Each dreamt frame is looked for in the simulator: the pose whose picture is nearest "
        f'to it, against the pose where the walk truly was. Medians.</p><div class="plots">{"".join(plots)}</div>'
    )


def _turns(measured: Measured) -> str:
    rows = []
    for turn in measured.turns:
        last = max(turn.frames)
        steps = sorted({round(last * k / (_TURNS_SHOWN - 1)) for k in range(_TURNS_SHOWN)})
        cells = [
            f'<div class="cell">{image(turn.frames[t], f"{turn.scene}, step {t}")}<span>{360 * t // last}°</span></div>'
            for t in steps
        ]
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


def _title(key: str) -> str:
    unit = DEFINITIONS[name_of(key)].unit
    return escape(title_of(key)) + (f" <small>{escape(unit)}</small>" if unit else "")


__all__ = ["ByScene", "curve", "definitions", "evaluation_page", "figures_table", "heading", "how", "html", "level", "step_of"]
