"""A walk without a window, branches and all: steps that are written down while they are made; then what they leave."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from world.alongside import Alongside, alongside
from world.branches import tree_sheet, tree_video
from world.journal import Journal
from world.plan import Plan, Step
from world.quest import Quest, Score
from world.recording import frame_digest, log_header, log_step, save_gif, save_log, save_png, save_video
from world.replay import Comparison, again
from world.session import PLAIN, Session, save_session
from world.surroundings import Likeness
from world.types import Frame, State, TrueWorld, WorldModel

JOURNAL = "unfinished.ndjson"  # grows with every step, and gives way to the session when the walk is through
_IN_GIF = 120  # frames: longer walks are thinned out


class HeadlessWalk:
    """A plan, one branch after the other. A process that is killed leaves its steps in the journal."""

    def __init__(self, model: WorldModel, session: Session, out: Path, quest: Quest | None = None) -> None:
        """At the session's start; `quest` judges every step. Raises OSError where `out` cannot be written."""
        self.seconds: list[float] = []  # that each step of the model took
        self.scores: list[Score] = []  # of every step from the start on, where there is a task
        self._model, self._session, self._out, self._quest = model, session, out, quest
        self._steps = again(model, session.unwalked())
        self._states: list[State] = []
        self._keep(next(self._steps))
        beginning = replace(session, plan=Plan((Step(0, None),), 0), digests=self._digests)
        self._journal = Journal(out / JOURNAL, beginning)

    def step(self) -> None:
        """One step further; at most as many as the plan has."""
        i = len(self._states)
        begun = time.perf_counter()
        state = next(self._steps)
        if self._session.plan.steps[i].action is not None:
            self.seconds.append(time.perf_counter() - begun)
        self._keep(state)
        self._journal.add(i, self._session.plan.steps[i], frame_digest(state.frame), PLAIN)

    def finish(self, beside: Alongside | None = None) -> dict[str, Path]:
        """Writes video, sheet, log and session, with the truth `beside` the dream; their paths by what they are."""
        told = [{"reward": score.reward} for score in self.scores] or [{}] * len(self._states)
        if beside is not None:
            told = [line | asdict(near) for line, near in zip(told, beside.near, strict=True)]
        frames = beside.frames if beside else [state.frame for state in self._states]
        paths = _save(self._out, self._model, self._session, self._states, frames, told)
        paths["session"] = self._out / "session.json"
        save_session(paths["session"], replace(self._session, digests=self._digests))
        self._journal.close()
        (self._out / JOURNAL).unlink()
        return paths

    def beside(self, world: TrueWorld, likeness: Callable[[Frame, Frame], Likeness]) -> Alongside:
        """The truth under the same steps, once they are made."""
        return alongside(world, likeness, self._session.plan, self._states)

    @property
    def _digests(self) -> tuple[tuple[str, ...]]:
        return (tuple(frame_digest(state.frame) for state in self._states),)

    def _keep(self, state: State) -> None:
        i = len(self._states)
        if self._quest is not None and not i:
            first = self._quest.first(state)
            self.scores += [first] if first else []
        elif self._quest is not None and self.scores:
            step = self._session.plan.steps[i]
            before = self.scores[step.parent], self._states[step.parent]
            self.scores.append(self._quest.after(*before, step.action, state))
        self._states.append(replace(state, frames=state.frames[-1:], actions=(), memory=(), places=(), origins=()))


class Replay:
    """A session walked again, step by step."""

    def __init__(self, model: WorldModel, session: Session) -> None:
        self.comparison = Comparison()
        self._model, self._session = model, session
        self._steps = again(model, session)
        self._states: list[State] = []

    def step(self) -> None:
        """One step further; at most as many as the session has."""
        state = next(self._steps)
        self.comparison = self.comparison.with_frame(self._session, len(self._states), state.frame)
        self._states.append(replace(state, frames=state.frames[-1:], actions=(), memory=(), places=(), origins=()))

    def finish(self, out: Path) -> dict[str, Path]:
        """Writes video, sheet and log; their paths by what they are."""
        frames = [state.frame for state in self._states]
        return _save(out, self._model, self._session, self._states, frames, [{}] * len(frames))


def _save(
    out: Path,
    model: WorldModel,
    session: Session,
    states: Sequence[State],
    frames: Sequence[Frame],
    told: Sequence[dict[str, Any]],
) -> dict[str, Path]:
    """`frames` are the pictures of the states, `told` what the log says of each beside."""
    plan = session.plan
    elsewhere = {i: "a picture from elsewhere" for i, made in session.made.items() if plan.steps[i].action is None}
    names = {"video": "walk.mp4", "GIF": "walk.gif", "contact sheet": "sheet.png", "log": "walk.ndjson"}
    paths = {what: out / name for what, name in names.items()}
    save_video(paths["video"], tree_video(plan, frames))
    stride = math.ceil(len(frames) / _IN_GIF)
    save_gif(paths["GIF"], [shown for i, shown in enumerate(tree_video(plan, frames)) if i % stride == 0])
    save_png(paths["contact sheet"], tree_sheet(plan, frames, elsewhere))
    lines: list[dict[str, Any]] = [log_header(model.spec, states[0], session.sampler)]
    for i, step in enumerate(plan.steps[1:], 1):
        parent = {} if step.parent == i - 1 else {"parent": step.parent}  # a line's number; the header is line 0
        lines.append(log_step(states[i], step.action) | parent | told[i])
    save_log(paths["log"], lines)
    return paths
