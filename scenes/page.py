"""What pages are built from: frame and style, tables of figures, definitions, pictures; all in one file of HTML."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from scenes.estimates import ALL, Estimate, Figures
from scenes.figures import DEFINITIONS, cell, in_order, name_of, steps_of, title_of
from scenes.report import Evaluation
from world.types import Frame

_MOST_PIXELS = 256  # the longer side of a picture on a page
_STYLE = Path(__file__).with_name("page.css")


def style() -> str:
    """The style sheet of all pages, light and dark."""
    return _STYLE.read_text(encoding="utf-8")


def html(title: str, parts: Sequence[str]) -> str:
    """A whole page of these parts."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)}</title>"
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>\n{style()}</style></head>\n<body>\n'
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def heading(title: str, evaluation: Evaluation) -> str:
    """The page's title, and on what was measured."""
    setup = evaluation.setup
    height, width = setup["frame"]
    told = f"{setup['suite']['name']} suite · {', '.join(setup['scenes'])} · {width} × {height}"
    told += " · starts and walks held out from training" if "next_psnr" in evaluation.figures else ""
    return f"<h1>{escape(title)}</h1>\n<p class='soft'>{escape(told)}</p>"


def notes(evaluations: Sequence[Evaluation]) -> str:
    """What is to be known beside the figures of one evaluation or several."""
    lines = dict.fromkeys(note for evaluation in evaluations for note in evaluation.notes)
    return "\n".join(f"<p class='soft'>{escape(note)}</p>" for note in lines)


def curve(figures: Figures, name: str) -> dict[int, Estimate]:
    """The figure over its steps, for all scenes."""
    return {step: figures[f"{name}@{step}"][ALL] for step in steps_of(figures, name)}


def table_of(head: str, rows: Sequence[str]) -> str:
    """A table of figures that a narrow screen can scroll."""
    return (
        f'<div class="scroll"><table class="wide"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def group_row(group: str, columns: int) -> str:
    """The heading of a group of figures."""
    return f'<tr><th class="group" colspan="{columns}">{escape(group)}</th></tr>'


def figure_row(key: str, cells: str) -> str:
    """One figure: its title, which tells its definition, and its cells."""
    d = DEFINITIONS[name_of(key)]
    title = escape(title_of(key)) + (f" <small>{escape(d.unit)}</small>" if d.unit else "")
    return f'<tr><th title="{escape(d.text)}">{title}</th>{cells}</tr>'


def interval(estimate: Estimate | None) -> str:
    """The figure with half of its interval's width, small."""
    if estimate is None:
        return ""
    value, _, spread = cell(estimate, interval=True).partition(" ")
    return f"{value} <small>{spread}</small>" if spread else value


def definitions(keys: Sequence[str]) -> str:
    """What the figures mean."""
    names = dict.fromkeys(name_of(key) for key in in_order({key: {} for key in keys}))
    rows = []
    for name in names:
        d = DEFINITIONS[name]
        title = d.title.format("n") + (f", {d.unit}" if d.unit else "")
        rows.append(f"<dt>{escape(title)}</dt><dd>{escape(d.text)}</dd>")
    return f"<h2>What the figures mean</h2><details><summary>Definitions</summary><dl>{''.join(rows)}</dl></details>"


def how(evaluation: Evaluation) -> str:
    """Suite, seeds, sampler and versions."""
    rows = [
        f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(_plain(value))}</dd>"
        for name, value in evaluation.setup.items()
        if value is not None
    ]
    rows.append("<dt>intervals</dt><dd>95%, percentiles of 2000 bootstrap samples of walks, probes or starts</dd>")
    return f"<h2>How {escape(evaluation.label)} was measured</h2><dl>{''.join(rows)}</dl>"


def image(frame: Frame, told: str) -> str:
    """The picture in the page itself."""
    picture = Image.fromarray(frame)
    picture.thumbnail((_MOST_PIXELS, _MOST_PIXELS), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return f'<img alt="{escape(told)}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_plain(v)}" for name, v in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
