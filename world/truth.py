"""Truth beside dream: the same actions in the simulator, how far the dream has drifted, and the way back."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace

from world.game import Game
from world.history import History
from world.jobs import Worker, for_a_person
from world.recording import resized
from world.shelf import Shelf
from world.surroundings import Likeness, Surroundings
from world.timeline import NOWHERE
from world.types import Action, Frame, Pose, Scene, State, TrueWorld

_AT_ONCE = 8  # nodes in one job, so that the curve is seen to grow


@dataclass(frozen=True)
class _Wanted:
    """A node whose truth is not known yet, as the thread needs it."""

    node: int
    parent: int
    action: Action | None  # None: the truth is what is seen from the pose
    pose: Pose
    frame: Frame  # of the dream


@dataclass(frozen=True)
class Truth:
    """What is really there."""

    frame: Frame
    pose: Pose
    likeness: Likeness | None  # of the dream; None where it cannot be measured


class TruthBeside:
    """The true states of a history's nodes, made in a thread of their own while one walks."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.shown = False
        self.problem = ""  # why there is no truth, for a person
        self._surroundings = surroundings
        self._worker = Worker("truth")
        self._world: TrueWorld | None = None
        self._history: History | None = None
        self._states = Shelf()
        self._likeness: dict[int, Likeness | None] = {}
        self._job: Future[list[tuple[int, State, Likeness | None]]] | None = None

    def toggle(self, game: Game) -> str:
        """Shows the truth, or hides it; why there is none to see, "" where there is."""
        if self.shown:
            self.shown = False
        elif game.model is not None and "pose" in game.model.spec.supports:
            return "What you see is the truth already"
        elif not game.scene.simulated or self._surroundings.open_truth is None:
            return "No truth to see: the simulator does not know this picture"
        else:
            self.shown = True
        return ""

    def at(self, game: Game, node: int) -> Truth | None:
        """The truth of a node; None while it is not known."""
        if game.history is not self._history or node not in self._likeness:
            return None
        state = self._states.state(node)
        return Truth(state.frame, state.pose, self._likeness[node])

    def drift(self, game: Game) -> list[float]:
        """PSNR (dB) of the dream along the path, as far as it is known."""
        if game.history is not self._history:
            return []
        known = [self._likeness.get(node) for node in game.timeline.path()]
        return [likeness.psnr for likeness in known if likeness is not None]

    def follow(self, game: Game) -> None:
        """Takes in what is finished and asks for what is missing on the way here; called every draw, never waits."""
        if game.history is not self._history:
            self._history, self._job = game.history, None
            self._states.close()
            self._states, self._likeness = Shelf(), {}
            self.shown = self.shown and game.scene.simulated
        if self._job is not None and self._job.done():
            job, self._job = self._job, None
            if (error := job.exception()) is not None:
                self.problem, self.shown = for_a_person(error, "sim"), False
                return
            for node, state, likeness in job.result():
                self._states.put(node, state)
                self._likeness[node] = likeness
        if self.shown and self._job is None and (wanted := self._wanted(game)):
            before = {w.parent: self._states.state(w.parent) for w in wanted if w.parent in self._likeness}
            scene, seed = game.scene, game.seed
            self._job = self._worker.run(lambda: self._walk(scene, seed, wanted, before))

    def close(self) -> None:
        """Ends the thread and frees the simulator."""
        self._worker.run(lambda: self._world.close() if self._world else None)
        self._worker.close(timeout=5)
        self._states.close()

    def _wanted(self, game: Game) -> list[_Wanted]:
        missing = [node for node in game.timeline.path() if node not in self._likeness][:_AT_ONCE]
        found = []
        for node in missing:
            place, parent = game.history.nodes[node], game.timeline.parents[node]
            action = place.action if parent != NOWHERE else None
            found.append(_Wanted(node, parent, action, place.pose, game.shelf.frame(node)))
        return found

    def _walk(
        self, scene: Scene, seed: int, wanted: list[_Wanted], before: dict[int, State]
    ) -> list[tuple[int, State, Likeness | None]]:
        if self._world is None:
            if self._surroundings.open_truth is None:
                raise AssertionError("shown only where there is a simulator")
            self._world = self._surroundings.open_truth()
        found, states = [], dict(before)
        for w in wanted:
            if w.action is not None:
                [state] = self._world.step([states[w.parent]], [w.action])
            else:
                [frame] = self._world.view(scene, [w.pose])
                state = State(scene, (frame,), (), w.pose, seed)
            states[w.node] = state
            newest = replace(state, frames=state.frames[-1:], actions=(), origins=())
            found.append((w.node, newest, self._compared(w, state)))
        return found

    def _compared(self, wanted: _Wanted, state: State) -> Likeness | None:
        if self._surroundings.likeness is None:
            return None
        height, width = wanted.frame.shape[:2]
        return self._surroundings.likeness(wanted.frame, resized(state.frame, (width, height)))
