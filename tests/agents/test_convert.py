"""Recorded walks as datasets: what was seen and done in the window, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import minari
import numpy as np
import pygame
import pytest

from agents.__main__ import main
from tests import hand as hands
from tests.agents import test_rollout
from tests.agents.test_rollout import loaded
from tests.hand import Hand
from tests.world.toy_world import ToyWorld, toy_scene
from world.journal import Journal
from world.plan import Plan, Step
from world.recording import frame_digest, save_walk
from world.scripting import parse_plan
from world.session import Session, save_session
from world.types import Frame

NAME = "toy-sessions-toy-v0"
toy = test_rollout.toy  # the fixtures
at_window = hands.at_window


def converted(path: Path, out: Path, *flags: str) -> minari.MinariDataset:
    assert main(["convert", str(path), *flags, "--out", str(out)]) == 0
    [dataset] = (folder.name for folder in out.iterdir())
    return loaded(out, dataset)


def done(dataset: minari.MinariDataset) -> list[list[str]]:
    """The names of each episode's moves."""
    return [[toy_scene().actions[a].name for a in e.actions] for e in dataset.iterate_episodes()]


def session(tmp_path: Path, script: str) -> tuple[Path, Plan]:
    scene = toy_scene()
    plan = parse_plan(script, scene.actions)
    path = tmp_path / "session.json"
    save_session(path, Session("toy", scene, plan, (1, 2)))
    return path, plan


def test_a_session_becomes_an_episode_for_every_end_and_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, plan = session(tmp_path, "forward wait left fork back*2 return right")
    dataset = converted(path, tmp_path / "out")
    assert " s: session 1 of 1: 1 of " in capsys.readouterr().err
    names = done(dataset)
    assert names == [["forward", "left", "back", "back"], ["forward", "left", "right"]] * 2
    (state,) = ToyWorld().reset([toy_scene()], [2])
    for name in names[3]:
        (state,) = ToyWorld().step([state], [next(a for a in toy_scene().actions if a.name == name)])
    assert frame_digest(dataset[3].observations[-1]) == frame_digest(state.frame)
    assert len(plan.steps) == 7


def test_a_session_with_sentences_becomes_text_of_a_space_that_holds_it(tmp_path: Path) -> None:
    long = "open the door, " * 15 + "then wait"
    path, _ = session(tmp_path, f"forward /open the door - then 'déjà vu'?/ /{long}/")
    dataset = converted(path, tmp_path / "out")
    actions = [list(e.actions) for e in dataset.iterate_episodes()]
    assert actions == [["move forward", "open the door - then 'déjà vu'?", long]] * 2
    assert all(text in dataset.action_space for row in actions for text in row)


def test_a_journal_of_the_window_and_the_log_of_a_walk_become_episodes(tmp_path: Path) -> None:
    (states, scene) = ToyWorld().reset([toy_scene()], [3]), toy_scene()
    for action in scene.actions[1:4]:
        states += ToyWorld().step(states[-1:], [action])
    moves = list(scene.actions[1:4])
    *_, log = save_walk(tmp_path, ToyWorld().spec, states, moves)
    digests = tuple(frame_digest(state.frame) for state in states)
    steps = (Step(0, None), *(Step(i, move) for i, move in enumerate(moves)))
    Journal(tmp_path / "window.ndjson", Session("toy", scene, Plan(steps, 3), (3,), digests=(digests,))).close()
    for path in (log, tmp_path / "window.ndjson"):
        (episode,) = converted(path, tmp_path / f"of {path.stem}").iterate_episodes()
        assert tuple(frame_digest(frame) for frame in episode.observations) == digests


@pytest.fixture
def seen(at_window: Callable[..., Hand], toy: None) -> Callable[[], Hand]:
    """A window on the scene that `convert` will find again."""
    return lambda: at_window(scene=toy_scene())


def filmed(hand: Hand) -> Path:
    """Ends the recording; its log."""
    hand.tap(pygame.K_r)
    hand.until(lambda: hand.player.saved)
    return hand.player.saved[-1].with_suffix(".ndjson")


def frames_of(hand: Hand, *places: int) -> list[Frame]:
    return [hand.game.shelf.frame(place) for place in places]


def test_a_film_that_begins_in_the_middle_and_is_undone_becomes_what_was_seen(
    seen: Callable[[], Hand], tmp_path: Path
) -> None:
    hand = seen()
    hand.walk(pygame.K_DOWN, pygame.K_BACKSPACE)  # a branch that the film does not know
    hand.walk(pygame.K_UP, pygame.K_LEFT, pygame.K_r, pygame.K_UP, pygame.K_BACKSPACE, pygame.K_BACKSPACE, pygame.K_UP)
    hand.walk(pygame.K_BACKSPACE, pygame.K_LEFT)  # where it was before: nothing new
    dataset = converted(filmed(hand), tmp_path / "out")
    assert done(dataset) == [["forward", "left", "forward"], ["forward", "forward"]]
    for episode, places in zip(dataset.iterate_episodes(), [(0, 2, 3, 4), (0, 2, 5)], strict=True):
        assert np.array_equal(episode.observations, frames_of(hand, *places))


def test_what_another_walk_would_come_of_is_not_written(
    seen: Callable[[], Hand], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hand = seen()
    hand.walk(pygame.K_UP, pygame.K_r, pygame.K_LEFT)
    hand.game.anchor(hand.game.shelf.frame(0), hand.state.pose)  # a picture that no log holds
    hand.walk(pygame.K_UP)
    log, out = filmed(hand), tmp_path / "out"
    assert main(["convert", str(log), "--out", str(out)]) == 2
    assert "4 of 5 pictures came out as recorded: it did not match" in capsys.readouterr().err
    assert not out.exists() or not list(out.iterdir())
    assert done(converted(log, out, "--model", "toy")) == [["forward", "left", "forward"]]
    [journal] = (tmp_path / "sessions").iterdir()
    with journal.open("a") as file:
        file.write('{"step": 5, "par')  # as a process that is killed leaves it
    dataset = converted(journal, tmp_path / "of the journal")
    assert done(dataset) == [["forward", "left"], ["forward"]]
    assert np.array_equal(dataset[1].observations, frames_of(hand, 3, 4))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("pose", {"x": 1.0, "y": 0.0, "yaw": 0.0, "pitch": 0.0, "object_yaw": 0.0}, "elsewhere than at the start"),
        ("start", "cellar", "has no start 'cellar'"),
        ("step", 4, "its line 2 is step 4 and follows step 0"),
    ],
)
def test_a_log_that_lacks_the_way_to_its_beginning_is_refused(
    key: str, value: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states = ToyWorld().reset([toy_scene()], [3])
    states += ToyWorld().step(states, [toy_scene().actions[1]])
    *_, log = save_walk(tmp_path, ToyWorld().spec, states, [toy_scene().actions[1]])
    header, step = map(json.loads, log.read_text().splitlines())
    (step if key == "step" else header)[key] = value
    log.write_text(f"{json.dumps(header)}\n{json.dumps(step)}\n")
    assert main(["convert", str(log), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_what_tells_of_no_walk_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "walk.ndjson").write_text('{"kind": "bagel-world walk"}\n')
    assert main(["convert", str(tmp_path / "walk.ndjson"), "--out", str(tmp_path / "out")]) == 2
    assert "tells of no walk ('scene')" in capsys.readouterr().err
