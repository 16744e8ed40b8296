"""Everything that was seen in a scene: the tree of places, their states, and how each came about, down to a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from world.journal import Journal
from world.plan import Plan, Step
from world.recording import frame_digest, log_place
from world.session import PLAIN, Made, Session
from world.settings import SamplerConfig
from world.shelf import Shelf
from world.timeline import NOWHERE, Timeline
from world.types import Action, Pose, State


@dataclass(frozen=True)
class Node:
    """One place of the tree, without its pictures."""

    state: bytes  # the digest of its state
    picture: str  # the digest of its frame
    pose: Pose
    step: int
    action: Action | None  # what led here; None at a beginning and where a picture came from elsewhere
    made: Made
    rough: bool = False  # drawn with few evaluations, to be drawn again when there is time


@dataclass(frozen=True)
class Walker:
    """Who walks: what a session must know beside the tree."""

    model: str  # the spec's name
    seed: int
    sampler: SamplerConfig | None  # of the model as it was opened


class History:
    """The tree of one scene. What was there already is not added again."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.shelf = Shelf()
        self.nodes: list[Node] = []
        self.journal: Journal | None = None  # hears of every step from the next one on

    def add(self, state: State, parent: int, node: Node) -> None:
        """Puts a state after `parent` (NOWHERE: a beginning) and goes there. Raises OSError where it cannot be kept."""
        known = [n for n in self.timeline.children(parent) if self.nodes[n].state == node.state]
        if known:
            self.be(self.timeline.at(known[0]))
            return
        self.timeline = self.timeline.begun() if parent == NOWHERE else self.timeline.at(parent).stepped()
        self.nodes.append(node)
        self.shelf.put(self.timeline.here, state)
        self._tell(self.timeline.here)

    def remake(self, key: int, state: State, node: Node) -> None:
        """The same place, drawn better."""
        self.nodes[key] = node
        self.shelf.put(key, state)
        self._tell(key)
        self._tell_where()

    def be(self, timeline: Timeline) -> bool:
        """Takes another place or other bookmarks in the same tree; whether the place is another one."""
        moved, changed = timeline.here != self.timeline.here, timeline.bookmarks != self.timeline.bookmarks
        self.timeline = timeline
        if moved or changed:
            self._tell_where()
        return moved

    def actions(self) -> list[Action]:
        """Those that led here, oldest first."""
        return [action for n in self.timeline.path() if (action := self.nodes[n].action) is not None]

    def words(self, key: int) -> str:
        """The step of a place, and the words that led to it."""
        node = self.nodes[key]
        return str(node.step) if node.action is None else f"{node.step} · {node.action.text}"

    def session(self, walker: Walker) -> Session:
        """The whole tree as a session. Raises ValueError before the first beginning."""
        if not self.nodes:
            raise ValueError("nothing was walked yet")
        scene = self.shelf.state(0).scene
        plan = Plan(tuple(map(self._step, range(len(self.nodes)))), self.timeline.here, self.checkpoints())
        made = {i: told for i in range(1, len(self.nodes)) if not (told := self._made(i)).plainly}
        digests = (tuple(node.picture for node in self.nodes),)
        return Session(walker.model, scene, plan, (walker.seed,), walker.sampler, digests, made)

    def log(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """The lines of a log, after its header, that tell of `places` and all that led there.

        The header is line 0, the beginning of the first place.
        """
        first, known = self.timeline.at(places[0]).path()[0], set[int]()
        for place in places:
            while place != NOWHERE and place not in known:
                known.add(place)
                place = self.timeline.parents[place]
        order = [first, *sorted(known - {first})]
        numbers = {place: i for i, place in enumerate(order)}
        lines = []
        for i, place in enumerate(order[1:], 1):
            node, parent = self.nodes[place], numbers.get(self.timeline.parents[place], 0)
            line = log_place(node.step, node.action, node.pose, node.picture)
            lines.append(line if parent == i - 1 else line | {"parent": parent})
        return lines

    def checkpoints(self) -> Mapping[str, int]:
        """The bookmarks under the names that they have in a session."""
        return {f"bookmark{i}": node for i, node in enumerate(sorted(self.timeline.bookmarks), 1)}

    def close(self) -> None:
        """Frees memory and disk; may be called twice."""
        self.shelf.close()
        if self.journal is not None:
            self.journal.close()

    def _step(self, i: int) -> Step:
        return Step(max(0, self.timeline.parents[i]), self.nodes[i].action)

    def _made(self, i: int) -> Made:
        """A second beginning is a picture from elsewhere."""
        node = self.nodes[i]
        if self.timeline.parents[i] == NOWHERE and node.made.plainly:
            return Made(given=self.shelf.frame(i), pose=node.pose)
        return node.made

    def _tell(self, i: int) -> None:
        if self.journal is not None:
            self.journal.add(i, self._step(i), self.nodes[i].picture, self._made(i) if i else PLAIN)

    def _tell_where(self) -> None:
        if self.journal is not None:
            self.journal.be(self.timeline.here, self.checkpoints())


def node_of(state: State, action: Action | None, made: Made = PLAIN, rough: bool = False) -> Node:
    """The place of a state."""
    return Node(state.digest(), frame_digest(state.frame), state.pose, state.step, action, made, rough)
