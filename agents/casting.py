"""Who acts, as values: what a command line, another process or another machine needs to make the same agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agents.base import Agent, Choice
from agents.learning import need_packages
from agents.planner import Eyes, PlannerAgent, Search, judged, likeness
from agents.simple import RandomAgent, ScriptedAgent
from agents.vlm import looking
from world.goals import Goal
from world.pictures import read_picture
from world.scripting import parse_script
from world.types import Scene, WorldModel

Name = Literal["random", "script", "planner", "vlm", "ppo", "human"]


@dataclass(frozen=True)
class Role:
    """An agent before it acts. Raises ValueError where something is missing or too much."""

    name: Name = "random"
    script: str = ""  # script alone
    checkpoint: str = ""  # ppo alone: the path of a policy.safetensors
    goal: str = ""  # planner: the path of a picture; vlm: a sentence; "": what the environment shows
    thinks_with: str = ""  # planner, vlm: the address of a model; "": the environment's own
    eyes: Eyes = "pixels"  # planner alone
    search: Search = field(default_factory=Search)  # planner alone

    def __post_init__(self) -> None:
        if (self.name == "script") != bool(self.script):
            raise ValueError("--agent script and --script TEXT go together")
        if (self.name == "ppo") != bool(self.checkpoint):
            raise ValueError("--agent ppo and --checkpoint policy.safetensors go together")
        if self.name not in ("planner", "vlm") and (self.goal or self.thinks_with):
            raise ValueError(f"--agent {self.name} neither has a goal nor thinks: leave out --goal and --thinks-with")


@dataclass(frozen=True)
class Cast:
    """Makes the agent of an episode from its seed; `close` ends what the agents share."""

    agent: Callable[[int], Agent]
    close: Callable[[], None] = lambda: None


def caster(role: Role, scene: Scene, mind: WorldModel) -> Cast:
    """The agents of a role; `mind` is what they think with. Raises ValueError, WorldError."""
    match role.name:
        case "script":
            choices = script_choices(role, scene)
            return Cast(lambda seed: ScriptedAgent(choices))
        case "planner":
            return Cast(_planners(role, scene, mind))
        case "vlm":
            return Cast(lambda seed: looking(mind, scene, role.goal, seed))
        case "ppo":
            need_packages()
            from agents.policy import PolicyAgent

            policy = PolicyAgent(role.checkpoint, scene)
            return Cast(lambda seed: policy)
        case "human":
            from agents.human import HumanAgent

            person = HumanAgent(scene)
            return Cast(lambda seed: person, person.close)
        case "random":
            return Cast(lambda seed: RandomAgent(len(scene.actions), seed))


def _planners(role: Role, scene: Scene, mind: WorldModel) -> Callable[[int], Agent]:
    def towards(goal: Goal, seed: int) -> PlannerAgent:
        reward = judged(goal.words, mind) if goal.frame is None else likeness(role.eyes, goal.frame, mind)
        return PlannerAgent(mind, scene, reward, role.search, seed)

    if not role.goal:
        return lambda seed: GoalSeeker(lambda goal: towards(goal, seed))
    goal = Goal(frame=np.array(read_picture(Path(role.goal))))
    return lambda seed: towards(goal, seed)


def script_choices(role: Role, scene: Scene) -> list[Choice]:
    """The script as choices: numbers, or sentences where it has one that is no move of the scene."""
    walk = parse_script(role.script, scene.actions)
    if any(not action.name for action in walk):
        return [action.text for action in walk]
    return [scene.actions.index(action) for action in walk]


def needs_words(role: Role, scene: Scene) -> bool:
    """Whether it acts by sentences (action_type "text")."""
    return role.name == "script" and isinstance(script_choices(role, scene)[0], str)


class GoalSeeker:
    """Plans towards the goal that the environment shows with the first frame of an episode: the picture, else the
    words."""

    def __init__(self, towards: Callable[[Goal], Agent]) -> None:
        self._towards = towards
        self._agent: Agent | None = None

    def act(self, observation: Any, info: dict[str, Any]) -> Choice:
        if self._agent is None:
            shown = observation if isinstance(observation, dict) else {}
            if not shown.keys() & {"goal", "words"}:
                raise ValueError("this environment shows no goal: give a picture, --goal PICTURE.png")
            self._agent = self._towards(Goal(shown.get("words", ""), shown.get("goal")))
        return self._agent.act(observation, info)
