"""The simulator against itself is perfect; a world in which nothing moves is not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from scenes import report
from scenes.evaluate import ALL, CopyLastFrame, measure
from scenes.library import load_scene
from scenes.metrics import BEST_PSNR
from scenes.simulator import SimulatorWorld
from scenes.trial import Suite, Trial, prepare
from world.types import Frame, WorldSpec

pytestmark = pytest.mark.gl

SUITE = Suite(walks=2, steps=6, probes=6, gallery=20, loops=1, long_walks=1, long_steps=12)


def quiet(text: str) -> None:
    assert text


@pytest.fixture(scope="module")
def world() -> Iterator[SimulatorWorld]:
    world = SimulatorWorld(size=32)
    yield world
    world.close()


@pytest.fixture(scope="module")
def trial(world: SimulatorWorld) -> Trial:
    return prepare(world, [load_scene("studio"), load_scene("tabletop")], SUITE, quiet)


class Coder(CopyLastFrame):
    """Shows an autoencoder that loses nothing."""

    @property
    def spec(self) -> WorldSpec:
        return WorldSpec("coder", frozenset({"reconstruct"}))

    def reconstruct(self, frames: Sequence[Frame]) -> list[Frame]:
        return list(frames)


def test_the_simulator_against_itself_is_perfect(world: SimulatorWorld, trial: Trial) -> None:
    measures, dreams = measure(world, trial, quiet)
    assert measures.next_psnr[ALL].value == measures.moving_psnr[ALL].value == BEST_PSNR
    assert measures.action_accuracy[ALL].value == measures.retrieval[ALL].value == 1
    assert {t: row[ALL].value for t, row in measures.drift.items()} == {1: BEST_PSNR, 5: BEST_PSNR, 10: BEST_PSNR}
    assert all(row[ALL].value == pytest.approx(1) for row in measures.sharpness.values())
    assert measures.loop["tabletop"].value > 45
    assert measures.frames_per_second > 0
    assert all(gate.passed for gate in report.gates(measures))
    assert len(dreams) == 4


def test_a_frozen_world_is_not(trial: Trial) -> None:
    measures, _ = measure(CopyLastFrame(), trial, quiet)
    assert measures.moving_psnr[ALL].value < 25
    assert measures.action_accuracy[ALL].value < 0.5
    assert measures.accuracy_by_action["stay"].value == 1
    assert measures.accuracy_by_action["left"].value == 0
    assert not all(gate.passed for gate in report.gates(measures))


def test_an_autoencoder_is_measured_where_the_model_shows_one(trial: Trial) -> None:
    measures, _ = measure(Coder(), trial, quiet)
    assert measures.autoencoder[ALL].value == BEST_PSNR
    assert measures.autoencoder_sharpness["studio"].value == pytest.approx(1)
    assert report.gates(measures)[0].name.startswith("autoencoder")


def test_each_action_is_asked_about_equally_often(trial: Trial) -> None:
    asked = [p.action.name for p in trial.probes if p.scene == "studio"]
    assert max(map(asked.count, asked)) - min(map(asked.count, asked)) <= 1


def test_equal_trials_are_drawn_twice(world: SimulatorWorld, trial: Trial) -> None:
    again = prepare(world, [load_scene("studio")], SUITE, quiet)
    assert [w.actions for w in again.walks] == [w.actions for w in trial.walks[:2]]
    assert np.array_equal(again.walks[0].states[-1].frame, trial.walks[0].states[-1].frame)


def test_the_report_is_written_and_printed(tmp_path: Path, trial: Trial) -> None:
    measures, dreams = measure(CopyLastFrame(), trial, quiet)
    evaluation = report.Evaluation(CopyLastFrame().spec, "quick", SUITE, measures, measures)
    paths = report.save(tmp_path, evaluation, dreams)
    assert [path.name for path in paths] == ["evaluation.json", "studio.png", "tabletop.png"]
    content = json.loads(paths[0].read_text())
    assert content["measures"]["next_psnr"]["all"]["count"] == 24
    assert {gate["name"] for gate in content["gates"]} >= {"action accuracy", "next frame, dB"}
    assert report.table(evaluation).row_count > 8
    assert report.actions_table(measures).row_count > 8
