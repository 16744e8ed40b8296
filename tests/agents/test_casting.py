"""Who can be cast: a person at the window, whose keys are pygame's own events, and a policy from its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest

from agents.__main__ import main
from agents.base import Stopped
from agents.human import HumanAgent
from agents.ppo import POLICY, train
from agents.recipe import Recipe
from tests.agents.test_rollout import hidden, loaded
from tests.world.toy_world import ToyWorld, toy_scene
from world import models, window
from world.player import HOLD_DELAY
from world.types import Action, Scene, State

SCENE = toy_scene()
NAMES = [action.name for action in SCENE.actions]
FRAME = SCENE.starts[0].frame
KEYS = [pygame.K_UP, pygame.K_LEFT, pygame.K_a]  # as in play.py
MOVES = ["forward", "left", "strafe_left"]


class Watched(ToyWorld):
    """What a person looks at: a key of KEYS is tapped when the walk has come so far; the window is closed where
    `patience` steps were made in all."""

    patience = 10_000

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        tap(KEYS[0])
        return super().reset(scenes, seeds)

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        (after,) = super().step(states, actions)
        Watched.patience -= 1
        tap(KEYS[after.step % len(KEYS)])
        if not Watched.patience:
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        return [after]


def load(address: str, **settings: Any) -> Watched:
    return Watched()


def load_scene(address: str) -> Scene:
    return toy_scene(address)


def tap(key: int) -> None:
    for kind in (pygame.KEYDOWN, pygame.KEYUP):
        pygame.event.post(pygame.event.Event(kind, key=key))


@pytest.fixture(autouse=True)
def display(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setitem(models.MODELS, "toy", f"{__name__}:load")
    monkeypatch.setattr(models, "SCENES", f"{__name__}:load_scene")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(Watched, "patience", Watched.patience)
    pygame.display.init()  # so that events can be posted before the window is there
    yield
    pygame.display.quit()


def human(out: Path, episodes: int) -> list[str]:
    rollout = ["rollout", "--agent", "human", "--model", "toy", "--scene", "toy", "--steps", "3"]
    return [*rollout, "--episodes", str(episodes), "--out", str(out)]


def walked(out: Path) -> list[list[str]]:
    return [[NAMES[a] for a in episode.actions] for episode in loaded(out, "toy-human-toy-v0").iterate_episodes()]


def test_a_person_walks_by_the_keys_of_the_window(tmp_path: Path) -> None:
    assert main(human(tmp_path, 2)) == 0
    assert walked(tmp_path) == [MOVES, MOVES]
    assert not pygame.display.get_init()  # the window is closed


def test_closing_the_window_ends_the_run_and_keeps_whole_episodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watched, "patience", 4)
    assert main(human(tmp_path, 3)) == 0
    told = capsys.readouterr()
    assert "the window was closed: 1 of 3 episodes are kept; the same command goes on" in told.err
    assert "load_dataset" not in told.out
    assert not pygame.display.get_init()
    assert hidden(tmp_path) == [".toy-human-toy-v0.partial"]
    pygame.display.init()
    assert main(human(tmp_path, 3)) == 0
    assert walked(tmp_path) == [MOVES] * 3
    assert hidden(tmp_path) == []


def test_the_newest_key_counts_a_held_one_repeats_and_others_do_nothing() -> None:
    person = HumanAgent(SCENE)
    for key in (pygame.K_DOWN, pygame.K_F5, pygame.K_RIGHT, pygame.K_b):
        tap(key)
    assert person.act(FRAME, {}) == NAMES.index("right")
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_w))
    begun = pygame.time.get_ticks()
    assert [person.act(FRAME, {}) for _ in range(2)] == [NAMES.index("forward")] * 2
    assert pygame.time.get_ticks() - begun >= 1000 * HOLD_DELAY - 1
    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_w))
    tap(pygame.K_SPACE)
    assert person.act(FRAME, {}) == NAMES.index("stay")
    tap(pygame.K_ESCAPE)
    with pytest.raises(Stopped):
        person.act(FRAME, {})
    person.close()


def test_a_person_sees_what_an_agent_sees() -> None:
    person, shown = HumanAgent(SCENE), []
    goal = np.full_like(FRAME, 200)
    for seen in (FRAME, {"frame": FRAME, "goal": goal}, {"frame": FRAME, "goal": goal, "words": "go there"}):
        tap(pygame.K_UP)
        person.act(seen, {"step": 1, "action": "turn left"})
        shown.append(window.shown())
    alone, beside, told = shown
    assert (beside[200, -200] == 200).all()
    assert not (alone[200, -200] == 200).all()
    assert not np.array_equal(beside, told)
    person.close()


def test_keys_of_ones_own_are_known(tmp_path: Path) -> None:
    path = tmp_path / "config" / "bagel-world" / "keys.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[keys]\nforward = ["i"]\n')
    person = HumanAgent(SCENE)
    tap(pygame.K_i)
    assert person.act(FRAME, {}) == NAMES.index("forward")
    person.close()


def test_a_policy_is_cast_by_its_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy = Recipe("RotateObject", "toy", "toy", places="named", num_envs=3, num_steps=4, batch_size=4, num_epochs=1)
    train(toy, tmp_path, 12, model=ToyWorld())
    rollout = ["rollout", "--agent", "ppo", "--model", "toy", "--scene", "toy", "--steps", "3", "--episodes", "2"]
    rollout += ["--checkpoint", str(tmp_path / POLICY), "--out", str(tmp_path / "out")]
    assert main(rollout) == 2
    assert "no goal is shown: use --env BagelWorld/RotateObject-v0" in capsys.readouterr().err
    assert main([*rollout, "--env", "BagelWorld/RotateObject-v0", "--out", str(tmp_path / "turned")]) == 0
    episodes = list(loaded(tmp_path / "turned", "toy-ppo-toy-v0").iterate_episodes())
    assert {NAMES[a] for episode in episodes for a in episode.actions} <= set(toy.moves)
    assert len(episodes) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent", "ppo"], "--agent ppo and --checkpoint policy.safetensors go together"),
        (["--checkpoint", "p"], "--agent ppo and --checkpoint policy.safetensors go together"),
        (["--agent", "ppo", "--checkpoint", "nowhere"], "no policy at 'nowhere'"),
        (["--agent", "human", "--goal", "x"], "--agent human neither has a goal nor thinks"),
        (["--agent", "human", "--cluster", "here"], "a person sits at one machine: leave out --cluster"),
    ],
)
def test_roles_that_do_not_fit_get_one_sentence(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollout", "--model", "toy", "--scene", "toy", *arguments, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
