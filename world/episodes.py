"""Episodes of a task as values: begun and stepped any number at a time, each batch one step of the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from gymnasium import spaces
from PIL import Image, ImageOps

from world import models, tasks
from world.goals import Goal, Goals, Thing, distance
from world.looks import Judge, Looks, Pixels, Remembered
from world.moves import MAX_TEXT, TEXT_CHARACTERS, action_space
from world.places import Draw, Places
from world.rewards import AtLeast, Flags, Values
from world.tasks import PIXELS, TaskSettings
from world.types import Action, Frame, Pose, Scene, State, WorldModel

_OPTIONS = {"Explore": (), "ReachGoal": ("goal",), "FindObject": ("find",), "RotateObject": ("goal",)}


@dataclass(frozen=True)
class Episode:
    """Where an episode is, and what it is about."""

    state: State
    goal: Goal
    words: str = ""  # of the last action


@dataclass(frozen=True)
class Outcome:
    """What a step of B episodes led to; `done` says which of them their task ended."""

    episodes: list[Episode]
    rewards: Values
    done: Flags


class Episodes:
    """A task in a world. A given model stays open at `close`."""

    def __init__(self, model: WorldModel, settings: TaskSettings) -> None:
        """Raises WorldError where the eyes cannot be had, ValueError where they cannot do what the settings ask."""
        self.model, self.settings = model, settings
        self._places = Places(settings.task, settings.places, model)
        self._seer: WorldModel | None = None
        self._eyes = self._open_eyes() if settings.sees else Remembered()
        self._things: dict[str, tuple[Thing, ...]] = {}
        self._thresholds: dict[str, float] = {}

    def begin(
        self, scenes: Sequence[Scene], rngs: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> list[Episode]:
        """One episode a scene, drawn by its generator; options may name "start" and "goal" or "find".

        "goal" is the name of a start, or a picture, uint8 [H, W, 3], of which nobody knows where it was taken; "find"
        is what is to be found, as a sentence. Raises ValueError for what the scene does not have, and for such a
        picture where poses judge.
        """
        chosen = dict(options or {})
        usable = ("start", *_OPTIONS[self.settings.task])
        if unknown := chosen.keys() - set(usable):
            raise ValueError(f"unknown reset options {sorted(unknown)}: {self.settings.task} has {', '.join(usable)}")
        draws = [self._draw(scene, rng, chosen) for scene, rng in zip(scenes, rngs, strict=True)]
        seeds = [int(rng.integers(2**31)) for rng in rngs]
        starts = [scene.starting_at(draw.start) for scene, draw in zip(scenes, draws, strict=True)]
        goals = [s.starting_at(draw.goal) for s, draw in zip(starts, draws, strict=True) if draw.goal]
        states = self.model.reset([*starts, *goals], [*seeds, *[0] * len(goals)])
        states, wanted = states[: len(draws)], iter(states[len(draws) :])
        turned = iter(self._turned([s for s, draw in zip(states, draws, strict=True) if draw.turns], draws))
        return [
            Episode(state, self._goal(state, draw, _of(draw, wanted, turned), chosen))
            for state, draw in zip(states, draws, strict=True)
        ]

    def step(self, episodes: Sequence[Episode], actions: Sequence[Action]) -> Outcome:
        """The episodes after one action each, what it was worth, and which it ended. One step of the model."""
        return self.judged(episodes, actions, self.model.step([episode.state for episode in episodes], actions))

    def judged(self, episodes: Sequence[Episode], actions: Sequence[Action], after: Sequence[State]) -> Outcome:
        """The same, where the states after the actions are known already."""
        before = [episode.state for episode in episodes]
        goals = tuple(episode.goal for episode in episodes)
        thresholds = [self.threshold(state.scene.name) for state in before]
        rules = tasks.rules(self.settings, goals, self._eyes, thresholds)
        rewards, done = rules.reward(before, actions, after), rules.ending(before, actions, after)
        if self.settings.task == "Explore":
            goals = tuple(replace(goal, seen=(*goal.seen, state)) for goal, state in zip(goals, after, strict=True))
        rows = zip(after, goals, actions, strict=True)
        return Outcome([Episode(state, goal, action.text) for state, goal, action in rows], rewards, done)

    def measure(self, goals: Goals, states: Sequence[State]) -> Values:
        """What the task's ending compares with its threshold, [B]: likeness, or the judge's probability.

        Raises ValueError where the task is judged by poses, or never ends.
        """
        ending = tasks.rules(self.settings, goals, self._eyes).ending
        if not isinstance(ending, AtLeast):
            raise ValueError(f"{self.settings.task} judged by {self.settings.way} compares nothing with a threshold")
        return ending.measure(states)

    def actions(self, scene: Scene) -> spaces.Space[Any]:
        """What may be chosen in `scene`."""
        return action_space(self.settings.action_type, scene, self.model.spec)

    def space(self, scene: Scene) -> spaces.Space[Any]:
        """What is observed in `scene`; raises ValueError where it has nothing for the task."""
        if self.settings.task != "FindObject":  # a sentence may come with reset
            self._places.check(scene, ())
        frame = spaces.Box(0, 255, self.model.reset([scene], [0])[0].frame.shape, np.uint8)
        known = {"frame": frame, "goal": frame, "words": spaces.Text(MAX_TEXT, min_length=0, charset=TEXT_CHARACTERS)}
        shown = {name: known[name] for name in self.settings.shown}
        return frame if list(shown) == ["frame"] else spaces.Dict(shown)

    def observation(self, episode: Episode) -> Any:
        """What is seen of an episode, as `space` says; copies, so that nothing written there reaches the world."""
        frame = episode.state.frame
        goal = np.zeros_like(frame) if episode.goal.frame is None else episode.goal.frame
        known = {"frame": np.array(frame), "goal": np.array(goal), "words": episode.goal.words}
        shown = {name: known[name] for name in self.settings.shown}
        return shown["frame"] if list(shown) == ["frame"] else shown

    def info(self, episode: Episode) -> dict[str, Any]:
        """Pose, step and words of the last action; "reached" by the poses, and "distance" to the goal in m, where it
        is known."""
        state, goal, task = episode.state, episode.goal, self.settings.task
        info: dict[str, Any] = {"pose": asdict(state.pose), "step": state.step, "action": episode.words}
        if task != "Explore" and tasks.knows(task, goal):
            there = goal.pose or (Pose(goal.thing.x, goal.thing.y) if goal.thing else state.pose)
            info["distance"] = distance(there, state.pose)
            info["reached"] = bool(tasks.truth(task, (goal,))([state], [Action("")], [state])[0])
        return info

    def close(self) -> None:
        """Frees what was opened here."""
        self._places.close()
        if self._seer is not None:
            self._seer.close()
            self._seer = None

    def _open_eyes(self) -> Remembered:
        if self.settings.eyes == PIXELS:
            return Remembered(Pixels())
        wanted = Judge if self.settings.way == "judge" else Looks
        seer: object = self.model
        if self.model.spec.model != self.settings.eyes or not isinstance(seer, wanted):  # eyes do not travel
            seer = self._seer = models.load(self.settings.eyes)
        if not isinstance(seer, wanted):
            self.close()
            raise ValueError(f"{self.settings.eyes!r} has no eyes of its own: give eyes='tiny' or a BAGEL directory")
        return Remembered(seer if isinstance(seer, Looks) else None, seer if isinstance(seer, Judge) else None)

    def _draw(self, scene: Scene, rng: np.random.Generator, chosen: Mapping[str, Any]) -> Draw:
        """An episode by the generator, or what was chosen instead; a choice costs no draw."""
        start = scene.starting_at(chosen["start"]).starts[0] if "start" in chosen else None
        goal, find = chosen.get("goal"), chosen.get("find")
        if goal is None and find is None:
            return self._places.draw(scene, rng, self._things_of(scene), start)
        start = start or scene.starts[int(rng.integers(len(scene.starts)))]
        if isinstance(goal, str):
            if self.settings.task != "ReachGoal":
                raise ValueError("the goal of RotateObject is a picture, uint8 [H, W, 3]")
            return Draw(start, scene.starting_at(goal).starts[0])
        return Draw(start, thing=next((t for t in self._things_of(scene) if t.words == find), None))

    def _goal(self, state: State, draw: Draw, wanted: State | None, chosen: Mapping[str, Any]) -> Goal:
        task = self.settings.task
        if task == "Explore":
            return Goal(seen=(state,))
        if task == "FindObject":
            return Goal(f"find {draw.thing.words if draw.thing else chosen.get('find', 'it')}", thing=draw.thing)
        words = "turn the object as in the picture" if task == "RotateObject" else "go to the place in the picture"
        if wanted is not None:
            return Goal(words, wanted.frame, wanted.pose)
        if not self.settings.sees:
            raise ValueError("nobody knows where this goal is: use judged_by='picture'")
        return Goal(words, _fitted(chosen.get("goal"), state.frame))

    def _turned(self, states: list[State], draws: Sequence[Draw]) -> list[State]:
        """What this very world shows after the objects were turned."""
        left = [draw.turns for draw in draws if draw.turns]
        while any(left):
            rows = [i for i, turns in enumerate(left) if turns]
            actions = [_turning(states[i].scene, left[i]) for i in rows]
            for i, state in zip(rows, self.model.step([states[i] for i in rows], actions), strict=True):
                states[i], left[i] = state, left[i] - (1 if left[i] > 0 else -1)
        return states

    def _things_of(self, scene: Scene) -> tuple[Thing, ...]:
        if scene.name not in self._things:
            self._things[scene.name] = models.load_things(scene)
        return self._things[scene.name]

    def threshold(self, scene: str) -> float:
        """What is enough there of what `measure` measures."""
        s = self.settings
        if not s.sees or s.threshold is not None:
            return tasks.default_threshold(s)
        if scene not in self._thresholds:
            found = models.load_threshold(scene, s.task, s.eyes if s.way == "picture" else f"judge {s.eyes}")
            self._thresholds[scene] = tasks.default_threshold(s) if found is None else found
        return self._thresholds[scene]


def _of(draw: Draw, wanted: Iterator[State], turned: Iterator[State]) -> State | None:
    """The state that shows what a draw wants."""
    return next(wanted) if draw.goal else next(turned) if draw.turns else None


def _turning(scene: Scene, turns: int) -> Action:
    return next(action for action in scene.actions if action.object_yaw * turns > 0)


def _fitted(picture: object, like: Frame) -> Frame:
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError("the goal is the name of a start or a picture, uint8 [H, W, 3]")
    if picture.shape == like.shape:
        return np.array(picture)
    return np.asarray(ImageOps.fit(Image.fromarray(picture), (like.shape[1], like.shape[0]), Image.Resampling.LANCZOS))
