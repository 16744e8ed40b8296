"""What an evaluation leaves behind, and how several stand side by side: built from figures made here."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from scenes import compare, evaluation_page, report
from scenes.consistency import Turn
from scenes.control import Confusion
from scenes.drift import Dream
from scenes.estimates import ALL, Estimate, Figures
from scenes.evaluate import Measured
from scenes.figures import DEFINITIONS
from scenes.library import load_scene
from scenes.plots import Line, line_picture, line_plot
from scenes.report import Evaluation
from scenes.trial import Walk
from world.errors import WorldError
from world.settings import PRESETS
from world.types import State

TRIAL = {"suite": {"name": "quick", "walks": 1}, "scenes": ["studio"], "frame": [128, 128], "first_seed": 2**30}


def figures(level: float) -> Figures:
    row = {key: Estimate(level, level - 0.1, level + 0.1, 9) for key in (ALL, "studio")}
    stepped = ("drift_psnr", "drift_ssim", "sharpness", "retrieval", "forced_psnr", "brightness", "pose_error_m")
    return {
        **{f"{name}@{step}": row for name in stepped for step in (1, 4)},
        **dict.fromkeys(("next_psnr", "moving_psnr", "action_accuracy", "half_life", "unrelated_psnr"), row),
    }


def evaluation(label: str, level: float) -> Evaluation:
    setup = report.setup({"model": label}, PRESETS["walk"], TRIAL)
    confusion = Confusion(("stay", "left"), ((3, 0), (1, 2)))
    return Evaluation(label, setup, figures(level), figures(level / 2), confusion)


@pytest.fixture
def measured() -> Measured:
    scene = load_scene("studio")
    frame = scene.starts[0].frame
    states = [State(scene, (frame,), (), scene.starts[0].pose, 0, step) for step in range(5)]
    dream = Dream(Walk("studio", tuple(states), scene.actions[:4]), dict.fromkeys((0, 1, 4), frame))
    return Measured(figures(1), None, (dream,), (Turn("studio", dict.fromkeys(range(25), frame)),))


def printed(table: object) -> str:
    text = io.StringIO()
    Console(file=text, width=120).print(table)
    return text.getvalue()


def test_json_is_read_again_as_it_was(tmp_path: Path, measured: Measured) -> None:
    before = evaluation("tiny", 0.9)
    paths = report.save(tmp_path, before, measured.dreams)
    assert [path.name for path in paths] == ["evaluation.json", "evaluation.csv", "studio.png"]
    assert report.read(tmp_path) == before
    content = json.loads(paths[0].read_text())
    assert content["measures"]["action_accuracy"]["all"]["value"] == 0.9
    assert [gate["passed"] for gate in content["gates"]] == [False, False, False, True, True]
    assert {"python", "numpy", "scikit-image"} <= content["setup"]["versions"].keys()


def test_csv_has_a_line_for_each_figure_and_scene(tmp_path: Path) -> None:
    report.save(tmp_path, evaluation("tiny", 0.9), [])
    rows = list(csv.DictReader(io.StringIO((tmp_path / "evaluation.csv").read_text())))
    assert len(rows) == 2 * 2 * len(figures(1))
    [row] = [r for r in rows if (r["model"], r["figure"], r["step"], r["scene"]) == ("tiny", "drift_psnr", "4", "all")]
    assert (row["unit"], row["value"], row["low"], row["count"]) == ("dB", "0.9", "0.8", "9")


@pytest.mark.parametrize("text", ["{", "{}", '{"format": 1}'])
def test_what_is_no_evaluation_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / report.FILE).write_text(text)
    with pytest.raises(WorldError, match="measure it again"):
        report.read(tmp_path)


def test_the_terminal_shows_figures_and_confusions() -> None:
    told = printed(report.table(evaluation("tiny", 0.9)))
    assert re.search(r"action accuracy +0\.90 ±0\.10 +0\.90 +0\.45", told)
    assert "SSIM, step" not in told
    told = printed(report.actions_table(Confusion(("stay", "left"), ((3, 0), (1, 2)))))
    assert re.search(r"left +0\.67 +3 +stay", told)


def elements(html: str) -> list[ElementTree.Element]:
    """The pages are well formed, so an XML reader reads them."""
    text = html.removeprefix("<!doctype html>\n").replace('<meta charset="utf-8">', "")
    text = re.sub(r"<(meta|img)([^>]*)>", r"<\1\2/>", text)
    return list(ElementTree.fromstring(text).iter())


def test_the_page_holds_all_it_needs_and_is_well_formed(measured: Measured) -> None:
    html = evaluation_page.evaluation_page(evaluation("<tiny> & co", 0.9), measured)
    tags = [element.tag for element in elements(html)]
    assert tags.count("img") == 2 * 3 + 9
    assert tags.count("svg") == 5
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "&lt;tiny&gt; &amp; co" in html
    assert escape(DEFINITIONS["action_accuracy"].text) in html
    assert "held out from training" in html


def test_a_page_without_truth_says_so() -> None:
    row = {ALL: Estimate(20.0, 19.0, 21.0, 2), "photo": Estimate(20.0, 19.0, 21.0, 2)}
    only = replace(evaluation("tiny", 1), figures={"full_turn": row}, baseline={"full_turn": row}, confusion=None)
    html = evaluation_page.evaluation_page(only, Measured({}, None, (), ()))
    assert elements(html)
    assert "Pictures have no truth" in html
    assert "held out from training" not in html


def test_a_plot_has_a_curve_for_each_line_and_none_without_points() -> None:
    points = {1: Estimate(30.0, 29.0, 31.0, 4), 64: Estimate(12.0, 10.0, 14.0, 4)}
    html = line_plot("drift", "dB", [Line("a", points, "c0", band=True), Line("b", {}, "c1")])
    assert (html.count("<polyline"), html.count("<polygon"), html.count("<li class")) == (1, 1, 1)
    assert line_plot("nothing", "", [Line("b", {}, "c1")]) == ""


def test_a_plot_is_a_picture_of_its_own() -> None:
    points = {step: Estimate(0.3, 0.2, 0.4, 5) for step in (512, 24576, 40000, 49152)}
    root = ElementTree.fromstring(line_picture("success", "share", [Line("dream", points, "c0", band=True)]))
    shown = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert shown[0] == "success (share)"
    assert shown[-1] == "dream"
    assert "49152" in shown
    assert "40000" not in shown  # its number would run into the last one


@pytest.mark.parametrize(
    ("key", "values", "best"),
    [
        ("next_psnr", [20, 25, 25], [1, 2]),
        ("pose_error_m@4", [0.5, 0.2], [1]),
        ("sharpness@4", [0.8, 1.1], [1]),
        ("brightness@4", [-3, 1], [1]),
        ("unrelated_psnr", [10, 11], []),
        ("next_psnr", [20, 20], []),
    ],
)
def test_the_best_of_a_row_is_what_its_definition_calls_better(key: str, values: list[float], best: list[int]) -> None:
    assert compare.best_of(key, [Estimate(v, v, v, 1) for v in values]) == best


def test_a_comparison_is_a_table_a_page_and_files(tmp_path: Path) -> None:
    several = [evaluation("tiny", 0.8), evaluation("runs/mine", 0.9)]
    paths = compare.save(tmp_path, several)
    assert [path.name for path in paths] == ["comparison.json", "comparison.csv", "comparison.html"]
    content = json.loads(paths[0].read_text())
    assert content["models"]["runs/mine"]["measures"]["next_psnr"]["all"]["value"] == 0.9
    html = paths[2].read_text(encoding="utf-8")
    assert [element.tag for element in elements(html)].count("svg") == 5
    assert '<td class="best">0.90' in html
    assert re.search(r"next frame, dB +0\.80 ±0\.10 +0\.90 ±0\.10 +0\.40", printed(compare.table(several)))


@pytest.mark.parametrize(
    "change",
    [lambda setup: {**setup, "scenes": ["garden"]}, lambda setup: {**setup, "suite": {"name": "full"}}],
    ids=["scenes", "suite"],
)
def test_other_trials_are_not_compared(change: Callable[[dict], dict]) -> None:
    one, other = evaluation("one", 0.8), evaluation("other", 0.9)
    other = replace(other, setup=change(other.setup))
    with pytest.raises(WorldError, match="other was measured with"):
        compare.need_one_trial([one, other], one.trial)


def test_turns_of_any_length_are_shown(measured: Measured) -> None:
    short = replace(measured, turns=(Turn("studio", dict.fromkeys(range(3), np.zeros((32, 48, 3), np.uint8))),))
    assert "360°" in evaluation_page.evaluation_page(evaluation("tiny", 0.9), short)
