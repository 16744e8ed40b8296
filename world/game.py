"""A person's walk, without a screen: states are looked at at once, the model works in a thread of its own.

The game does not know what it plays: the dream and the simulator run through the same few verbs, which all return
at once; `poll`, called every draw, takes in what the thread has finished.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from world.errors import WorldError
from world.history import History, Node, node_of
from world.jobs import LOOK, Desk, Worker, for_a_person
from world.lookahead import LookAhead, likely
from world.making import Glance, Options, Reopening, Request, begun
from world.pace import Pace
from world.replay import given
from world.session import Made, Session
from world.settings import SamplerConfig
from world.shelf import Shelf
from world.timeline import NOWHERE, Timeline
from world.tuning import Twins
from world.types import Action, Frame, Pose, Scene, State, WorldModel
from world.watching import Watch
from world.words import follows
from world.worlds import TRUTH, Worlds

_PATIENCE = 0.1  # s of rest before futures are imagined


class Game:
    """The walk of one person: a tree of states, at most one job and one waiting verb."""

    def __init__(
        self,
        open_model: Callable[[str], WorldModel],
        address: str,
        scene: Scene,
        seed: int,
        stage: Callable[[], str] = lambda: "",
        begin: Callable[[WorldModel, Scene, int], State] = begun,
    ) -> None:
        """Starts to load the model at `address`, by `open_model`, and to enter `scene`.

        `stage` says how far a loading is, "" where nothing is known; `begin` makes the first state, in a thread.
        """
        self.stage = stage
        self._begin = begin
        self.scene = scene
        self.seed = seed
        self.options = Options()
        self.history = History()  # another one for another scene
        self.futures = LookAhead()
        self.pace = Pace()
        self.watch = Watch()  # of the step in the making, or of the last one
        self.problem = ""  # what went wrong, for a person; the state before it stays usable
        self.reopening: Reopening | None = None  # the session that is walked again, or was last
        self.worlds = Worlds(open_model, address)
        self.worker = Worker("model")  # what is done to a model is done in its thread
        self._desk = Desk(self.worker)
        self._ahead: list[Action] = []  # steps that follow the running one
        self._fresh: list[int] = []  # places seen since the last poll
        self._rests_from = 0.0  # on the monotonic clock, from when futures may be imagined
        self.reset()

    @property
    def address(self) -> str:
        """The model that makes the next step."""
        return self.worlds.address

    @property
    def timeline(self) -> Timeline:
        """The tree of places."""
        return self.history.timeline

    @property
    def shelf(self) -> Shelf:
        """The states of the timeline's nodes."""
        return self.history.shelf

    @property
    def state(self) -> State | None:
        """What is seen now; None until the first model is there."""
        return None if self.timeline.here == NOWHERE else self.shelf.state(self.timeline.here)

    @property
    def model(self) -> WorldModel | None:
        """The model that makes the next step; None while it loads."""
        return self.worlds.here.model if self.worlds.here else None

    @property
    def doing(self) -> str:
        """What is asked of the thread: "", or "step", "refine", "start", "load" or "reopen"."""
        return "" if self._desk.kind == LOOK else self._desk.kind

    @property
    def reopens(self) -> bool:
        """Whether a session is walked again: until then nothing else is."""
        return self.reopening is not None and not self.reopening.done and self.doing in ("load", "reopen")

    @property
    def looking(self) -> bool:
        """Whether futures are being imagined."""
        return self._desk.kind == LOOK

    @property
    def doing_for(self) -> float:
        """How long the running job has taken so far, in s."""
        return self._desk.running_for

    @property
    def waiting(self) -> int:
        """How many steps and other verbs wait for the running job."""
        return len(self._ahead) + self._desk.waiting

    def act(self, action: Action, times: int = 1, *, rough: bool = False) -> None:
        """One step, or several of the same. While the model is at work the newest action waits for the step that runs.

        `rough` says that more are to come: where frames are refined, few evaluations do.
        """
        if self.reopens:
            return
        self._ahead.clear()
        if self.looking:
            self.watch.cancel()
        self._desk.when_free(lambda: self._walk([action] * times, rough))

    def undo(self) -> bool:
        """Back to the state before; a step in the making is given up instead. False at the beginning of the walk."""
        return self.cancel() or self.history.be(self.timeline.undone())

    def go(self, way: Callable[[Timeline], Timeline]) -> bool:
        """To another place of the tree; a step in the making is given up. False where the way leads nowhere else."""
        self.cancel()
        return self.history.be(way(self.timeline))

    def bookmark(self) -> bool:
        """Sets a bookmark here, or takes it away; whether there is one now."""
        self.history.be(self.timeline.bookmarked())
        return self.timeline.here in self.timeline.bookmarks

    def cancel(self) -> bool:
        """Gives up a step in the making; whether there was one."""
        self.problem = ""
        self._ahead.clear()
        self._desk.forget_waiting()
        if self._desk.kind != "step" or not self._desk.wanted:
            return False
        self._abandon()
        return True

    def accept(self) -> bool:
        """Takes the step in the making as it will be at its next evaluation. False where it cannot be watched."""
        if self.doing != "step" or self.model is None or "preview" not in self.model.spec.supports:
            return False
        self._ahead.clear()
        self.watch.accept()
        return True

    def reset(self) -> None:
        """The scene's first start again, with the same seed: equal keys give the equal walk. The timeline stays."""
        self.enter(self.scene)

    def enter(self, scene: Scene) -> None:
        """Begins a walk in `scene`; the walk so far stays until the new one is there."""
        self.worlds.go_to(self.worlds.home)
        self.reopening = None
        self._instead(lambda: self._start(scene))

    def switch(self) -> bool:
        """Goes on in the truth from the very same place, or back in the dream; False where there is no truth."""
        if self.reopens or (self.worlds.other == TRUTH and not self.scene.simulated):
            return False
        self._instead(lambda: self._switch(self.worlds.other))
        return True

    def reopen(self, session: Session) -> None:
        """Walks a session again: its tree grows as it was, and its pictures are compared with those recorded."""
        self.worlds.go_to(self.worlds.home)
        self.reopening = reopening = Reopening(session)
        self._instead(lambda: self._reopen(reopening))

    def anchor(self, frame: Frame, pose: Pose) -> None:
        """Goes on from a picture from elsewhere, uint8 [H, W, 3], seen at `pose`."""
        self.cancel()
        if (state := self.state) is not None:
            state = given(state, frame, pose)
            self._append(state, self.timeline.here, node_of(state, None, Made(given=state.frame, pose=pose)))

    def tune(self, sampler: SamplerConfig | None) -> None:
        """Other settings from the next step on; where the model takes none, that is told."""
        try:
            self.worlds.tune(sampler)
            self.futures.forget()
        except WorldError as error:
            self.problem = str(error)

    def rest(self) -> None:
        """No key is down: what was drawn roughly is drawn again, then the likely next frames are imagined."""
        state, twins = self.state, self.worlds.here
        if self._desk.kind or state is None or twins is None:
            return
        here = self.timeline.here
        node, parent = self.history.nodes[here], self.timeline.parents[here]
        if node.rough and node.action is not None and parent != NOWHERE:
            self._refine(twins, here, node.action)
        elif self.options.look_ahead and not self.futures.at(node.state) and time.monotonic() > self._rests_from:
            self._look(twins, state, node.state)

    def poll(self) -> list[int]:
        """Takes in what is finished; the places of the tree that are seen new, oldest first."""
        busy = self._desk.kind
        if (error := self._desk.poll()) is not None:
            self.problem = for_a_person(error, self.address)
            self._ahead.clear()
        if busy and not self._desk.kind:
            self._rests_from = time.monotonic() + _PATIENCE
            if self._ahead:
                self._walk(self._ahead, rough=False)
        fresh, self._fresh = self._fresh, []
        return fresh

    def close(self, timeout: float = 5.0) -> None:
        """Ends the thread, waiting at most `timeout` s for a running job, and closes the models."""
        self._abandon()
        self.worker.run(self.worlds.close)  # where they worked: OpenGL is a thread's
        self.worker.close(timeout)
        self.history.close()

    def _walk(self, actions: list[Action], rough: bool) -> None:
        state, twins, here = self.state, self.worlds.here, self.timeline.here
        if state is None or twins is None:
            return
        action, self._ahead = actions[0], actions[1:]
        if not follows(twins.model.spec, action):
            self.problem = f"{twins.model.spec.model} reads no sentences: it knows the moves of the scene alone."
            self._ahead = []
            return
        self.problem = ""
        place = self.history.nodes[here].state
        if self.futures.at(place) and (future := self.futures.take(place, action)):
            made = self.worlds.told(future.state, future.made(self.worlds.sampler))
            self._append(future.state, here, node_of(future.state, action, made))
            self.pace.stepped(None)
            if self._ahead:
                self._walk(self._ahead, rough)
            return
        roughly = rough and self.options.refine
        request = Request(state, action, self.worlds.rough_sampler if roughly else self.worlds.sampler)

        def take(drawn: tuple[State, Node]) -> None:
            self.pace.stepped(self.watch.seconds)
            after, node = drawn
            rough, made = request.sampler != self.worlds.sampler, self.worlds.told(after, node.made)
            self._append(after, here, replace(node, rough=rough, made=made))

        self._run("step", request, twins, take)

    def _refine(self, twins: Twins, here: int, action: Action) -> None:
        """The same step with all evaluations, in the place of what was drawn roughly."""
        request = Request(self.shelf.state(self.timeline.parents[here]), action, self.worlds.sampler)

        def take(drawn: tuple[State, Node]) -> None:
            if not self.timeline.children(here):
                self.history.remake(here, *drawn)

        self._run("refine", request, twins, take)

    def _run(self, kind: str, request: Request, twins: Twins, take: Callable[[tuple[State, Node]], None]) -> None:
        self.watch = watch = Watch()
        self._desk.run(kind, lambda: request.carried_out(twins, watch), take)

    def _look(self, twins: Twins, state: State, place: bytes) -> None:
        """Imagines what is likely next, all in one batch; whatever is asked for meanwhile goes first."""
        possible = [action for action in self.scene.actions if follows(twins.model.spec, action)]
        actions = likely(self.history.actions(), possible, self.options.look_ahead)
        glance, futures = Glance(state, actions, self.worlds.sampler), self.futures
        self.watch = watch = Watch(draws=False)

        def take(states: list[State]) -> None:
            if glance.sampler == self.worlds.sampler:
                futures.put(place, actions, states)

        self._desk.run(LOOK, lambda: glance.carried_out(twins, watch), take)

    def _switch(self, address: str) -> None:
        state, here = self.state, self.timeline.here
        if state is None:
            return

        def take(seen: State | None) -> None:
            self.worlds.go_to(address)
            self.pace, self.futures = Pace(), LookAhead()
            if seen is not None:
                self._append(seen, here, node_of(seen, None, Made(given=seen.frame, pose=seen.pose)))

        self._desk.run("load", lambda: self.worlds.seen_from(address, state), take)

    def _start(self, scene: Scene) -> None:
        def take(state: State) -> None:
            if scene is not self.scene or not self.timeline:
                self._forget(scene)
            self._append(state, NOWHERE, node_of(state, None))

        kind = "start" if self.worlds.here else "load"
        self._desk.run(kind, lambda: self._begin(self.worlds.opened(self.address).model, scene, self.seed), take)

    def _reopen(self, reopening: Reopening) -> None:
        """One job a step, so that the tree is seen to grow."""

        def take(state: State) -> None:
            parent = reopening.parent if reopening.places else NOWHERE
            if parent == NOWHERE:
                self._forget(reopening.session.scene)
                self.seed = reopening.session.seeds[0]
            self._append(state, parent, reopening.node(state))
            reopening.places.append(self.timeline.here)
            if reopening.done:
                self.history.be(reopening.ended(self.timeline))
            else:
                self._reopen(reopening)

        kind = "reopen" if self.worlds.here else "load"
        self._desk.run(kind, lambda: reopening.draw(self.worlds.opened(self.address)), take)

    def _append(self, state: State, parent: int, node: Node) -> None:
        try:
            self.history.add(state, parent, node)
        except OSError as error:
            self.problem = f"This step could not be kept on disk ({error}): make room, or memory fills instead"
        self._fresh.append(self.timeline.here)

    def _forget(self, scene: Scene) -> None:
        self.history.close()
        self.history, self.scene = History(), scene
        self._fresh.clear()  # places of the old tree

    def _instead(self, verb: Callable[[], None]) -> None:
        """Does `verb` in the place of what runs, as soon as that has ended."""
        self.problem = ""
        self._abandon()
        self._desk.when_free(verb, firm=True)

    def _abandon(self) -> None:
        """Lets the running job, if any, end for nothing; a model that was being loaded stays loaded."""
        self._ahead.clear()
        self.watch.cancel()
        self._desk.abandon()
