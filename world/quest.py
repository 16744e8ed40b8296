"""A task at the window: what is wanted, what every step of the walk earned, and whether it is done.

The rules are those of the environments (`world.tasks`), so a person and a policy are paid alike.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from world.episodes import Episode, Episodes
from world.game import Game
from world.goals import Goal
from world.history import History
from world.jobs import for_a_person
from world.pictures import read_picture
from world.tasks import TaskSettings
from world.timeline import NOWHERE
from world.types import Action, Scene, State, WorldModel, wrap

_AT_ONCE = 8  # places that are judged in one job

Place: TypeAlias = tuple[int, bytes]  # a node and its state's digest: a frame that is drawn better is judged anew


@dataclass(frozen=True)
class Score:
    """How well it goes at one place of a walk."""

    goal: Goal = field(repr=False)
    progress: str  # how near it is, for a person; "" where that is not measured
    num_steps: int = 0  # that were judged, from the beginning to here
    reward: float = 0.0  # for the last one
    earned: float = 0.0  # for all of them
    reached: bool = False  # from the step on that did it; what comes after it earns nothing

    def __str__(self) -> str:
        done = "reached" if self.reached else "not reached" if self.progress else "walked"
        steps = f"{self.num_steps} step{'' if self.num_steps == 1 else 's'}"
        return f"{self.words}: {done} in {steps}, {self.earned:+.2f} earned{self.progress and ', ' + self.progress}"

    @property
    def just_reached(self) -> bool:
        """Whether the last step did it."""
        return self.reached and self.reward != 0

    @property
    def words(self) -> str:
        """What is wanted, as a sentence."""
        return self.goal.words or "see what was not seen yet"


@dataclass(frozen=True)
class _Wanted:
    """A place that is not judged yet, as the thread needs it."""

    place: Place
    before: Place | None  # None: a walk begins there
    action: Action | None  # None: a picture from elsewhere, which earns nothing
    state: State


class Quest:
    """The task of all walks of a game, each of which has a goal of its own."""

    def __init__(self, settings: TaskSettings, goal: str = "") -> None:
        """`goal` is a start's name, a picture's path or what is to be found; "" lets the seed draw."""
        if goal and settings.task == "Explore":
            raise ValueError(f"Explore is about all that is new: leave the goal {goal!r} out")
        self.settings = settings
        self.problem = ""  # why a walk is not judged any further, for a person
        self._lost = False  # whether that happened to this walk
        self._asked = goal
        self._episodes: Episodes | None = None
        self._begun: dict[bytes, Episode] = {}  # by the digest of the first state
        self._history: History | None = None
        self._scores: dict[Place, Score] = {}
        self._job: Future[dict[Place, Score]] | None = None

    def begin(self, model: WorldModel, scene: Scene, seed: int) -> State:
        """The first state of an episode, in the model's thread. Raises ValueError where the scene has no such task."""
        if self._episodes is None or self._episodes.model is not model:
            self.close()
            self._episodes = Episodes(model, self.settings)
        rng = np.random.default_rng(seed)
        [episode] = self._episodes.begin([scene], [rng], self._options(scene))
        [state] = model.reset([episode.state.scene], [seed])  # alone, as whoever walks the session again resets it
        seen = (_slim(state),) if episode.goal.seen else ()
        self._begun[state.digest()] = Episode(_slim(state), replace(episode.goal, seen=seen))
        return state

    def first(self, state: State) -> Score | None:
        """The score of a state that `begin` gave; None for any other."""
        episode = self._begun.get(state.digest())
        return episode and Score(episode.goal, self._progress(episode))

    def after(self, score: Score, before: State, action: Action | None, state: State) -> Score:
        """The score one step later: `action` led from `before`, whose score is given, to `state`."""
        if score.reached or self._episodes is None:
            return replace(score, reward=0.0)
        if action is None:
            return replace(score, reward=0.0, progress=self._progress(Episode(state, score.goal)))
        outcome = self._episodes.judged([Episode(before, score.goal)], [action], [_slim(state)])
        reward = float(outcome.rewards[0])
        return Score(
            outcome.episodes[0].goal,
            self._progress(outcome.episodes[0]),
            score.num_steps + 1,
            reward,
            score.earned + reward,
            bool(outcome.done[0]),
        )

    def at(self, game: Game) -> Score | None:
        """The score where one is; None while it is not known, and on a walk that has no goal."""
        here = game.timeline.here
        if game.history is not self._history or here == NOWHERE:
            return None
        return self._scores.get((here, game.history.nodes[here].state))

    def follow(self, game: Game) -> None:
        """Takes in what is judged and asks for what is missing on the way here; called every draw, never waits."""
        if game.history is not self._history:
            self._history, self._job, self._scores, self._lost = game.history, None, {}, False
        if self._job is not None and self._job.done():
            job, self._job = self._job, None
            if (error := job.exception()) is not None:
                why = for_a_person(error, self.settings.eyes)
                self.problem, self._lost = f"This walk is judged no further: {why}", True
                return
            self._scores |= job.result()
        if self._job is None and not self._lost and (wanted := self._wanted(game)):
            scores, shelf = dict(self._scores), game.shelf
            before = {w.before: shelf.state(w.before[0]) for w in wanted if w.before is not None}
            self._job = game.worker.run(lambda: self._judge(wanted, before, scores))

    def close(self) -> None:
        """Frees eyes and simulator, in the model's thread; may be called twice."""
        if self._episodes is not None:
            self._episodes.close()

    def _wanted(self, game: Game) -> list[_Wanted]:
        nodes, path = game.history.nodes, game.timeline.path()
        if not path or nodes[path[0]].state not in self._begun:
            return []
        places = [(node, nodes[node].state) for node in path]
        pairs = list(zip([None, *places], places, strict=False))
        missing = [(before, place) for before, place in pairs if place not in self._scores][:_AT_ONCE]
        return [_Wanted(at, before, nodes[at[0]].action, game.shelf.state(at[0])) for before, at in missing]

    def _judge(
        self, wanted: list[_Wanted], states: dict[Place, State], scores: dict[Place, Score]
    ) -> dict[Place, Score]:
        found: dict[Place, Score] = {}
        for w in wanted:
            if w.before is None:
                score = self.first(w.state)
            else:
                before = found.get(w.before) or scores[w.before]
                score = self.after(before, states[w.before], w.action, w.state)
            if score is not None:
                found[w.place] = score
        return found

    def _options(self, scene: Scene) -> dict[str, Any]:
        """Those of an episode that begins where the person stands, unless its place is to be drawn."""
        start = {"start": scene.starts[0].name} if self.settings.places == "named" or self._asked else {}
        if not self._asked:
            return start
        if self.settings.task == "FindObject":
            return {**start, "find": self._asked.removeprefix("find ")}
        if self.settings.task == "ReachGoal" and self._asked in {s.name for s in scene.starts}:
            return {**start, "goal": self._asked}
        if not Path(self._asked).is_file():
            starts = ", ".join(s.name for s in scene.starts)
            raise ValueError(f"the goal {self._asked!r} is no picture, and no start of {scene.name!r}: it has {starts}")
        return {**start, "goal": np.array(read_picture(self._asked))}

    def _progress(self, episode: Episode) -> str:
        task, way, episodes = self.settings.task, self.settings.way, self._episodes
        if task == "Explore" or episodes is None:
            return ""
        if way == "pose":
            if task == "RotateObject" and episode.goal.pose is not None:
                left = wrap(episode.goal.pose.object_yaw - episode.state.pose.object_yaw)
                return f"{abs(left):.0f}° to turn"
            distance = episodes.info(episode).get("distance")
            return "" if distance is None else f"{distance:.1f} m away"
        [measured] = episodes.measure((episode.goal,), [episode.state])
        enough = episodes.threshold(episode.state.scene.name)
        return f"{'likeness' if way == 'picture' else 'sure to'} {measured:.2f} of {enough:.2f}"


def _slim(state: State) -> State:
    """What rules look at."""
    return replace(state, frames=state.frames[-1:], actions=(), memory=(), places=(), origins=())
