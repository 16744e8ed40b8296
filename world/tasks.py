"""What there is to do in a world, and by what it is judged: the same definitions in a dream and in the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from world import goals, looks, rewards
from world.goals import Goal, Goals
from world.looks import Remembered
from world.moves import ActionType
from world.rewards import AtLeast, Ending, Reward

TaskName = Literal["Explore", "ReachGoal", "FindObject", "RotateObject"]
JudgedBy = Literal["pose", "picture", "judge"]
PlacesKind = Literal["named", "free", "held_out"]

OBSERVED = ("frame", "goal", "words")
PIXELS = "pixels"  # the eyes of nobody: the baseline

_WAYS: dict[TaskName, tuple[JudgedBy, ...]] = {  # the first is the default
    "Explore": ("picture", "pose"),
    "ReachGoal": ("pose", "picture"),
    "FindObject": ("pose", "judge"),
    "RotateObject": ("pose", "picture"),
}
_SHOWN: dict[TaskName, tuple[str, ...]] = {
    "Explore": ("frame",),
    "ReachGoal": ("frame", "goal"),
    "FindObject": ("frame", "words"),
    "RotateObject": ("frame", "goal"),
}
_ALIKE = 0.95  # the cosine from which on pictures count as the same where nobody calibrated
_SURE = 0.5  # the probability from which on a judge's answer is a yes where nobody calibrated
_BONUS, _COST, _LIKENESS = 1.0, 0.02, 2.0


@dataclass(frozen=True)
class TaskSettings:
    """What is done, seen and rewarded.

    action_type: "discrete", "continuous" or "text", as in `world.moves.action_space`.
    observe: what an observation holds, of "frame", "goal" (a picture) and "words"; the frame alone comes as an array,
        more as a Dict; None is what the task needs.
    judged_by: "pose" (exact in the simulator; in a dream it is dead-reckoned and knows no walls), "picture" (likeness
        to the goal's picture, or to what was seen) or "judge" (BAGEL's yes or no); None is the task's own: pictures
        for Explore, poses for all others.
    eyes: by whose features pictures are compared, and who judges: "pixels", or the address of a BAGEL, which is loaded
        here where the world itself is another one, or served elsewhere.
    places: where episodes begin: at the scene's "named" starts, at any "free" place (which needs the simulator), or at
        places "held_out" from training.
    threshold: the likeness or probability that is enough; None is the one calibrated for the scene.
    Raises ValueError naming what is wrong.
    """

    task: TaskName
    action_type: ActionType = "discrete"
    observe: tuple[str, ...] | None = None
    judged_by: JudgedBy | None = None
    eyes: str = PIXELS
    places: PlacesKind = "named"
    threshold: float | None = None

    def __post_init__(self) -> None:
        _one_of("task", self.task, get_args(TaskName))
        _one_of("judged_by", self.way, _WAYS[self.task], f" in {self.task}")
        _one_of("places", self.places, get_args(PlacesKind))
        _one_of("action_type", self.action_type, get_args(ActionType))
        unknown = [name for name in self.shown if name not in OBSERVED]
        if unknown or "frame" not in self.shown:
            raise ValueError(f"observe names frame, goal, words, and always frame, got {self.observe!r}")
        if self.way == "judge" and self.eyes == PIXELS:
            raise ValueError("pixels cannot judge: give eyes='tiny' or the directory of a BAGEL that answers")
        if self.threshold is not None and not -1.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold is a likeness or a probability, from -1 to 1, got {self.threshold}")

    @property
    def way(self) -> JudgedBy:
        """By what this task is judged here."""
        return self.judged_by or _WAYS[self.task][0]

    @property
    def shown(self) -> tuple[str, ...]:
        """What an observation holds, in the order of OBSERVED."""
        asked = _SHOWN[self.task] if self.observe is None else tuple(self.observe)
        return tuple(sorted(dict.fromkeys(asked), key=lambda name: (*OBSERVED, name).index(name)))

    @property
    def sees(self) -> bool:
        """Whether rewards look at pictures at all."""
        return self.way != "pose"


@dataclass(frozen=True)
class Rules:
    """What a step is worth, and when the episode is over."""

    reward: Reward
    ending: Ending


def rules(settings: TaskSettings, wanted: Goals, eyes: Remembered, thresholds: Sequence[float] = ()) -> Rules:
    """The rules for rows with these goals (one for all, or one a row); so for thresholds, where they are given.

    A step earns what it brings nearer (2 x the gain in likeness, or the metres), 1 for the goal, and costs 0.02.
    """
    if settings.task == "Explore":
        new = goals.NewPlace(wanted) if settings.way == "pose" else looks.NewPicture(eyes, wanted)
        return Rules(rewards.Total((rewards.Level(new), rewards.StepCost(_COST))), rewards.AnyOf(()))
    enough = tuple(thresholds) or (default_threshold(settings),)
    if settings.way == "picture":
        measure, scale = looks.Similarity(eyes, wanted), _LIKENESS
        ending: Ending = AtLeast(measure, enough)
    elif settings.way == "judge":
        measure, scale = looks.Judgement(eyes, wanted), 1.0
        ending = AtLeast(measure, enough)
    else:
        measure, scale = _by_pose(settings.task, wanted), 1.0
        ending = truth(settings.task, wanted)
    gain = rewards.Gain(measure, scale)
    return Rules(rewards.Total((gain, rewards.Bonus(ending, _BONUS), rewards.StepCost(_COST))), ending)


def truth(task: TaskName, wanted: Goals) -> Ending:
    """Whether the task is done by the poses, whatever it is judged by: how agents are measured in the simulator."""
    if task == "FindObject":
        return goals.Facing(wanted)
    if task == "RotateObject":
        return goals.Aligned(wanted)
    return goals.Within(wanted) if task == "ReachGoal" else rewards.AnyOf(())


def knows(task: TaskName, goal: Goal) -> bool:
    """Whether `truth` can tell about this goal."""
    return goal.thing is not None if task == "FindObject" else goal.pose is not None


def default_threshold(settings: TaskSettings) -> float:
    """What is enough where neither the caller nor a calibration says so."""
    if settings.threshold is not None:
        return settings.threshold
    return _SURE if settings.way == "judge" else _ALIKE


def _by_pose(task: TaskName, wanted: Goals) -> rewards.Measure:
    measures = {"FindObject": goals.Approach, "RotateObject": goals.Alignment, "ReachGoal": goals.Nearness}
    return measures[task](wanted)


def _one_of(what: str, value: object, known: Sequence[str], where: str = "") -> None:
    if value not in known:
        raise ValueError(f"{what} is one of {', '.join(known)}{where}, got {value!r}")
