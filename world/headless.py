"""A walk without a window: steps that are written down while they are made; then video, sheet, log and session."""

from __future__ import annotations

import time
from pathlib import Path

from world.history import History, Walker, node_of
from world.journal import Journal
from world.recording import save_walk
from world.replay import Comparison, again
from world.session import Session, save_session
from world.settings import SamplerConfig
from world.timeline import NOWHERE
from world.types import Action, Scene, State, WorldModel

JOURNAL = "unfinished.ndjson"  # grows with every step, and gives way to the session when the walk is through


class HeadlessWalk:
    """One way without forks. A process that is killed leaves its steps in the journal."""

    def __init__(
        self, model: WorldModel, scene: Scene, seed: int, out: Path, sampler: SamplerConfig | None = None
    ) -> None:
        """At the scene's first start. Raises OSError where `out` cannot be written."""
        self.seconds: list[float] = []  # that each step took
        self._model, self._out, self._sampler = model, out, sampler
        self._states = model.reset([scene], [seed])
        self._actions: list[Action] = []
        self._history = History()
        self._history.add(self._states[0], NOWHERE, node_of(self._states[0], None))
        self._walker = Walker(model.spec.model, seed, sampler)
        self._history.journal = Journal(out / JOURNAL, self._history.session(self._walker))

    def step(self, action: Action) -> None:
        """One step further."""
        begun = time.perf_counter()
        [state] = self._model.step(self._states[-1:], [action])
        self.seconds.append(time.perf_counter() - begun)
        self._states.append(state)
        self._actions.append(action)
        self._history.add(state, self._history.timeline.here, node_of(state, action))

    def finish(self) -> dict[str, Path]:
        """Writes video, sheet, log and session; their paths by what they are."""
        paths = save_walk(self._out, self._model.spec, self._states, self._actions, self._sampler)
        session = self._out / "session.json"
        save_session(session, self._history.session(self._walker))
        self._history.close()
        (self._out / JOURNAL).unlink()
        return dict(zip(("video", "contact sheet", "log", "session"), (*paths, session), strict=True))


class Replay:
    """A session walked again, step by step."""

    def __init__(self, model: WorldModel, session: Session) -> None:
        self.comparison = Comparison()
        self._session = session
        self._steps = enumerate(again(model, session))
        self._model = model
        self._line = set(session.plan.line(session.plan.end))
        self._kept: list[State] = []  # on the way to the session's end

    def step(self) -> None:
        """One step further; at most as many as the session has."""
        i, state = next(self._steps)
        self.comparison = self.comparison.with_frame(self._session, i, state.frame)
        if i in self._line:
            self._kept.append(state)

    def finish(self, out: Path) -> dict[str, Path]:
        """Writes video, sheet and log of the way to where the session ended; their paths by what they are."""
        plan, session = self._session.plan, self._session
        stay = Action("a picture from elsewhere")
        actions = [plan.steps[i].action or stay for i in plan.line(plan.end)[1:]]
        paths = save_walk(out, self._model.spec, self._kept, actions, session.sampler)
        return dict(zip(("video", "contact sheet", "log"), paths, strict=True))
