"""A person's walk, without a screen: states are looked at at once, the model works in a thread of its own.

The game does not know what it plays: the dream and the simulator run through the same few verbs, which all return
at once; `poll`, called every draw, takes in what the thread has finished.
"""

from __future__ import annotations

import logging
import queue
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from world.errors import WorldError
from world.recording import resized
from world.shelf import Shelf
from world.timeline import NOWHERE, Timeline
from world.types import Action, Scene, State, TrueWorld, WorldModel
from world.words import follows

_log = logging.getLogger(__name__)


class Game:
    """The walk of one person: a tree of states, one model at a time, at most one job and one waiting action."""

    def __init__(
        self,
        open_model: Callable[[str], WorldModel],
        address: str,
        scene: Scene,
        seed: int,
        stage: Callable[[], str] = lambda: "",
    ) -> None:
        """Starts to load the model at `address`, by `open_model`, and to enter `scene`.

        `stage` says how far a loading is, "" where nothing is known.
        """
        self.stage = stage
        self.scene = scene
        self.seed = seed
        self.address = address
        self.timeline = Timeline()
        self.shelf = Shelf()  # the states of the timeline's nodes; another one for another scene
        self._digests: list[bytes] = []  # of the states at the timeline's nodes
        self.problem = ""  # what went wrong, for a person; the state before it stays usable
        self.latencies: deque[float] = deque(maxlen=100)  # s, of the last steps
        self._finished_at: deque[float] = deque(maxlen=100)  # s, on the monotonic clock
        self._open_model = open_model
        self._models: dict[str, WorldModel] = {}
        self._worker = _Worker()
        self.loading = address  # the address that is being loaded, or was last
        self._job: _Job | None = None
        self._next: Callable[[], None] | None = None  # the verb that waits for the running job
        self.reset()

    @property
    def state(self) -> State | None:
        """What is seen now; None until the first model is there."""
        return None if self.timeline.here == NOWHERE else self.shelf.state(self.timeline.here)

    @property
    def model(self) -> WorldModel | None:
        """The model that makes the next step; None while it loads."""
        return self._models.get(self.address)

    @property
    def doing(self) -> str:
        """What the thread works on: "" when it waits for work, else "step", "start" or "load"."""
        return self._job.kind if self._job else ""

    @property
    def doing_for(self) -> float:
        """How long the running job has taken so far, in s."""
        return time.monotonic() - self._job.started_at if self._job else 0.0

    @property
    def waiting(self) -> bool:
        """Whether a verb waits for the running job."""
        return self._next is not None

    def frames_per_second(self, over: float = 3.0) -> float:
        """Frames a second over the last `over` s, or over the time of a few slow steps; 0 when fewer than two came."""
        now = time.monotonic()
        over = max(over, 3 * statistics.median(self.latencies or [0.0]))
        recent = [t for t in self._finished_at if now - t <= over]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0

    def act(self, action: Action) -> None:
        """One step. While the model is at work the newest action waits, and an older one that waited is dropped."""
        self._when_free(lambda: self._step(action))

    def undo(self) -> bool:
        """Back to the state before; a step in the making is given up instead. False at the beginning of the walk."""
        return self._give_up_step() or self._be(self.timeline.undone())

    def redo(self) -> bool:
        """Forth again, where the walk went last; a step in the making is given up. False at the end of the walk."""
        self._give_up_step()
        return self._be(self.timeline.redone())

    def go_to(self, node: int) -> bool:
        """To any node of the timeline; a step in the making is given up. False when one is there already."""
        self._give_up_step()
        return self._be(self.timeline.at(node))

    def go_to_next_bookmark(self) -> bool:
        """To the next bookmark. False when there is none elsewhere."""
        self._give_up_step()
        return self._be(self.timeline.at_next_bookmark())

    def bookmark(self) -> bool:
        """Sets a bookmark here, or takes it away; whether there is one now."""
        self.timeline = self.timeline.bookmarked()
        return self.timeline.here in self.timeline.bookmarks

    def reset(self) -> None:
        """The scene's first start again, with the same seed, so that equal keys give the equal walk.

        What was walked stays in the timeline.
        """
        self.enter(self.scene)

    def enter(self, scene: Scene) -> None:
        """Begins a walk in `scene`; the walk so far stays until the new one is there."""
        self.problem = ""
        self._abandon()
        self._when_free(lambda: self._start(scene))

    def switch(self, address: str) -> None:
        """Goes on with another model from the very same place.

        A world that knows every pose shows the true view at once; every other model goes on from the state as it is.
        """
        self.problem = ""
        self._when_free(lambda: self._go_on_with(address))

    def poll(self) -> list[State]:
        """Takes in what is finished; the states that came new, oldest first."""
        job = self._job
        if job is None or not job.future.done():
            return []
        self._job = None
        new: list[State] = []
        error = job.future.exception()
        if error is None:
            new = job.take(job.future.result())
        elif job.wanted:
            self.problem = _for_a_person(error, self.loading if job.kind == "load" else self.address)
            self._next = None
        if self._next is not None:
            waiting, self._next = self._next, None
            waiting()
        return new

    def close(self, timeout: float = 5.0) -> None:
        """Ends the thread, waiting at most `timeout` s for a running job, and closes the models."""
        self._worker.run(self._close_models)  # where they worked: OpenGL belongs to a thread
        self._worker.close(timeout)
        self.shelf.close()

    def _step(self, action: Action) -> None:
        state, model, here = self.state, self.model, self.timeline.here
        if state is None or model is None:
            return
        if not follows(model.spec, action):
            self.problem = f"{model.spec.model} reads no sentences: it knows the moves of the scene alone."
            return
        self.problem = ""

        def take(states: list[State]) -> list[State]:
            self.latencies.append(self._worker.last_seconds)
            self._finished_at.append(time.monotonic())
            return self._append(states, here)

        self._run("step", lambda: model.step([state], [action]), take)

    def _start(self, scene: Scene) -> None:
        address, seed = self.address, self.seed

        def job() -> list[State]:
            return self._opened(address).reset([scene], [seed])

        def take(states: list[State]) -> list[State]:
            if scene is not self.scene or not self.timeline:
                self._forget()
            self.scene = scene
            return self._append(states, NOWHERE)

        self._prepare(address, job, take)

    def _go_on_with(self, address: str) -> None:
        state, here = self.state, self.timeline.here
        if state is None or address == self.address:
            return

        def job() -> list[State]:
            model = self._opened(address)
            if not isinstance(model, TrueWorld):
                return []
            (frame,) = model.view(state.scene, [state.pose])
            frame = resized(frame, (state.frame.shape[1], state.frame.shape[0]))
            return [replace(state, frames=(frame,), actions=(), memory=())]

        def take(states: list[State]) -> list[State]:
            self.address = address
            self.latencies.clear()
            return self._append(states, here)

        self._prepare(address, job, take)

    def _prepare(
        self, address: str, job: Callable[[], list[State]], take: Callable[[list[State]], list[State]]
    ) -> None:
        self.loading = address
        self._run("start" if address in self._models else "load", job, take)

    def _opened(self, address: str) -> WorldModel:
        if address not in self._models:
            self._models[address] = self._open_model(address)
        return self._models[address]

    def _close_models(self) -> None:
        for model in self._models.values():
            model.close()

    def _append(self, states: list[State], parent: int) -> list[State]:
        """Puts each state after the one before it; what was there already is only gone to."""
        for state in states:
            digest = state.digest()
            known = [node for node in self.timeline.children(parent) if self._digests[node] == digest]
            if known:
                self.timeline = self.timeline.at(known[0])
            else:
                self.timeline = self.timeline.begun() if parent == NOWHERE else self.timeline.at(parent).stepped()
                self._digests.append(digest)
                self._keep(self.timeline.here, state)
            parent = self.timeline.here
        return states

    def _keep(self, node: int, state: State) -> None:
        try:
            self.shelf.put(node, state)
        except OSError as error:
            self.problem = f"Old frames could not be moved to disk ({error}): make room, or memory fills instead"

    def _forget(self) -> None:
        self.shelf.close()
        self.timeline, self.shelf, self._digests = Timeline(), Shelf(), []

    def _give_up_step(self) -> bool:
        """Lets a step in the making end for nothing; whether there was one."""
        self.problem, self._next = "", None
        if self._job is None or self._job.kind != "step" or not self._job.wanted:
            return False
        self._abandon()
        return True

    def _be(self, timeline: Timeline) -> bool:
        """Takes another timeline; whether that is another place."""
        moved, self.timeline = timeline.here != self.timeline.here, timeline
        return moved

    def _when_free(self, verb: Callable[[], None]) -> None:
        if self._job is None:
            verb()
        else:
            self._next = verb

    def _run(self, kind: str, job: Callable[[], list[State]], take: Callable[[list[State]], list[State]]) -> None:
        self._job = _Job(kind, self._worker.run(job), take, time.monotonic())

    def _abandon(self) -> None:
        """Lets the running job, if any, end for nothing; a model that was being loaded stays loaded."""
        self._next = None
        if self._job is not None:
            self._job = replace(self._job, take=lambda states: [], wanted=False)


@dataclass(frozen=True)
class _Job:
    kind: str
    future: Future[list[State]]
    take: Callable[[list[State]], list[State]]
    started_at: float
    wanted: bool = True


class _Worker:
    """A daemon thread, so that closing the window never waits for a model."""

    def __init__(self) -> None:
        self.last_seconds = 0.0
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def run(self, job: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._jobs.put((job, future))
        return future

    def close(self, timeout: float) -> None:
        """No further jobs; waits at most `timeout` s for those that are there."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            begun = time.perf_counter()
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 (handed to the game, which shows it)
                future.set_exception(error)
            else:
                self.last_seconds = time.perf_counter() - begun
                future.set_result(result)


def _for_a_person(error: BaseException, address: str) -> str:
    """What happened and what to do; the project's own errors say both already."""
    _log.debug("the model failed", exc_info=error)
    text = " ".join(str(error).split())
    if isinstance(error, WorldError | ValueError):
        return text
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return f"There is not enough memory for this step ({text}): close what else uses it, or take a smaller picture"
    return f"{type(error).__name__}: {text}. What is wrong with the model: python -m world doctor --model {address}"
