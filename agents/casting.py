"""Who acts, as values: what a command line, another process or another machine needs to make the same agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agents.base import Agent, Choice
from agents.likeness import Eyes, likeness
from agents.planner import PlannerAgent, Search
from agents.simple import RandomAgent, ScriptedAgent
from agents.vlm import VisionAgent
from world.pictures import read_picture
from world.scripting import parse_script
from world.types import Frame, Scene, WorldModel

Name = Literal["random", "script", "planner", "vlm"]


@dataclass(frozen=True)
class Role:
    """An agent before it acts. Raises ValueError where something is missing or too much."""

    name: Name = "random"
    script: str = ""  # script alone
    goal: str = ""  # planner: the path of a picture; vlm: a sentence
    thinks_with: str = ""  # planner, vlm: the address of a model; "": the environment's own
    eyes: Eyes = "pixels"  # planner alone
    search: Search = field(default_factory=Search)  # planner alone

    def __post_init__(self) -> None:
        if (self.name == "script") != bool(self.script):
            raise ValueError("--agent script and --script TEXT go together")
        if self.name == "planner" and not self.goal:
            raise ValueError("--agent planner wants --goal PICTURE.png, what should be seen at the end")
        if self.name == "vlm" and not self.goal:
            raise ValueError('--agent vlm wants --goal "A SENTENCE", what it should look for')
        if self.name in ("random", "script") and (self.goal or self.thinks_with):
            raise ValueError(f"--agent {self.name} neither has a goal nor thinks: leave out --goal and --thinks-with")


def caster(role: Role, scene: Scene, mind: WorldModel) -> Callable[[int], Agent]:
    """Makes the agent of an episode from its seed; `mind` is what it thinks with. Raises ValueError, SceneError."""
    if role.name == "script":
        choices = script_choices(role, scene)
        return lambda seed: ScriptedAgent(choices)
    if role.name == "planner":
        goal = _picture(role.goal)
        reward = likeness(role.eyes, goal, mind, scene)
        return lambda seed: PlannerAgent(mind, scene, reward, role.search, seed)
    if role.name == "vlm":
        return lambda seed: VisionAgent(mind, scene, role.goal, seed)
    return lambda seed: RandomAgent(len(scene.actions), seed)


def script_choices(role: Role, scene: Scene) -> list[Choice]:
    """The script as choices: numbers, or sentences where it has one that is no move of the scene."""
    walk = parse_script(role.script, scene.actions)
    if any(not action.name for action in walk):
        return [action.text for action in walk]
    return [scene.actions.index(action) for action in walk]


def needs_words(role: Role, scene: Scene) -> bool:
    """Whether it acts by sentences (action_type "text")."""
    return role.name == "script" and isinstance(script_choices(role, scene)[0], str)


def _picture(path: str) -> Frame:
    import numpy as np

    return np.array(read_picture(Path(path)))
