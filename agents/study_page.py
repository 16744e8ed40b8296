"""A study as one page: the table, the learning curves, and how dream and truth rank the same policies."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from agents.ppo import read_curve
from agents.study import Plan, Result, run_folder
from scenes.estimates import Estimate, mean
from scenes.page import html, table_of
from scenes.plots import Line, line_picture, line_plot
from world.files import atomic_write_text

_AGENTS = {
    "dream": "trained in the dream",
    "truth": "trained in the simulator",
    "chance": "random moves",
    "copying": "copying the last move",
}
_MEASURES = {
    "success": ("success", "share of the episodes in which the goal was reached"),
    "spl": ("SPL", "success weighted by path length, in moves: 1 is always, and by the shortest way"),
    "steps": ("moves", "made in an episode; the limit where the goal was not reached"),
    "metres": ("way, m", "walked in an episode"),
}
_LOOKS = {"dream": "c0", "truth": "c1"}


def write_page(path: Path, plan: Plan, result: Result) -> None:
    """Writes the page, and its curves as a picture beside it (curves.svg); each appears whole or not at all."""
    out, recipe = path.parent, plan.recipe
    title = f"{recipe.task} in {recipe.scene}: learnt in a dream, scored in the truth"
    told = (
        f"{len(plan.seeds)} seeds · {result.steps} steps a run · {plan.episodes} held-out episodes a score · dream "
        f"{recipe.model} · reward by {recipe.judged_by}"
    )
    lines = [_line(out, kind, plan.seeds) for kind in ("dream", "truth")]
    plot = "success while learning, each in its own world", "share", lines
    share = f"Of the success of training in the simulator, training in the dream has {figure(result.share)}."
    ranks = f"Rank correlation of the returns of {len(result.true_returns)} snapshots: {result.rank_correlation:.2f}."
    atomic_write_text(path.with_name("curves.svg"), line_picture(*plot))
    atomic_write_text(
        path,
        html(
            title,
            [
                f"<h1>{escape(title)}</h1>\n<p class='soft'>{escape(told)}</p>",
                table_of("".join(f'<th title="{escape(d)}">{n}</th>' for n, d in _MEASURES.values()), _rows(result)),
                f"<p>{share} {ranks}</p>",
                "<h2>Learning</h2>",
                f'<div class="plots">{line_plot(*plot)}</div>',
                _ranking(result),
                "<p class='soft'>Intervals: 95%, bootstrap over seeds. In a dream success is dead-reckoned.</p>",
            ],
        ),
    )


def progress_of(plan: Plan, out: Path, kind: str) -> tuple[int, float]:
    """Of the runs of a kind, how many steps each has made so far, and the success of its last episodes: the means."""
    curves = [read_curve(run_folder(out, kind, seed)) for seed in plan.seeds]
    last = np.array([(curve[-1].steps, curve[-1].success) if curve else (0, 0.0) for curve in curves])
    return int(last[:, 0].mean()), float(last[:, 1].mean())


def figure(estimate: Estimate) -> str:
    """A value and its interval, in words."""
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _rows(result: Result) -> list[str]:
    return [
        f"<tr><th>{escape(name)}</th>"
        + "".join(f"<td>{figure(result.table[kind][measure])}</td>" for measure in _MEASURES)
        + "</tr>"
        for kind, name in _AGENTS.items()
    ]


def _line(out: Path, kind: str, seeds: Sequence[int]) -> Line:
    """The mean of the seeds' curves at the steps that all of them have."""
    curves = [{point.steps: point for point in read_curve(run_folder(out, kind, seed))} for seed in seeds]
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    points = {steps: mean(np.array([curve[steps].success for curve in curves])) for steps in _few(shared)}
    return Line(_AGENTS[kind], points, _LOOKS[kind], band=True)


def _few(steps: Sequence[int]) -> list[int]:
    """About a dozen of the steps, evenly spread on a log axis."""
    wanted = np.geomspace(steps[0], steps[-1], 12) if steps else []
    return sorted({min(steps, key=lambda s: abs(s - w)) for w in wanted})


def _ranking(result: Result) -> str:
    pairs = zip(result.dream_returns, result.true_returns, strict=True)
    rows = [f"<tr><th>{k}</th><td>{d:.2f}</td><td>{t:.2f}</td></tr>" for k, (d, t) in enumerate(pairs, start=1)]
    head = "<th>return in the dream</th><th>return in the simulator</th>"
    return "<h2>The same policies in dream and truth</h2>" + table_of(head, rows)
