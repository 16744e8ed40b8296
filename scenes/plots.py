"""Line plots in SVG: inline, in the colours of the page that holds them, or as a picture that stands alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from scenes.estimates import Estimate
from scenes.figures import cell
from scenes.page import style

_WIDTH, _HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 12, 12, 30  # around the plot itself
_DIGIT = 7.5  # width of a digit
_TITLE, _LEGEND = 28, 20  # heights of a picture's title, and of a line of its legend


@dataclass(frozen=True)
class Line:
    """One curve: step -> estimate. `look` is a class of the page's style; `band` shows the intervals."""

    label: str
    points: dict[int, Estimate]
    look: str
    band: bool = False


def line_plot(title: str, unit: str, lines: Sequence[Line]) -> str:
    """HTML of the curves over the steps on a log2 axis, and what is which. Empty where there are no points."""
    lines = [line for line in lines if line.points]
    if not lines:
        return ""
    legend = "".join(f'<li class="{line.look}">{escape(line.label)}</li>' for line in lines)
    shown = f"{escape(title)}{f' <small>{escape(unit)}</small>' if unit else ''}"
    svg = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{_curves(unit, lines)}</svg>'
    return f'<figure><figcaption>{shown}</figcaption>{svg}<ul class="legend">{legend}</ul></figure>'


def line_picture(title: str, unit: str, lines: Sequence[Line]) -> str:
    """The same as a file of SVG, title and legend in it; there must be points."""
    height = _HEIGHT + _TITLE + _LEGEND * len(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">',
        f"<title>{escape(title)}</title><style>\n{style()}</style>",
        f'<rect width="{_WIDTH}" height="{height}" rx="10" fill="var(--card)"/>',
        f'<text x="{_LEFT}" y="22">{escape(title)} ({escape(unit)})</text>',
        f'<g transform="translate(0 {_TITLE})">{_curves(unit, lines)}</g>',
    ]
    for i, line in enumerate(lines):
        y = _TITLE + _HEIGHT + _LEGEND * i
        parts.append(f'<line class="curve {line.look}" x1="{_LEFT}" x2="{_LEFT + 20}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT + 28}" y="{y + 4}">{escape(line.label)}</text>')
    return "\n".join((*parts, "</svg>\n"))


def _curves(unit: str, lines: Sequence[Line]) -> str:
    """What is inside the SVG: axes and curves."""
    steps = sorted({step for line in lines for step in line.points})
    values = [v for line in lines for e in line.points.values() for v in ((e.low, e.high) if line.band else (e.value,))]
    ticks = _ticks(min(values), max(values))
    low, high = min(ticks[0], *values), max(ticks[-1], *values)

    def x(step: int) -> float:
        span = math.log2(steps[-1] / steps[0]) or 1.0
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (math.log2(step / steps[0]) / span if len(steps) > 1 else 0.5)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / ((high - low) or 1.0))

    parts: list[str] = []
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="y" x="{_LEFT - 6}" y="{y(tick) + 4:.1f}">{tick:g}</text>')
    for step in _apart(steps, x):
        middle = min(x(step), _WIDTH - _DIGIT * len(str(step)) / 2)
        parts.append(f'<text class="x" x="{middle:.1f}" y="{_HEIGHT - 10}">{step}</text>')
    for line in lines:
        parts += _drawn(line, x, y, unit)
    return "".join(parts)


def _drawn(line: Line, x, y, unit: str) -> list[str]:
    points = sorted(line.points.items())
    parts = []
    if line.band and len(points) > 1:
        edge = [f"{x(s):.1f},{y(e.high):.1f}" for s, e in points]
        edge += [f"{x(s):.1f},{y(e.low):.1f}" for s, e in reversed(points)]
        parts.append(f'<polygon class="band {line.look}" points="{" ".join(edge)}"/>')
    path = " ".join(f"{x(s):.1f},{y(e.value):.1f}" for s, e in points)
    parts.append(f'<polyline class="curve {line.look}" points="{path}"/>')
    for s, e in points:
        told = f"{line.label}, step {s}: {cell(e, interval=True)} {unit}"
        parts.append(
            f'<circle class="dot {line.look}" cx="{x(s):.1f}" cy="{y(e.value):.1f}" r="3">'
            f"<title>{escape(told)}</title></circle>"
        )
    return parts


def _apart(steps: Sequence[int], x: Callable[[int], float]) -> list[int]:
    """The steps whose numbers do not run into each other, the last one among them."""
    shown = [steps[-1]]
    for step in reversed(steps):
        if x(shown[0]) - x(step) >= _DIGIT * (len(str(step)) + len(str(shown[0]))) / 2 + _DIGIT:
            shown.insert(0, step)
    return shown


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from below `low` to above `high`."""
    rough = max(high - low, 1e-6) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(k * step, 10) for k in range(first, max(last, first + 1) + 1)]
