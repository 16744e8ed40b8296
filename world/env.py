"""A world as a Gymnasium environment: `gymnasium.make("BagelWorld/Walk-v0", model="tiny", scene="studio")`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces

from world.models import load, load_scene
from world.moves import ActionType, Choice, action_space, to_action
from world.settings import SamplerConfig
from world.types import Action, Frame, Scene, State, WorldModel

if TYPE_CHECKING:
    from world.window import FrameWindow


class WorldEnv(gymnasium.Env[Any, Any]):
    """What all environments over one world share: the world and its scene, the window, and what actions mean.

    model: an address for `world.models.load` or a WorldModel. A given model stays open at `close`; hand it to this
        class rather than to `gymnasium.make`, which copies its arguments.
    scene: an address for `world.models.load_scene`, or a Scene.
    sampler: how a model loaded here samples; None means its own default.

    Raises WorldError when the model or the scene cannot be had, ValueError for a wrong argument.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 6}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self,
        model: str | WorldModel,
        scene: str | Scene,
        action_type: ActionType,
        sampler: SamplerConfig | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is human, rgb_array or None, got {render_mode!r}")
        self.scene = load_scene(scene) if isinstance(scene, str) else scene
        self.model = load(model, sampler=sampler) if isinstance(model, str) else model
        self._owns_model = isinstance(model, str)
        self.render_mode = render_mode
        self.state: State | None = None  # None before the first reset
        self._window: FrameWindow | None = None
        self.action_space = action_space(action_type, self.scene, self.model.spec)

    def action_of(self, action: Any) -> Action:
        """What `action` means here. Raises ValueError where it means nothing."""
        return to_action(action, self.action_space, self.scene)

    def render(self) -> Frame | None:  # pyright: ignore[reportIncompatibleMethodOverride] (Gymnasium's generic is wider)
        """The frame for "rgb_array"; for "human" the window is kept up to date by reset and step."""
        if self.state is None:
            raise gymnasium.error.ResetNeeded("call reset before render")
        if self.render_mode == "rgb_array":
            return np.array(self.state.frame)
        self._show()
        return None

    def close(self) -> None:
        """Closes the window, and the model if it was loaded here."""
        if self._window is not None:
            self._window.close()
            self._window = None
        if self._owns_model:
            self.model.close()

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
        super().__init__(model, scene, action_type, sampler, render_mode)
        shape = self.model.reset([self.scene], [0])[0].frame.shape
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, dict[str, Any]]:
        """Begins a walk at a start drawn by the seed, or at the one named by options["start"]."""
        super().reset(seed=seed)
        options = options or {}
        if unknown := options.keys() - {"start"}:
            raise ValueError(f"unknown reset options {sorted(unknown)}: there is only 'start'")
        drawn = self.scene.starts[int(self.np_random.integers(len(self.scene.starts)))]
        state_seed = int(self.np_random.integers(2**31))
        scene = self.scene.starting_at(options.get("start", drawn))
        (self.state,) = self.model.reset([scene], [state_seed])
        self._show()
        return self._observation(self.state), self._info(self.state, "")

    def step(self, action: Choice) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """One action: its number in `scene.actions`, or its words where action_type is "text"."""
        if self.state is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        move = self.action_of(action)
        (self.state,) = self.model.step([self.state], [move])
        self._show()
        return self._observation(self.state), 0.0, False, False, self._info(self.state, move.text)

    def _observation(self, state: State) -> Frame:
        return np.array(state.frame)  # a copy: what callers write into it must not reach the state

    def _info(self, state: State, words: str) -> dict[str, Any]:
        return {"pose": asdict(state.pose), "step": state.step, "action": words}
