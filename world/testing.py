"""The contract of a world model, executable: a new backend is done when `check_world_model` passes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import cast

import numpy as np

from world.errors import CancelledError, ContractError, ModelError
from world.previews import PreviewingWorld, Progress
from world.types import Action, Scene, State, WorldModel, wrap

SUPPORTS = frozenset({"free_text", "ask", "pose", "reconstruct", "preview", "context", "motions"})
SEED = 7


def check_world_model(model: WorldModel, scene: Scene, tolerance: int = 2) -> None:
    """Checks every promise of `world.types.WorldModel` on a short walk from `scene`'s first start, then closes `model`.

    `tolerance` is the largest difference, in grey levels of 0 to 255, that rounding may make between a row of a batch
    and the same row alone; repeating the very same call must repeat the very same result.
    Raises ContractError, which names every failed check, the offending value and the fix.
    """
    if not isinstance(model, WorldModel):
        missing = [name for name in ("spec", "reset", "step", "ask", "close") if not hasattr(model, name)]
        raise ContractError({"protocol": f"{type(model).__name__} lacks {', '.join(missing)}: add what is missing"})
    failures: dict[str, str] = {}
    walk: _Walk | None = None
    for name, check in CHECKS.items():
        try:
            walk = walk or _Walk.taken(model, scene, tolerance)
            check(walk)
        except _BrokenError as broken:
            failures[name] = str(broken)
            if walk is None:
                break
    if failures:
        raise ContractError(failures)


class _BrokenError(Exception):
    """One broken promise."""


@dataclass
class _Walk:
    """A short walk, with what every state looked like when it was new."""

    model: WorldModel
    scene: Scene
    tolerance: int
    actions: list[Action]
    states: list[State]  # one more than actions
    digests: list[bytes]  # taken as soon as the state was returned

    @classmethod
    def taken(cls, model: WorldModel, scene: Scene, tolerance: int) -> _Walk:
        actions = [scene.actions[i % len(scene.actions)] for i in (1, 3, len(scene.actions) - 1)]
        states = [_one(model.reset([scene], [SEED]), "reset")]
        digests = [states[0].digest()]
        for action in actions:
            states.append(_one(model.step([states[-1]], [action]), "step"))
            digests.append(states[-1].digest())
        return cls(model, scene, tolerance, actions, states, digests)


def _check_spec(walk: _Walk) -> None:
    spec = walk.model.spec
    _require(bool(spec.model), "spec.model is empty: name the model")
    unknown = spec.supports - SUPPORTS
    _require(not unknown, f"spec.supports has {sorted(unknown)}: the contract knows {sorted(SUPPORTS)}")


def _check_start(walk: _Walk) -> None:
    start = walk.states[0]
    _require(start.step == 0, f"reset returned step {start.step}: a new state is at step 0")
    _require(start.seed == SEED, f"reset returned seed {start.seed}, was given {SEED}: keep the seed in the state")
    _require(
        start.scene.name == walk.scene.name,
        f"reset returned scene {start.scene.name!r}: it was given {walk.scene.name!r}",
    )
    _require(
        start.pose == walk.scene.starts[0].pose,
        f"reset returned {start.pose}, the first start has {walk.scene.starts[0].pose}: begin there",
    )
    _require(len(start.frames) == 1, f"reset returned {len(start.frames)} frames: a walk begins with one")


def _check_reset_repeats(walk: _Walk) -> None:
    again = _one(walk.model.reset([walk.scene], [SEED]), "reset")
    _require(
        again.digest() == walk.digests[0], "reset twice with equal arguments gave two states: use only the given seed"
    )


def _check_old_states_stay(walk: _Walk) -> None:
    for t, (state, digest) in enumerate(zip(walk.states, walk.digests, strict=True)):
        _require(
            state.digest() == digest,
            f"the state of step {t} changed after it was returned: copy frames and memory instead of reusing buffers",
        )


def _check_values(walk: _Walk) -> None:
    copied = copy.deepcopy(walk.states[1])
    _require(copied.digest() == walk.digests[1], "a state's copy has another digest: keep states plain values")
    after = _one(walk.model.step([copied], [walk.actions[1]]), "step")
    _require(
        after.digest() == walk.digests[2],
        "a copy of a state led elsewhere than the state itself: keep what a step needs in the state, not in the model",
    )


def _check_counts(walk: _Walk) -> None:
    for t, state in enumerate(walk.states):
        _require(state.step == t, f"after {t} steps the state says step {state.step}: add 1 a step")
        _require(state.seed == SEED, f"step {t} changed the seed to {state.seed}: carry it on")


def _check_frames(walk: _Walk) -> None:
    shapes = set()
    for state in walk.states:
        for frame in state.frames:
            _require(
                frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[-1] == 3,
                f"a frame is {frame.dtype} {list(frame.shape)}: frames are uint8 [H, W, 3]",
            )
            shapes.add(frame.shape)
    _require(len(shapes) == 1, f"frames come in sizes {sorted(shapes)}: fit the start frame at reset, keep that size")
    size = walk.model.spec.frame_size
    _require(size is None or shapes == {(*size, 3)}, f"frames come in {sorted(shapes)}, spec.frame_size says {size}")


def _check_window(walk: _Walk) -> None:
    for t, state in enumerate(walk.states):
        num_frames, num_actions = len(state.frames), len(state.actions)
        _require(
            num_actions == num_frames - 1,
            f"step {t} holds {num_frames} frames and {num_actions} actions: K frames have the K - 1 actions between",
        )
        if t and num_actions:
            action = walk.actions[t - 1]
            _require(state.actions[-1] == action, f"step {t} ends with {state.actions[-1]}: append {action}")
            old = walk.states[t - 1].frames[-(num_frames - 1) :]
            kept = all(np.array_equal(a, b) for a, b in zip(old, state.frames[:-1], strict=False))
            _require(kept and len(old) == num_frames - 1, f"step {t} rewrote past frames: keep the last K as they were")


def _check_memory(walk: _Walk) -> None:
    for t, state in enumerate(walk.states):
        _require(
            len(state.memory) in (0, len(state.frames)),
            f"step {t} holds {len(state.frames)} frames and {len(state.memory)} memories: one a frame, or none at all",
        )


def _check_origins(walk: _Walk) -> None:
    for t, state in enumerate(walk.states):
        num_origins, num_actions = len(state.origins), len(state.actions)
        _require(
            num_origins in (0, num_actions),
            f"step {t} holds {num_actions} actions and {num_origins} origins: one an action, or none at all",
        )
        began = tuple(earlier.pose for earlier in walk.states[t - num_actions : t])
        _require(
            state.origins in ((), began),
            f"step {t} has its actions begin at {state.origins}, and they began at {began}: keep each pose",
        )


def _check_pose(walk: _Walk) -> None:
    if "pose" in walk.model.spec.supports:
        return
    for t, action in enumerate(walk.actions):
        expected, pose = walk.states[t].pose.moved(action), walk.states[t + 1].pose
        off = max(
            abs(pose.x - expected.x),
            abs(pose.y - expected.y),
            abs(wrap(pose.yaw - expected.yaw)),
            abs(pose.pitch - expected.pitch),
            abs(wrap(pose.object_yaw - expected.object_yaw)),
        )
        _require(
            off < 1e-6,
            f"{action.name!r} led from {astuple(walk.states[t].pose)} to {astuple(pose)}, dead reckoning says "
            f'{astuple(expected)}: use Pose.moved, or list "pose" in spec.supports when poses are exact',
        )


def _check_step_repeats(walk: _Walk) -> None:
    again = _one(walk.model.step([walk.states[0]], [walk.actions[0]]), "step")
    _require(
        again.digest() == walk.digests[1],
        "the same state and action gave two results: derive noise from (seed, step) and keep nothing in the model",
    )


def _check_batch(walk: _Walk) -> None:
    rows = walk.model.step(walk.states[:-1], walk.actions)
    _require(len(rows) == len(walk.actions), f"step of {len(walk.actions)} rows returned {len(rows)}: one state a row")
    for i, (row, alone) in enumerate(zip(rows, walk.states[1:], strict=True)):
        _require(
            row.frame.shape == alone.frame.shape
            and (row.step, row.seed, row.pose) == (alone.step, alone.seed, alone.pose),
            f"row {i} of a batch differs from the same step alone: rows must not see each other",
        )
        off = int(np.abs(row.frame.astype(int) - alone.frame.astype(int)).max())
        _require(
            off <= walk.tolerance,
            f"row {i} of a batch differs from the same step alone by {off} grey levels (tolerance {walk.tolerance}): "
            "rows must not see each other, norms are taken per row",
        )


def _check_lengths(walk: _Walk) -> None:
    try:
        walk.model.step([walk.states[0]], walk.actions[:2])
    except ValueError:
        return
    raise _BrokenError("step took 1 state with 2 actions: raise ValueError, as zip(..., strict=True) does")


def _check_free_text(walk: _Walk) -> None:
    sentence = Action("open the door")
    if "free_text" in walk.model.spec.supports:
        after = _one(walk.model.step([walk.states[0]], [sentence]), "step")
        _require(after.step == 1, f"a sentence led to step {after.step}, not 1: treat it as any other action")
        return
    try:
        after = _one(walk.model.step([walk.states[0]], [sentence]), "step")
    except ModelError:
        return
    _require(
        after.pose == walk.states[0].pose,
        f'a sentence moved the eye to {after.pose}: raise ModelError, stay, or list "free_text" in spec.supports',
    )


def _check_ask(walk: _Walk) -> None:
    question = "What is seen?"
    if "ask" in walk.model.spec.supports:
        answers = walk.model.ask(walk.states[:2], question)
        _require(
            len(answers) == 2 and all(isinstance(answer, str) for answer in answers),
            f"ask of 2 states returned {answers!r}: one string a state",
        )
        return
    try:
        walk.model.ask(walk.states[:1], question)
    except ModelError:
        return
    raise _BrokenError('ask answered: raise ModelError, or list "ask" in spec.supports')


def _check_preview(walk: _Walk) -> None:
    if "preview" not in walk.model.spec.supports:
        return
    model, told = cast(PreviewingWorld, walk.model), list[Progress]()
    states, actions = walk.states[:2], walk.actions[:2]
    watched = model.step(states, actions, on_preview=told.append)
    _require(
        [state.digest() for state in watched] == [state.digest() for state in model.step(states, actions)],
        "a step that was watched led elsewhere than one that was not: a preview is a look, nothing more",
    )
    _require(
        {row for progress in told for row in progress.rows} == {0, 1},
        f"on_preview told of {told}, for a step of 2 rows: call it after every evaluation, with the rows it was for",
    )

    kept = model.step(states, actions, on_preview=lambda progress: (1,))[0]
    off = int(np.abs(kept.frame.astype(int) - watched[0].frame.astype(int)).max())
    _require(
        off <= walk.tolerance,
        f"a row differs by {off} grey levels (tolerance {walk.tolerance}) where another was given up: a row that "
        "leaves its batch changes nothing for those that stay",
    )

    def give_up(progress: Progress) -> None:
        raise CancelledError("given up")

    try:
        model.step(states, actions, on_preview=give_up)
    except CancelledError:
        return
    raise _BrokenError("on_preview raised CancelledError and the step went on: let exceptions pass")


def _check_context(walk: _Walk) -> None:
    if "context" not in walk.model.spec.supports:
        return
    start, then = walk.states[:2]
    pairs = [(frame, then.frame) for frame in (start.frame, 255 - start.frame)]
    states = [replace(start, frames=pair, actions=(walk.actions[0],), memory=(), whole=True) for pair in pairs]
    one, other = walk.model.step(states, [walk.actions[1]] * 2)
    _require(
        not np.array_equal(one.frame, other.frame),
        'another older frame of a `whole` state changed nothing: read it too, or take "context" out of spec.supports',
    )
    _require(not one.whole, "a step of a `whole` state returned another: only whoever asks for a step makes one")


def _check_close(walk: _Walk) -> None:
    walk.model.close()
    try:
        walk.model.close()
    except Exception as error:
        raise _BrokenError(f"the second close raised {error!r}: closing twice does nothing") from error


CHECKS: dict[str, Callable[[_Walk], None]] = {
    "spec": _check_spec,
    "start": _check_start,
    "reset_repeats": _check_reset_repeats,
    "counts": _check_counts,
    "frames": _check_frames,
    "window": _check_window,
    "memory": _check_memory,
    "origins": _check_origins,
    "pose": _check_pose,
    "step_repeats": _check_step_repeats,
    "batch": _check_batch,
    "lengths": _check_lengths,
    "free_text": _check_free_text,
    "ask": _check_ask,
    "preview": _check_preview,
    "context": _check_context,
    "values": _check_values,
    "old_states_stay": _check_old_states_stay,
    "close": _check_close,
}


def _require(promise: bool, broken: str) -> None:
    if not promise:
        raise _BrokenError(broken)


def _one(states: Sequence[State], verb: str) -> State:
    if len(states) != 1:
        raise _BrokenError(f"{verb} of one row returned {len(states)} states: one state a row")
    return states[0]
