"""A plan, walked: steps of equal depth, over all branches and seeds, are one batch; a walk cut off goes on.

Pictures and states are kept as they come. A state with a memory of several pictures may be read in other batches after
a restart, which rounds differently; so a walk goes on from the last depth at which every state stands on one picture
or has no memory, and what it leaves is the same, byte by byte, as if it had never been cut off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np

from world.pictures import read_picture
from world.recording import frame_digest, save_png
from world.session import Session, load_session, save_session, to_json
from world.states import load_states, save_states
from world.types import Action, Frame, Pose, State, WorldModel

_BATCH = 32  # states in one call of the model

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Walked:
    """What was seen and where: `frames[v][i]` and `poses[v][i]` are those of seed v at step i."""

    frames: tuple[tuple[Frame, ...], ...]
    poses: tuple[tuple[Pose, ...], ...]

    def digests(self) -> tuple[tuple[str, ...], ...]:
        """As a session holds them."""
        return tuple(tuple(frame_digest(frame) for frame in row) for row in self.frames)


class Album:
    """A folder in which a walk keeps its pictures and states, so that it can go on."""

    def __init__(self, folder: Path, session: Session) -> None:
        """Raises ValueError where another walk lies in the folder."""
        self.folder, self.session = folder, session
        path = folder / "session.json"
        if path.exists():
            if to_json(load_session(path).unwalked()) != to_json(session.unwalked()):
                raise ValueError(f"{folder} holds another walk (its session.json differs): give another --out")
            for left in folder.rglob(".*.partial.*"):  # of a run that was killed while it wrote
                left.unlink()
        else:
            save_session(path, session.unwalked())

    def finish(self, walked: Walked) -> None:
        """Writes what was seen into the session: from now on it can be compared."""
        save_session(self.folder / "session.json", replace(self.session, digests=walked.digests()))

    def picture(self, v: int, i: int) -> Path:
        """Where the picture of seed v at step i lies."""
        return self.folder / "frames" / f"seed-{self.session.seeds[v]}" / f"{i:04d}.png"

    def keep(self, depth: int, states: Sequence[State], poses: Sequence[dict[int, Pose]]) -> None:
        """Keeps the states after `depth` batches, and all poses so far."""
        told = {"depth": depth, "poses": [{i: astuple(pose) for i, pose in row.items()} for row in poses]}
        save_states(self.folder / "states.npz", states, json.dumps(told))

    def kept(self) -> tuple[int, list[State], list[dict[int, Pose]]] | None:
        """What was kept last, or None."""
        path = self.folder / "states.npz"
        if not path.exists():
            return None
        states, note = load_states(path, self.session.scene)
        told = json.loads(note)
        return told["depth"], states, [{int(i): Pose(*pose) for i, pose in row.items()} for row in told["poses"]]


def walk(model: WorldModel, session: Session, album: Album | None = None, tell: Tell = lambda text: None) -> Walked:
    """Walks the session's plan once for each seed; `tell` hears how far it is."""
    plan, variants = session.plan, range(len(session.seeds))
    levels = plan.levels()
    begun = model.reset([session.scene] * len(variants), session.seeds)
    newest: dict[int, list[State]] = {0: begun}
    frames: list[dict[int, Frame]] = [{0: state.frame} for state in begun]
    poses: list[dict[int, Pose]] = [{0: state.pose} for state in begun]
    done = 0
    if album is not None:
        for v, state in enumerate(begun):
            save_png(album.picture(v, 0), state.frame)
    if album is not None and (kept := album.kept()) is not None:
        done, states, poses = kept
        rows = iter(states)
        newest = {i: [next(rows) for _ in variants] for i in (levels[done - 1] if done else [0])}
        for v in variants:
            frames[v] |= {i: np.array(read_picture(album.picture(v, i))) for i in poses[v] if i}
    for depth, level in enumerate(levels[done:], done + 1):
        tell(f"{depth} of {len(levels)}: {', '.join(dict.fromkeys(action.text for action in level.values()))}")
        before = [newest[plan.picture(plan.steps[i].parent)][v] for i in level for v in variants]
        after = step(model, before, [action for action in level.values() for _ in variants])
        rows = iter(after)
        newest = {i: [next(rows) for _ in variants] for i in level}
        for i, states in newest.items():
            for v, state in enumerate(states):
                frames[v][i], poses[v][i] = state.frame, state.pose
                if album is not None:
                    save_png(album.picture(v, i), state.frame)
        alone = all(len(state.frames) == 1 or not state.memory for state in after)
        if album is not None and (alone or depth == len(levels)):
            album.keep(depth, after, poses)
    seen = [plan.picture(i) for i in range(len(plan.steps))]
    return Walked(
        tuple(tuple(row[i] for i in seen) for row in frames), tuple(tuple(row[i] for i in seen) for row in poses)
    )


def step(model: WorldModel, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
    """`model.step` in batches of a size that fits."""
    after: list[State] = []
    for k in range(0, len(states), _BATCH):
        after += model.step(states[k : k + _BATCH], actions[k : k + _BATCH])
    return after
