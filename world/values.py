"""States, scenes and frames to and from the link's messages; an array that the other side knows is named, not sent."""

from __future__ import annotations

import hashlib
import math
import weakref
from collections import OrderedDict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import astuple
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from world.types import Action, Frame, Pose, Scene, Start, State
from world.wire import Array, Buffer, Digest, Limits, WireError, WireScene, WireStart, WireState

AnyArray: TypeAlias = NDArray[np.generic]
DTYPES = frozenset({"|u1", "|i1", "<u2", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8"})
OVERHEAD = 1024  # bytes, about, that Python needs for an array or a message beside its content
_MAX_DIMENSIONS = 4


def digest_of(buffer: Buffer | AnyArray) -> Digest:
    """The first 16 bytes of SHA-256 over the bytes themselves: processors have it in hardware."""
    return hashlib.sha256(_bytes_of(buffer)).digest()[:16]


class Names:
    """From values to what the wire calls them; read-only arrays and scenes are hashed once as long as they live."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], Any]] = {}

    def array(self, array: AnyArray) -> Array:
        """The name of an array. Raises ValueError for a dtype that does not travel."""
        if (known := self._recall(array)) is not None:
            return known
        if array.dtype.str not in DTYPES:
            raise ValueError(f"arrays of {array.dtype} do not travel: use one of {', '.join(sorted(DTYPES))}")
        name = Array(digest_of(array), array.dtype.str, array.shape)
        if not array.flags.writeable:
            self.learn(array, name)
        return name

    def scene(self, scene: Scene) -> WireScene:
        """A scene on the wire."""
        if (known := self._recall(scene)) is None:
            starts = tuple(WireStart(s.name, s.pose, self.array(s.frame)) for s in scene.starts)
            known = WireScene(
                scene.name, scene.caption, starts, scene.actions, scene.fov, scene.eye_height, scene.simulated
            )
            self.learn(scene, known)
        return known

    def learn(self, value: AnyArray | Scene, name: Array | WireScene) -> None:
        """Remembers the name of a value that nobody changes, until the value is gone."""
        key = id(value)
        self._known[key] = (weakref.ref(value, lambda _: self._known.pop(key, None)), name)

    def _recall(self, value: Any) -> Any:
        known = self._known.get(id(value))
        return known[1] if known is not None and known[0]() is value else None


class Packer:
    """Collects what one message says and which arrays it has to bring along."""

    def __init__(self, names: Names, known: Container[Digest], scenes: Sequence[Scene] = ()) -> None:
        """`known` to the other side are these arrays, and these scenes, which count before those packed here."""
        self._names, self._known = names, known
        self._num_old = len(scenes)
        self.all_scenes = list(scenes)
        self.sent: dict[Array, AnyArray] = {}  # every array that the message names
        self.attached: dict[Digest, AnyArray] = {}

    @property
    def scenes(self) -> tuple[WireScene, ...]:
        """The scenes that the other side does not have."""
        return tuple(self._names.scene(scene) for scene in self.all_scenes[self._num_old :])

    def add_scene(self, scene: Scene) -> int:
        """Packs a scene, even if it is there already; its number in the message."""
        for start, wire in zip(scene.starts, self._names.scene(scene).starts, strict=True):
            self._bring(wire.frame, start.frame)
        self.all_scenes.append(scene)
        return len(self.all_scenes) - 1

    def array(self, array: AnyArray) -> Array:
        name = self._names.array(array)
        self._bring(name, array)
        return name

    def start(self, start: Start) -> WireStart:
        return WireStart(start.name, start.pose, self.array(start.frame))

    def state(self, state: State) -> WireState:
        return WireState(
            self._number_of(state.scene),
            tuple(self.array(frame) for frame in state.frames),
            state.actions,
            state.pose,
            state.seed,
            state.step,
            tuple(self.array(memory) for memory in state.memory),
            state.whole,
            tuple(self.start(place) for place in state.places),
            state.origins,
        )

    def buffers(self) -> list[Buffer]:
        """The attached arrays, in order."""
        return [_bytes_of(array) for array in self.attached.values()]

    def _number_of(self, scene: Scene) -> int:
        for i, other in enumerate(self.all_scenes):
            if other is scene:
                return i
        return self.add_scene(scene)

    def _bring(self, name: Array, array: AnyArray) -> None:
        self.sent[name] = array
        if name.digest not in self._known and array.size:
            self.attached[name.digest] = array


class UnknownArrayError(LookupError):
    """An array was named, not brought along, and is not known here."""


class Unpacker:
    """Values from one message, checked: each WireError names what is wrong, or the limit that was passed."""

    def __init__(self, find: Callable[[Array], AnyArray], limits: Limits, scenes: Sequence[Scene] = ()) -> None:
        """`find` gives a read-only array or raises UnknownArrayError; `scenes` count before those read here."""
        self._find, self._limits = find, limits
        self._memories: dict[Array, AnyArray] = {}
        self.scenes = list(scenes)

    def memory(self, name: Array) -> AnyArray:
        """A copy, since models may want to write there; one, however often the message names it."""
        if name not in self._memories:
            self._memories[name] = np.array(self._find(name))
        return self._memories[name]

    def frame(self, name: Array) -> Frame:
        side = self._limits.side
        if name.dtype != "|u1" or len(name.shape) != 3 or name.shape[2] != 3:
            raise WireError(f"a frame is uint8 [H, W, 3], got {name.dtype} {list(name.shape)}")
        if not (1 <= name.shape[0] <= side and 1 <= name.shape[1] <= side):
            raise WireError(f"a frame of {name.shape[1]} x {name.shape[0]} pixels: the limit is side = {side}")
        return self._find(name)  # pyright: ignore[reportReturnType] (uint8, as was checked)

    def read_scenes(self, wires: Sequence[WireScene]) -> None:
        """Takes in the scenes of the message, to which its states refer."""
        self.rows(wires)
        self.scenes += [self._scene(wire) for wire in wires]

    def start(self, wire: WireStart) -> Start:
        return Start(self.text(wire.name), self.pose(wire.pose), self.frame(wire.frame))

    def state(self, wire: WireState) -> State:
        if not 0 <= wire.scene < len(self.scenes):
            raise WireError(f"a state of scene {wire.scene}: the message has {len(self.scenes)}")
        if not 1 <= len(wire.frames) <= self._limits.frames:
            raise WireError(
                f"a state of {len(wire.frames)} frames: 1 at least, the limit is frames = {self._limits.frames}"
            )
        if len(wire.actions) != len(wire.frames) - 1:
            raise WireError(f"a state of {len(wire.frames)} frames has {len(wire.actions)} actions between them")
        if len(wire.memory) not in (0, len(wire.frames)):
            raise WireError(f"a state of {len(wire.frames)} frames has {len(wire.memory)} memories: as many, or none")
        if len(wire.places) > self._limits.frames:
            raise WireError(f"a state of {len(wire.places)} places: the limit is frames = {self._limits.frames}")
        if len(wire.origins) not in (0, len(wire.actions)):
            raise WireError(f"a state of {len(wire.actions)} actions has {len(wire.origins)} origins: as many, or none")
        if wire.step < 0:
            raise WireError(f"a state at step {wire.step}: steps count from 0")
        return State(
            self.scenes[wire.scene],
            tuple(self.frame(name) for name in wire.frames),
            tuple(self.action(action) for action in wire.actions),
            self.pose(wire.pose),
            wire.seed,
            wire.step,
            tuple(self.memory(name) for name in wire.memory),
            wire.whole,
            tuple(self.start(place) for place in wire.places),
            tuple(self.pose(origin) for origin in wire.origins),
        )

    def action(self, action: Action) -> Action:
        self.text(action.text)
        self.text(action.name)
        _finite(action.forward, action.left, action.yaw, action.pitch, action.object_yaw)
        return action

    def pose(self, pose: Pose) -> Pose:
        _finite(*astuple(pose))
        return pose

    def text(self, text: str) -> str:
        if len(text) > self._limits.text:
            raise WireError(f"a text of {len(text)} characters: the limit is text = {self._limits.text}")
        return text

    def rows(self, values: Sequence[object]) -> None:
        """Raises WireError where there are more than a request may have."""
        if len(values) > self._limits.rows:
            raise WireError(f"a request of {len(values)} rows: the limit is rows = {self._limits.rows}")

    def _scene(self, wire: WireScene) -> Scene:
        if not wire.starts:
            raise WireError(f"scene {wire.name[:80]!r} has no start: it needs one at least")
        self.rows(wire.starts)
        self.rows(wire.actions)
        _finite(wire.fov, wire.eye_height)
        return Scene(
            self.text(wire.name),
            self.text(wire.caption),
            tuple(self.start(start) for start in wire.starts),
            tuple(self.action(action) for action in wire.actions),
            wire.fov,
            wire.eye_height,
            wire.simulated,
        )


def array_from(name: Array, buffer: Buffer) -> AnyArray:
    """The array that `name` calls `buffer`: a read-only copy. Raises WireError where they do not fit."""
    if name.dtype not in DTYPES:
        raise WireError(f"arrays of dtype {name.dtype[:20]!r} do not travel: use one of {', '.join(sorted(DTYPES))}")
    if len(name.shape) > _MAX_DIMENSIONS or min(name.shape, default=0) < 0:
        raise WireError(f"an array of shape {list(name.shape[:9])}: up to {_MAX_DIMENSIONS} sides, none below 0")
    dtype = np.dtype(name.dtype)
    expected, got = math.prod(name.shape) * dtype.itemsize, memoryview(buffer).nbytes
    if expected != got:
        raise WireError(f"{name.dtype} {list(name.shape)} takes {expected} bytes, {got} came")
    array = np.frombuffer(buffer, dtype).reshape(name.shape).copy()
    array.flags.writeable = False
    return array


class Store:
    """The arrays that a server knows, the least recently used leaving first when they take more than `limit` bytes.

    Each is counted with OVERHEAD: millions of arrays of one byte take more than their bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.num_bytes = 0
        self.hits = 0
        self.misses = 0
        self._arrays: OrderedDict[Array, AnyArray] = OrderedDict()

    def __contains__(self, name: Array) -> bool:
        return name in self._arrays

    def add(self, name: Array, array: AnyArray) -> None:
        """Keeps a read-only array."""
        if name not in self._arrays:
            self.num_bytes += array.nbytes + OVERHEAD
        self._arrays[name] = array
        self._arrays.move_to_end(name)
        while self.num_bytes > self.limit:
            _, oldest = self._arrays.popitem(last=False)
            self.num_bytes -= oldest.nbytes + OVERHEAD

    def find(self, name: Array) -> AnyArray | None:
        array = self._arrays.get(name)
        if array is None:
            self.misses += 1
            return None
        self.hits += 1
        self._arrays.move_to_end(name)
        return array


def finder(
    buffers: Mapping[Digest, Buffer], names: Names, known: Callable[[Array], AnyArray | None], *, verify: bool
) -> Callable[[Array], AnyArray]:
    """How an Unpacker finds arrays: known ones first, then the buffers that came along, each made an array once.

    With `verify` a buffer that is not what its digest says raises WireError: a server's store must not lie.
    """
    found: dict[Array, AnyArray] = {}

    def find(name: Array) -> AnyArray:
        if name in found:
            return found[name]
        array = known(name)
        if array is None:
            buffer = buffers.get(name.digest, b"" if 0 in name.shape else None)
            if buffer is None:
                raise UnknownArrayError
            if verify and digest_of(buffer) != name.digest:
                raise WireError("a buffer is not what its digest says: the first 16 bytes of SHA-256 over its bytes")
            array = array_from(name, buffer)
            names.learn(array, name)
        found[name] = array
        return array

    return find


def _bytes_of(buffer: Buffer | AnyArray) -> Buffer:
    """The bytes of an array in C order, copied only where they lie otherwise."""
    if isinstance(buffer, np.ndarray):
        return np.ascontiguousarray(buffer).reshape(-1).view(np.uint8).data
    return buffer


def _finite(*numbers: float) -> None:
    if not all(map(math.isfinite, numbers)):
        raise WireError(f"numbers are finite here, got {', '.join(map(str, numbers))}")
