"""A session as one small JSON file: where a walk began, its tree of actions, its seeds, and what was seen.

It is self-contained (the start picture lies in it as a PNG), so that it can be walked again on any machine and model:
`python -m scenes run session.json` says whether the pictures came out the same.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from world.errors import SceneError
from world.files import atomic_write_text
from world.plan import Plan, Step
from world.settings import SamplerConfig
from world.types import Action, Frame, Pose, Scene, Start

KIND, VERSION = "bagel-world session", 1

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Made:
    """How a step came about that was not made by the session's sampler in a batch of one: what a person did beside."""

    sampler: SamplerConfig | None = None  # another one than the session's
    batch: tuple[Action, ...] = ()  # the actions that were imagined together, its own among them
    given: Frame | None = None  # a picture from elsewhere, on which the walk went on: an anchor, a preview taken early
    pose: Pose | None = None  # of the picture from elsewhere

    @property
    def plainly(self) -> bool:
        """Whether there is nothing to say."""
        return self.sampler is None and not self.batch and self.given is None


PLAIN = Made()


@dataclass(frozen=True)
class Session:
    """A walk with branches, for each of `seeds`.

    `digests[v][i]` is `world.recording.frame_digest` of what variant v saw at step i; () while nothing was walked.
    """

    model: str  # the spec's name
    scene: Scene  # a walk begins at its first start; the others are left out of the file
    plan: Plan
    seeds: tuple[int, ...]
    sampler: SamplerConfig | None = None  # None: the model's own
    digests: tuple[tuple[str, ...], ...] = ()
    made: Mapping[int, Made] = field(default_factory=dict)  # by step, where there is something to say

    def __post_init__(self) -> None:
        if not self.seeds:
            raise ValueError("a session has at least one seed")
        if self.digests and [len(row) for row in self.digests] != [len(self.plan.steps)] * len(self.seeds):
            raise ValueError(
                f"digests are {len(self.seeds)} rows (seeds) of {len(self.plan.steps)} (steps), "
                f"got rows of {[len(row) for row in self.digests]}"
            )
        if wrong := [i for i in self.made if not 0 < i < len(self.plan.steps)]:
            raise ValueError(f"step {wrong[0]} was made in some way, but the last step is {len(self.plan.steps) - 1}")
        object.__setattr__(self, "scene", replace(self.scene, starts=self.scene.starts[:1]))

    def unwalked(self) -> Session:
        """The same, before anything was seen."""
        return replace(self, digests=())


def save_session(path: str | Path, session: Session) -> None:
    """Writes the session; the file appears whole or not at all."""
    atomic_write_text(path, to_json(session))


def load_session(path: str | Path) -> Session:
    """Reads a session; raises SceneError that says what is wrong with the file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SceneError(f"there is no session {path}: check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SceneError(f"{path} cannot be read ({error}): give a session.json") from None
    try:
        return from_json(text)
    except ValueError as error:
        raise SceneError(f"{path} is no session that can be walked: {error}") from None


def to_json(session: Session) -> str:
    """The file's text: equal sessions give equal texts."""
    plan, scene, start = session.plan, session.scene, session.scene.starts[0]
    content = {
        "kind": KIND,
        "version": VERSION,
        "model": session.model,
        "sampler": None if session.sampler is None else asdict(session.sampler),
        "seeds": session.seeds,
        "scene": {
            "name": scene.name,
            "caption": scene.caption,
            "fov": scene.fov,
            "eye_height": scene.eye_height,
            "simulated": scene.simulated,
            "actions": [asdict(action) for action in scene.actions],
            "start": {"name": start.name, "pose": asdict(start.pose), "png": _to_png(start.frame)},
        },
        "steps": [
            {"parent": step.parent, "action": None if step.action is None else asdict(step.action)}
            for step in plan.steps[1:]
        ],
        "end": plan.end,
        "checkpoints": dict(plan.checkpoints),
        "digests": session.digests,
    }
    if session.made:
        content["made"] = {str(i): made_to_row(made) for i, made in session.made.items()}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> Session:
    """The session of `to_json`; raises ValueError that names the field and what was expected."""
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error})") from None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise ValueError(f'it lacks "kind": "{KIND}"')
    if found.get("version") != VERSION:
        raise ValueError(f"it has version {found.get('version')!r}, and this program reads version {VERSION}")
    sampler = found.get("sampler")
    return Session(
        _read(found, "model", str),
        _read(found, "scene", _scene),
        _plan(found),
        _read(found, "seeds", lambda seeds: tuple(_seed(s) for s in seeds)),
        None if sampler is None else _read(found, "sampler", sampler_from_row),
        _read(found, "digests", lambda rows: tuple(tuple(map(str, row)) for row in rows)),
        _read({"made": {}, **found}, "made", lambda rows: {int(i): made_from_row(row) for i, row in rows.items()}),
    )


def _read(found: dict[str, Any], key: str, make: Callable[[Any], T]) -> T:
    """`make` of a field; every way in which that can fail becomes one ValueError that names the field."""
    if key not in found:
        raise ValueError(f"it lacks {key!r}")
    try:
        return make(found[key])
    except (TypeError, LookupError, AttributeError, ValueError) as error:
        raise ValueError(f"{key!r} cannot be read ({error})") from None


def _plan(found: dict[str, Any]) -> Plan:
    steps = _read(found, "steps", lambda rows: [Step(_whole(r["parent"]), action_from_row(r["action"])) for r in rows])
    names = _read(found, "checkpoints", lambda rows: {str(k): _whole(v) for k, v in rows.items()})
    return Plan((Step(0, None), *steps), _read(found, "end", _whole), names)


def _scene(found: dict[str, Any]) -> Scene:
    start = found["start"]
    pose = Pose(**{k: _number(v) for k, v in start["pose"].items()})
    actions = tuple(action for row in found["actions"] if (action := action_from_row(row)) is not None)
    begun = Start(str(start["name"]), pose, _from_png(start["png"]))
    fov, height = _number(found["fov"]), _number(found["eye_height"])
    if not 1 <= fov <= 179:
        raise ValueError(f"fov lies between 1 and 179 degrees, got {fov}")
    return Scene(
        str(found["name"]), str(found["caption"]), (begun,), actions, fov, height, simulated=found["simulated"] is True
    )


def action_from_row(found: dict[str, Any] | None) -> Action | None:
    """The action of a row of the file; raises TypeError, LookupError or ValueError where it is none."""
    if found is None:
        return None
    numbers = [_number(found[k]) for k in ("forward", "left", "yaw", "pitch", "object_yaw")]
    return Action(str(found["text"]), str(found["name"]), *numbers)


def made_to_row(made: Made) -> dict[str, Any]:
    """Only what differs from the ordinary."""
    told = {
        "sampler": made.sampler and asdict(made.sampler),
        "batch": [asdict(action) for action in made.batch],
        "png": None if made.given is None else _to_png(made.given),
        "pose": made.pose and asdict(made.pose),
    }
    return {key: value for key, value in told.items() if value}


def made_from_row(found: dict[str, Any]) -> Made:
    """The inverse of `made_to_row`; raises as `action_from_row` does."""
    sampler, png, pose = found.get("sampler"), found.get("png"), found.get("pose")
    return Made(
        None if sampler is None else sampler_from_row(sampler),
        tuple(action for row in found.get("batch", ()) if (action := action_from_row(row)) is not None),
        None if png is None else _from_png(png),
        None if pose is None else Pose(**{k: _number(v) for k, v in pose.items()}),
    )


def sampler_from_row(found: dict[str, Any]) -> SamplerConfig:
    """The inverse of `asdict`, from JSON; raises TypeError, LookupError or ValueError where it is none."""
    low, high = found["cfg_interval"]
    return SamplerConfig(**{**found, "cfg_interval": (low, high)})


def _number(number: Any) -> float:
    if type(number) not in (int, float) or not math.isfinite(number):
        raise ValueError(f"expected a number, got {number!r}")
    return float(number)


def _whole(number: Any) -> int:
    if type(number) is not int:
        raise ValueError(f"expected a whole number, got {number!r}")
    return number


def _seed(number: Any) -> int:
    if not 0 <= _whole(number) < 2**63:
        raise ValueError(f"a seed is a whole number from 0 on, got {number}")
    return number


def _to_png(frame: Frame) -> str:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _from_png(text: str) -> Frame:
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
            return np.array(image.convert("RGB"))
    except (binascii.Error, UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"the start picture is no PNG: {error}") from None
