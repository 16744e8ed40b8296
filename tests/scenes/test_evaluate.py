"""The simulator against itself is perfect; a world with one fault shows that fault, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from scenes import consistency, control, drift, locate, occlusion, report
from scenes.dreaming import CopyLastFrame
from scenes.estimates import ALL
from scenes.evaluate import measure, measure_copying
from scenes.library import load_scene
from scenes.metrics import BEST_PSNR
from scenes.simulator import SimulatorWorld
from scenes.trial import Suite, Trial, prepare, times
from world.types import Action, Frame, Pose, Scene, State, WorldSpec

pytestmark = pytest.mark.gl

SUITE = Suite(walks=2, steps=5, probes=4, gallery=20, loops=1, located=1, long_walks=1, long_steps=8)


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


class Faulty:
    """The simulator, but what is asked of it, or what it shows, is changed."""

    def __init__(
        self,
        world: SimulatorWorld,
        hears: Callable[[Action], Action] = lambda action: action,
        shows: Callable[[State], Frame] = lambda state: state.frame,
    ) -> None:
        self.world, self.hears, self.shows = world, hears, shows

    @property
    def spec(self) -> WorldSpec:
        return WorldSpec("faulty", frozenset())

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        return self.world.reset(scenes, seeds)

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        after = self.world.step(states, [self.hears(action) for action in actions])
        return [replace(state, frames=(*state.frames[:-1], self.shows(state))) for state in after]

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        return self.world.ask(states, question)

    def close(self) -> None:
        return None


def test_the_simulator_against_itself_is_perfect(world: SimulatorWorld, trial: Trial) -> None:
    measured = measure(world, trial, None, quiet)
    value = {key: row[ALL].value for key, row in measured.figures.items()}
    assert {value[k] for k in value if k.startswith(("next_p", "moving", "drift_psnr", "forced_p"))} == {BEST_PSNR}
    assert value["action_accuracy"] == value["drift_ssim@4"] == value["retrieval@4"] == 1
    assert (value["sharpness@4"], value["size_m"], value["size_deg"]) == pytest.approx((1, 1, 1), abs=0.02)
    assert value["size_error_m"] < 0.01
    assert value["brightness@4"] == value["saturation@4"] == 0
    assert value["full_turn"] > 45
    assert value["square"] > 45
    assert value["path"] > 45
    assert value["full_turn_halfway"] < 25
    assert (value["still"], value["inverse"]) == pytest.approx((BEST_PSNR, BEST_PSNR), abs=2)
    assert value["object_same@16"] == value["object_there@16"] == 1
    assert value["object_color@16"] < 0.5
    assert value["half_life"] == 4  # the last step that all walks reached
    assert value["frames_per_second"] > 0
    assert all(gate.passed for gate in report.gates(measured.figures))
    assert [d.walk.scene for d in measured.dreams] == ["studio"] * 2 + ["tabletop"] * 2
    assert [turn.scene for turn in measured.turns] == ["studio", "tabletop"]


def test_a_frozen_world_is_not(trial: Trial) -> None:
    figures = measure_copying(trial)
    assert figures["moving_psnr"][ALL].value < 25
    assert figures["action_accuracy"][ALL].value < 0.5
    assert figures["size_m"][ALL].value == 0
    assert figures["size_error_m"][ALL].value == pytest.approx(0.3)
    assert figures["full_turn_halfway"][ALL].value == BEST_PSNR
    assert figures["pose_error_m@4"][ALL].value > 0.1
    assert not all(gate.passed for gate in report.gates(figures))
    assert "frames_per_second" not in figures


def test_a_world_that_hears_left_for_right_is_confused(world: SimulatorWorld, trial: Trial) -> None:
    swapped = Faulty(world, hears=lambda a: replace(a, yaw=-a.yaw))
    figures, confusion = control.measure(swapped, trial.probes)
    left, right = confusion.names.index("left"), confusion.names.index("right")
    forward = confusion.names.index("forward")
    assert confusion.share(left, right) == confusion.share(right, left) == confusion.share(forward, forward) == 1
    assert figures["action_accuracy"][ALL].value < 1


def test_a_world_that_goes_half_as_far_is_told_so(world: SimulatorWorld, trial: Trial) -> None:
    figures, _ = control.measure(Faulty(world, hears=lambda a: times(a, 0.5)), trial.probes)
    assert figures["size_m"][ALL].value == pytest.approx(0.5, abs=0.1)
    assert figures["size_deg"][ALL].value == pytest.approx(0.5, abs=0.1)
    assert figures["size_error_m"][ALL].value == pytest.approx(0.15, abs=0.05)


def test_a_world_that_turns_too_far_does_not_close_its_turns(world: SimulatorWorld, trial: Trial) -> None:
    figures, _ = consistency.measure(Faulty(world, hears=lambda a: replace(a, yaw=1.1 * a.yaw)), trial.loops[:1])
    assert figures["full_turn"][ALL].value < 30
    assert figures["there_and_back"][ALL].value > 45


def test_a_world_that_fades_is_told_by_its_brightness(world: SimulatorWorld, trial: Trial) -> None:
    faded = Faulty(world, shows=lambda state: (state.frame * 0.8).astype(np.uint8))
    figures, _ = consistency.measure(faded, trial.loops[:1])
    assert figures["still_brightness"][ALL].value < -5
    assert abs(figures["still_saturation"][ALL].value) < 2
    dreams = drift.walk_along(faded, trial.walks[:2])
    assert drift.measure(dreams, trial)["brightness@4"][ALL].value < -5


def test_a_world_that_swaps_the_object_does_not_keep_it(world: SimulatorWorld, trial: Trial) -> None:
    def another(state: State) -> Frame:
        scene = state.scene
        others = sorted(start.name for start in scene.starts)
        other = others[(others.index(scene.starts[0].name) + 1) % len(others)]
        return world.view(scene.starting_at(replace(scene.starts[0], name=other)), [state.pose])[0]

    figures = occlusion.measure(Faulty(world, shows=another), trial.sightings[:2])
    assert figures["object_same@8"][ALL].value == 0
    assert figures["object_there@8"][ALL].value == 1
    assert figures["object_color@8"][ALL].value > 2


def test_a_world_that_loses_the_object_is_told_from_one_that_swaps_it(world: SimulatorWorld, trial: Trial) -> None:
    def nothing(state: State) -> Frame:
        empty = replace(state.scene.starts[0], name="nothing")
        return world.view(state.scene.starting_at(empty), [state.pose])[0]

    figures = occlusion.measure(Faulty(world, shows=nothing), trial.sightings[:1])
    assert figures["object_there@8"][ALL].value == 0


def test_a_frame_is_located_where_it_was_taken(world: SimulatorWorld, trial: Trial) -> None:
    walk = trial.walks[0]
    expected, scene = walk.states[4].pose, walk.states[4].scene
    true = expected.moved(Action("", forward=-0.3, yaw=15.0))
    [frame] = world.view(scene, [true])
    found = locate.locate(world, scene, frame, expected, locate.shrunk(trial.galleries[walk.scene]))
    assert np.hypot(found.x - true.x, found.y - true.y) < 0.12
    assert abs(found.yaw - true.yaw) < 5


def test_a_true_walk_is_located_on_itself(world: SimulatorWorld, trial: Trial) -> None:
    figures = locate.measure(drift.walk_along(world, trial.walks[:1]), trial, world)
    assert figures["pose_error_m@4"][ALL].value == figures["pose_error_deg@4"][ALL].value == 0
    assert figures["pose_near@4"][ALL].value == 1


def test_an_autoencoder_is_measured_where_the_model_shows_one(trial: Trial) -> None:
    figures = measure(Coder(), trial, None, quiet).figures
    assert figures["autoencoder"][ALL].value == figures["ceiling_psnr@4"][ALL].value == BEST_PSNR
    assert figures["autoencoder_sharpness"]["studio"].value == pytest.approx(1)
    assert report.gates(figures)[0].name.startswith("autoencoder")


def test_each_action_is_asked_about_equally_often(trial: Trial) -> None:
    asked = [p.action.name for p in trial.probes if p.scene == "studio"]
    assert max(map(asked.count, asked)) - min(map(asked.count, asked)) <= 1


def test_equal_trials_are_drawn_twice(world: SimulatorWorld, trial: Trial) -> None:
    again = prepare(world, [load_scene("studio")], replace(SUITE, gallery=2, loops=0), quiet)
    assert [w.actions for w in again.walks] == [w.actions for w in trial.walks[:2]]
    assert np.array_equal(again.walks[0].states[-1].frame, trial.walks[0].states[-1].frame)


def test_longer_walks_begin_as_shorter_ones_and_are_probed_at_the_same_places(world: SimulatorWorld) -> None:
    scene = load_scene("studio")
    short, long = (prepare(world, [scene], Suite(1, steps, 2, 2, 0, 0), quiet) for steps in (50, 52))
    assert long.walks[0].actions[:50] == short.walks[0].actions
    assert [(p.state.step, p.action) for p in long.probes] == [(p.state.step, p.action) for p in short.probes]


def test_closed_ways_begin_where_nothing_is_in_the_way(world: SimulatorWorld, trial: Trial) -> None:
    for scene in trial.loops:
        for way in consistency.ways(scene):
            pose = scene.starts[0].pose
            for action in way.actions:
                assert world.slide(scene, pose, action) == pose.moved(action)
                pose = pose.moved(action)


def test_a_picture_has_the_figures_that_need_no_truth() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    start = load_scene("studio").starts[0]
    scene = Scene("photo", "a photo", (replace(start, name="picture", pose=Pose(), frame=frame),))
    trial = prepare(SimulatorWorld(32), [scene], SUITE, quiet)
    measured = measure(Coder(), trial, None, quiet)
    assert {"full_turn", "inverse", "path", "still", "autoencoder", "seconds_alone"} <= measured.figures.keys()
    assert not {"next_psnr", "drift_psnr@1", "object_same@8"} & measured.figures.keys()
    assert measured.confusion is None
    assert report.gates(measured.figures) == []


def test_walks_through_a_scene_with_layouts_are_each_in_another_one_and_found_among_its_own_places(
    world: SimulatorWorld,
) -> None:
    trial = prepare(world, [load_scene("maze")], replace(SUITE, walks=3, loops=2), quiet)
    places = [walk.place for walk in trial.walks]
    assert len(set(places)) == 3
    assert set(places) == trial.galleries.keys()
    assert len({scene.starts[0].name for scene in trial.loops}) == 2
    figures = measure(world, trial, None, quiet).figures
    assert figures["retrieval@4"]["maze"].value == figures["action_accuracy"]["maze"].value == 1
    assert figures["unrelated_psnr"].keys() == {ALL, "maze"}
