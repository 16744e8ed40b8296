"""How well an agent does a task: held-out episodes, success by the poses, SPL and way, with confidence intervals.

N episodes, B of them at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.recipe import Recipe
from scenes.estimates import Estimate, mean
from scenes.simulator import SimulatorWorld
from world import tasks
from world.episodes import Episode, Episodes
from world.goals import distance
from world.tasks import PlacesKind
from world.types import Action, Pose, Scene, State, WorldModel
from world.ways import fewest_moves

TITLES = {"success": "success", "spl": "SPL", "steps": "moves", "metres": "way, m", "reward": "return"}

_BATCH = 64
_SEED = 10_000  # of the first episode that is scored


class Player(Protocol):
    """Plays many episodes at once."""

    def act_all(self, observations: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
        """The number of each row's next action in the scene's vocabulary, from what the task shows, and "scene",
        "info" (the environment's) and "number" (which of the episodes it is)."""
        ...


class Chance:
    """Baseline: every move is drawn, from the moves that the policy has."""

    def __init__(self, numbers: NDArray[np.int64], seed: int = 0) -> None:
        self._numbers, self._rng = numbers, np.random.default_rng(seed)

    def act_all(self, observations: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
        return self._rng.choice(self._numbers, len(observations))


class CopyLast:
    """Baseline: an episode's first move is drawn, and then copied to its end."""

    def __init__(self, numbers: NDArray[np.int64], seed: int = 0) -> None:
        self._numbers, self._rng = numbers, np.random.default_rng(seed)

    def act_all(self, observations: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
        return np.array([self._act(seen["scene"], seen["info"]["action"]) for seen in observations], np.int64)

    def _act(self, scene: Scene, last: str) -> int:
        texts = [action.text for action in scene.actions]
        return texts.index(last) if last else int(self._rng.choice(self._numbers))


@dataclass(frozen=True)
class Score:
    """What N episodes came to."""

    success: NDArray[np.float64]  # 0 or 1
    steps: NDArray[np.float64]  # made, the limit where the goal was not reached
    metres: NDArray[np.float64]  # walked
    fewest: NDArray[np.float64]  # moves that a perfect agent needs
    reward: NDArray[np.float64]  # of the episode

    @property
    def spl(self) -> NDArray[np.float64]:
        """Success weighted by path length (Anderson et al. 2018), in moves: 1 for a success by the shortest way."""
        return self.success * self.fewest / np.maximum(np.maximum(self.steps, self.fewest), 1)

    def estimates(self) -> dict[str, Estimate]:
        """Means over the episodes with 95% intervals."""
        return {name: mean(getattr(self, name)) for name in TITLES}


def cell(estimate: Estimate) -> str:
    """The value and half of its 95% interval."""
    return f"{estimate.value:.2f} ± {(estimate.high - estimate.low) / 2:.2f}"


def score(
    player: Player, model: WorldModel, scene: Scene, recipe: Recipe, num: int, places: PlacesKind = "held_out"
) -> Score:
    """Plays `num` episodes of the recipe's task at such places; success is by the poses, whatever trained.

    They are the same episodes for every player and every model. In a dream poses are dead-reckoned, and know
    no walls: only what is scored in the simulator is the truth.
    """
    episodes = Episodes(model, recipe.settings(places))
    floor = model if isinstance(model, SimulatorWorld) else SimulatorWorld()
    parts = []
    try:
        for first in range(0, num, _BATCH):
            numbers = range(first, min(first + _BATCH, num))
            parts.append(_play(player, episodes, floor, scene, numbers, recipe))
    finally:
        episodes.close()
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Score(*columns)


def _play(
    player: Player,
    episodes: Episodes,
    floor: SimulatorWorld,
    scene: Scene,
    numbers: Sequence[int],
    recipe: Recipe,
) -> tuple[NDArray[np.float64], ...]:
    """The columns of a Score for one batch; rows that have reached their goal rest."""
    now = episodes.begin([scene] * len(numbers), [np.random.default_rng(_SEED + number) for number in numbers])
    fewest = np.array([_fewest(episode, floor, recipe) for episode in now], np.float64)
    success, steps, metres, reward = (np.zeros(len(now)) for _ in range(4))
    for _ in range(recipe.max_episode_steps):
        going = [i for i in range(len(now)) if not success[i]]
        if not going:
            break
        told = [{"scene": scene, "info": episodes.info(now[i]), "number": numbers[i]} for i in going]
        seen = [episodes.observation(now[i]) | more for i, more in zip(going, told, strict=True)]
        actions = [scene.actions[int(number)] for number in player.act_all(seen)]
        outcome = episodes.step([now[i] for i in going], actions)
        for i, after, gained in zip(going, outcome.episodes, outcome.rewards, strict=True):
            metres[i] += distance(now[i].state.pose, after.state.pose)
            steps[i] += 1
            reward[i] += gained
            success[i] = _is_done(after.state, after, recipe)
            now[i] = after
    return success, steps, metres, fewest, reward


def _is_done(state: State, episode: Episode, recipe: Recipe) -> bool:
    return bool(tasks.truth(recipe.task, (episode.goal,))([state], [Action("")], [state])[0])


def _fewest(episode: Episode, floor: SimulatorWorld, recipe: Recipe) -> int:
    """By the floor plan: through walls nobody goes."""
    state = episode.state
    moves = [action for action in state.scene.actions if action.name in recipe.moves]

    def is_there(pose: Pose) -> bool:
        return _is_done(State(state.scene, state.frames[-1:], (), pose, 0), episode, recipe)

    def slide(pose: Pose, action: Action) -> Pose:
        return floor.slide(state.scene, pose, action)

    return fewest_moves(state.pose, moves, slide, is_there, recipe.max_episode_steps)
