"""A world as a Gymnasium environment: `gymnasium.make("BagelWorld/Walk-v0", model="tiny", scene="studio")`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces

from world.episodes import Episode, Episodes, Outcome
from world.goals import Goal
from world.models import load, load_scene
from world.moves import ActionType, action_space, to_action
from world.settings import SamplerConfig
from world.types import Action, Frame, Scene, State, WorldModel

if TYPE_CHECKING:
    from world.window import FrameWindow


class Walks:
    """Walks without a goal, as episodes: the reward is 0, and nothing ends them. The verbs are those of `Episodes`."""

    def __init__(self, model: WorldModel, action_type: ActionType) -> None:
        self.model = model
        self._action_type: ActionType = action_type

    def begin(
        self, scenes: Sequence[Scene], rngs: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> list[Episode]:
        """One walk a scene, from a start drawn by its generator, or from the one named by options["start"]."""
        chosen = dict(options or {})
        if unknown := chosen.keys() - {"start"}:
            raise ValueError(f"unknown reset options {sorted(unknown)}: there is only 'start'")
        drawn = [scene.starts[int(rng.integers(len(scene.starts)))] for scene, rng in zip(scenes, rngs, strict=True)]
        seeds = [int(rng.integers(2**31)) for rng in rngs]
        starts = [chosen.get("start", start) for start in drawn]
        begun = self.model.reset([s.starting_at(start) for s, start in zip(scenes, starts, strict=True)], seeds)
        return [Episode(state, Goal()) for state in begun]

    def step(self, episodes: Sequence[Episode], actions: Sequence[Action]) -> Outcome:
        """The walks after one action each. One step of the model."""
        after = self.model.step([episode.state for episode in episodes], actions)
        walked = [Episode(state, Goal(), action.text) for state, action in zip(after, actions, strict=True)]
        return Outcome(walked, np.zeros(len(walked)), np.zeros(len(walked), bool))

    def actions(self, scene: Scene) -> spaces.Space[Any]:
        """What may be chosen in `scene`."""
        return action_space(self._action_type, scene, self.model.spec)

    def space(self, scene: Scene) -> spaces.Space[Any]:
        """What is observed in `scene`: the frame."""
        return spaces.Box(0, 255, self.model.reset([scene], [0])[0].frame.shape, np.uint8)

    def observation(self, episode: Episode) -> Frame:
        """The frame; a copy: what callers write into it must not reach the state."""
        return np.array(episode.state.frame)

    def info(self, episode: Episode) -> dict[str, Any]:
        """Pose, step and words of the last action."""
        return {"pose": asdict(episode.state.pose), "step": episode.state.step, "action": episode.words}

    def close(self) -> None:
        """Nothing was opened here."""


class WorldEnv(gymnasium.Env[Any, Any]):
    """What all environments over one world share: the world and its scene, the window, and how a step is made.

    model: an address for `world.models.load` or a WorldModel. A given model stays open at `close`; hand it to this
        class rather than to `gymnasium.make`, which copies its arguments.
    scene: an address for `world.models.load_scene`, or a Scene.
    episodes_in: makes what the environment is about, in the opened world.
    sampler: how a model loaded here samples; None means its own default.

    Raises WorldError when the model or the scene cannot be had, ValueError for a wrong argument.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 6}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self,
        model: str | WorldModel,
        scene: str | Scene,
        episodes_in: Callable[[WorldModel], Episodes | Walks],
        sampler: SamplerConfig | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is human, rgb_array or None, got {render_mode!r}")
        self.scene = load_scene(scene) if isinstance(scene, str) else scene
        self.render_mode = render_mode
        self.episode: Episode | None = None  # None before the first reset
        self._window: FrameWindow | None = None
        with ExitStack() as opened:  # closes it all where the arguments are refused
            if isinstance(model, str):
                model = opened.enter_context(closing(load(model, sampler=sampler)))
            self.model = model
            self.episodes = opened.enter_context(closing(episodes_in(model)))
            self.action_space = self.episodes.actions(self.scene)
            self.observation_space = self.episodes.space(self.scene)
            self._opened = opened.pop_all()

    @property
    def state(self) -> State | None:
        """Where the episode is; None before the first reset."""
        return None if self.episode is None else self.episode.state

    def action_of(self, action: Any) -> Action:
        """What `action` means here. Raises ValueError where it means nothing."""
        return to_action(action, self.action_space, self.scene)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode drawn by the seed, or as the options say."""
        super().reset(seed=seed)
        (self.episode,) = self.episodes.begin([self.scene], [self.np_random], options)
        self._show()
        return self.episodes.observation(self.episode), self.episodes.info(self.episode)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One action of the space."""
        if self.episode is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        outcome = self.episodes.step([self.episode], [self.action_of(action)])
        (self.episode,) = outcome.episodes
        self._show()
        told = self.episodes.observation(self.episode), float(outcome.rewards[0]), bool(outcome.done[0])
        return *told, False, self.episodes.info(self.episode)

    def render(self) -> Frame | None:  # pyright: ignore[reportIncompatibleMethodOverride] (Gymnasium's generic is wider)
        """The frame for "rgb_array"; for "human" the window is kept up to date by reset and step."""
        if self.state is None:
            raise gymnasium.error.ResetNeeded("call reset before render")
        if self.render_mode == "rgb_array":
            return np.array(self.state.frame)
        self._show()
        return None

    def close(self) -> None:
        """Closes the window, and what was loaded here."""
        if self._window is not None:
            self._window.close()
            self._window = None
        self._opened.close()

    def _show(self) -> None:
        if self.render_mode != "human" or self.state is None:
            return
        if self._window is None:
            from world.window import FrameWindow

            self._window = FrameWindow(f"{self.scene.name} · {self.model.spec.model}", self.metadata["render_fps"])
        self._window.show(self.state.frame)


class BagelWorldEnv(WorldEnv):
    """A walk: every step is one action, the observation is the frame seen after it, uint8 [H, W, 3].

    A walk has no goal: the reward is always 0.0 and nothing terminates (`world.task_env` has goals); a time limit comes
    as `max_episode_steps` of `gymnasium.make`. Equal seeds give equal walks, bit for bit on the same machine.
    `info` holds "pose" (x and y in m, yaw, pitch and object_yaw in degrees), "step" and "action", the words.

    model, scene, sampler: as in `WorldEnv`. `reset` draws one of the scene's starts; `reset(options={"start": "door"})`
        chooses one by name.
    action_type: "discrete" numbers `scene.actions`; "continuous" is metres and degrees, turned into words
        (`world.moves.action_space`); "text" takes any sentence; what it says of moves and numbers
        (`world.words.understand`) is what the pose follows. The simulator follows these numbers too, and other words
        change nothing there.
    """

    def __init__(
        self,
        model: str | WorldModel = "tiny",
        scene: str | Scene = "studio",
        action_type: ActionType = "discrete",
        sampler: SamplerConfig | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(model, scene, lambda opened: Walks(opened, action_type), sampler, render_mode)
