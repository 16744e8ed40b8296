"""What the doctor checks: whether frames are pictures, and whether they obey words, picture, seed and settings.

Every limit has its reason beside it. Frames differ by grey levels of 0 to 255, averaged over all pixels; "tiny" and
"sim" are what `--model tiny` and `--model sim` measure on the four scenes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np

from world.gauges import contrast, difference, roughness
from world.settings import PRESETS, SamplerConfig
from world.types import Action, Frame, Scene, State, WorldModel, vocabulary

MOVED = 1.0  # grey levels; the least that other words must change (tiny 8 to 55, sim 43 and more)
FOLLOWED = 0.1  # of what a picture changed, the least that must arrive in the next frame (tiny 0.95 to 1.05)
SAMPLED = 0.1  # grey levels; the least that other noise or other settings must change (tiny 1.5 to 3.3)
ROUNDING = 0.5  # grey levels; the most that a restart may change, as the past is read in other parts (tiny 0.0)
FLAT = 0.25  # of the start picture's contrast (tiny 0.96 and more; its decoder makes 0.16 of latents that are 0)
NOISY = 0.22  # roughness (pictures 0.07 to 0.15, tiny's decoder 0.30 of random latents, white noise 1.0) ...
NOISIER = 1.5  # ... or so many times that of the start picture, where that is itself full of detail
COPIED = 1.5  # times the error of the model's own autoencoder, which changes a copy too (tiny 8 and more)

Verdict = tuple[bool, str, dict[str, float]]  # whether it passed, the figure, its numbers


class NotForThisError(Exception):
    """A check that does not apply to a model, and why."""


@runtime_checkable
class Sampled(Protocol):
    """A model whose sampler can be changed between two steps."""

    sampler: SamplerConfig


@runtime_checkable
class Coded(Protocol):
    """A model whose pictures pass through an autoencoder."""

    def reconstruct(self, frames: list[Frame]) -> list[Frame]: ...


@dataclass
class Subject:
    """Whom the doctor looks at, and the frames that most checks compare: one state, one noise, three moves."""

    open_model: Callable[[], WorldModel]
    model: WorldModel
    scene: Scene
    seed: int
    start: State = field(init=False)
    left: Frame = field(init=False)
    right: Frame = field(init=False)
    stay: Frame = field(init=False)

    def begin(self) -> None:
        """Makes the first steps."""
        (self.start,) = self.model.reset([self.scene], [self.seed])
        self.left, self.right, self.stay = (self.after(self.start, self.move(n)) for n in ("left", "right", "stay"))

    def after(self, state: State, action: Action) -> Frame:
        """What is seen after one step."""
        (new,) = self.model.step([state], [action])
        return new.frame

    def move(self, name: str) -> Action:
        """The scene's move of that name, else the standard one."""
        return next(action for action in (*self.scene.actions, *vocabulary()) if action.name == name)

    def must_sample(self) -> None:
        """Raises NotForThisError where frames are true."""
        if "pose" in self.model.spec.supports:
            raise NotForThisError("its frames are true: nothing is sampled")


@dataclass(frozen=True)
class Check:
    """One question; `needs` are the checks without which its answer means nothing."""

    name: str
    judge: Callable[[Subject], Verdict]
    cause: str
    cure: str
    needs: tuple[str, ...] = ()


def _steps(subject: Subject) -> Verdict:
    subject.begin()
    return True, "a reset and three steps", {}


def _size(subject: Subject) -> Verdict:
    expected = subject.start.frame.shape
    found = {(frame.dtype.name, frame.shape) for frame in (subject.left, subject.right, subject.stay)}
    wrong = sorted(f"{dtype} {list(shape)}" for dtype, shape in found - {("uint8", expected)})
    height, width = expected[:2]
    figure = f"{', '.join(wrong)} after a start of uint8 {list(expected)}" if wrong else f"{width} x {height}"
    return not wrong and len(expected) == 3 and expected[2] == 3, figure, {"width": width, "height": height}


def _contrast(subject: Subject) -> Verdict:
    start = contrast(subject.start.frame)
    least = min(contrast(frame) for frame in (subject.left, subject.right, subject.stay))
    limit = FLAT * start
    return least >= limit, f"{least:.1f}, at least {limit:.1f}", {"contrast": least, "limit": limit}


def _noise(subject: Subject) -> Verdict:
    most = max(roughness(frame) for frame in (subject.left, subject.right, subject.stay))
    limit = max(NOISY, NOISIER * roughness(subject.start.frame))
    return most <= limit, f"roughness {most:.2f}, at most {limit:.2f}", {"roughness": most, "limit": limit}


def _copy(subject: Subject) -> Verdict:
    start, model = subject.start.frame, subject.model
    coded = 0.0
    if "reconstruct" in model.spec.supports and isinstance(model, Coded):
        coded = difference(model.reconstruct([start])[0], start)
    return _at_least(difference(subject.left, start), max(MOVED, COPIED * coded))


def _repeats(subject: Subject) -> Verdict:
    off = difference(subject.after(subject.start, subject.move("left")), subject.left)
    return off == 0, f"differs by {off:.2g}", {"difference": off, "limit": 0.0}


def _words(subject: Subject) -> Verdict:
    return _at_least(difference(subject.left, subject.right), MOVED)


def _sentences(subject: Subject) -> Verdict:
    if "free_text" not in subject.model.spec.supports:
        raise NotForThisError("it knows the moves of the vocabulary alone")
    night, door = (subject.after(subject.start, Action(text)) for text in ("it is night", "open the door"))
    return _at_least(difference(night, door), MOVED)


def _picture(subject: Subject) -> Verdict:
    subject.must_sample()
    first = subject.scene.starts[0]
    turned = replace(first, frame=np.ascontiguousarray(first.frame[::-1, ::-1]))
    (other,) = subject.model.reset([subject.scene.starting_at(turned)], [subject.seed])
    given = difference(np.ascontiguousarray(subject.start.frame[::-1, ::-1]), subject.start.frame)
    if given < MOVED:
        raise NotForThisError("this start picture looks the same upside down: give another --scene")
    return _at_least(difference(subject.after(other, subject.move("left")), subject.left), FOLLOWED * given)


def _seed(subject: Subject) -> Verdict:
    subject.must_sample()
    (other,) = subject.model.reset([subject.scene], [subject.seed ^ 1])
    return _at_least(difference(subject.after(other, subject.move("left")), subject.left), SAMPLED)


def _fresh_noise(subject: Subject) -> Verdict:
    subject.must_sample()
    later = replace(subject.start, step=subject.start.step + 1)
    return _at_least(difference(subject.after(later, subject.move("left")), subject.left), SAMPLED)


def _settings(subject: Subject) -> Verdict:
    subject.must_sample()
    model = subject.model
    if not isinstance(model, Sampled):
        raise NotForThisError("its sampler cannot be changed from here")
    own, frames = model.sampler, []
    try:
        for preset in ("fast", "quality"):
            model.sampler = PRESETS[preset]
            frames.append(subject.after(subject.start, subject.move("left")))
    finally:
        model.sampler = own
    return _at_least(difference(*frames), SAMPLED)


def _restart(subject: Subject) -> Verdict:
    (state,) = subject.model.step([subject.start], [subject.move("left")])
    (state,) = subject.model.step([state], [subject.move("right")])
    expected = subject.after(state, subject.move("left"))
    kept = copy.deepcopy(state)
    subject.model.close()
    subject.model = subject.open_model()
    off = difference(subject.after(kept, subject.move("left")), expected)
    return off <= ROUNDING, f"differs by {off:.2g}, at most {ROUNDING:g}", {"difference": off, "limit": ROUNDING}


def _at_least(changed: float, limit: float) -> Verdict:
    return changed >= limit, f"changes {changed:.2g}, at least {limit:.2g}", {"difference": changed, "limit": limit}


_SEEN = ("steps", "size")
_SOUND = (*_SEEN, "contrast", "noise", "copy", "repeats")

CHECKS: tuple[Check, ...] = (
    Check("steps", _steps, "", ""),
    Check(
        "size",
        _size,
        "frames change their size on the way, or are not uint8 [H, W, 3]",
        "fit the start picture at reset, ask the decoder for that size, return bytes",
        ("steps",),
    ),
    Check(
        "contrast",
        _contrast,
        "frames are almost one flat colour: the decoder got zeros or numbers that are none (NaN)",
        "load in bfloat16 or float32, not float16; check the autoencoder's scale and shift",
        _SEEN,
    ),
    Check(
        "noise",
        _noise,
        "frames are noise: the velocity has the wrong sign or scale, or the time grid runs the wrong way",
        "time runs from 1 (noise) to 0 (picture); compare with `python -m bagel verify`",
        _SEEN,
    ),
    Check(
        "copy",
        _copy,
        "turning left gives the last frame again",
        "lower cfg_image_scale, raise cfg_text_scale; check that the noise is new at each step",
        _SEEN,
    ),
    Check(
        "repeats",
        _repeats,
        "the same state and words give two frames",
        "draw the noise from a generator seeded with (seed, step); keep nothing in the model",
        _SEEN,
    ),
    Check(
        "words",
        _words,
        '"turn left" and "turn right" give the same frame: the words do not reach the model',
        "check the prompt's tokens and that the context they are in is the one that is sampled from",
        _SOUND,
    ),
    Check(
        "sentences",
        _sentences,
        "two sentences give the same frame: only the moves of the vocabulary are read",
        'pass Action.text on for every action, or take "free_text" out of spec.supports',
        (*_SOUND, "words"),
    ),
    Check(
        "picture",
        _picture,
        "another start picture gives the same frame: the picture does not reach the model",
        "check that the state's newest frame is encoded and that its tokens are in context",
        _SOUND,
    ),
    Check(
        "seed",
        _seed,
        "another seed gives the same frame",
        "draw the noise from a hash of (seed, step)",
        _SOUND,
    ),
    Check(
        "fresh noise",
        _fresh_noise,
        "every step is given the same noise, which wrecks a walk within a few frames",
        "draw the noise from a hash of (seed, step), not of the seed alone",
        _SOUND,
    ),
    Check(
        "settings",
        _settings,
        "1 and 4 evaluations give the same frame: the sampler's settings do not reach it",
        "read num_timesteps and the scales at every step, not once at load",
        _SOUND,
    ),
)
RESTART = Check(
    "restart",
    _restart,
    "a state that one instance made leads elsewhere in a fresh one: what a step needs stayed in the first",
    "keep frames, actions, seed and latents in the State; a cache may only save time",
    _SOUND,
)
