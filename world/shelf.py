"""Where a long walk keeps its states: the last used in memory, every other on disk, each array once."""

from __future__ import annotations

import hashlib
import tempfile
from collections import OrderedDict
from dataclasses import dataclass, replace
from io import FileIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.types import Frame, Scene, State

IN_MEMORY = 64  # states; neighbours in a walk share most of their frames
_NOTHING: Frame = np.empty((0, 0, 3), dtype=np.uint8)


@dataclass(frozen=True)
class _Place:
    """Where an array lies in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class _Spilled:
    """A state without its arrays, and where these are."""

    bare: State
    frames: tuple[_Place, ...]
    memory: tuple[_Place, ...]
    places: tuple[_Place, ...]


class Shelf:
    """States under whole numbers. The file has no name: it is gone with the process, however that ends."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        """`in_memory` states at most stay in memory, at least one."""
        if in_memory < 1:
            raise ValueError(f"at least one state stays in memory, got {in_memory}")
        self._in_memory = in_memory
        self._recent: OrderedDict[int, State] = OrderedDict()  # the last used at the end
        self._spilled: dict[int, _Spilled] = {}
        self._places: dict[bytes, _Place] = {}  # by the array's digest
        self._opened: FileIO | None = None  # with the first state that has no room in memory

    def put(self, key: int, state: State) -> None:
        """Keeps `state`. Raises OSError where the disk is full; the state is kept all the same, in memory."""
        self._spilled.pop(key, None)
        self._recent[key] = state
        self._make_room()

    def state(self, key: int) -> State:
        """The state of that key, equal to what was put. Raises KeyError."""
        if key in self._recent:
            self._recent.move_to_end(key)
        else:
            kept = self._spilled[key]
            frames, memory, seen = (tuple(map(self._read, lie)) for lie in (kept.frames, kept.memory, kept.places))
            places = tuple(replace(place, frame=frame) for place, frame in zip(kept.bare.places, seen, strict=True))
            self._recent[key] = replace(kept.bare, frames=frames, memory=memory, places=places)
            self._make_room()
        return self._recent[key]

    def frame(self, key: int) -> Frame:
        """What is seen in the state of that key, without bringing it all to memory. Raises KeyError."""
        return self._recent[key].frame if key in self._recent else self._read(self._spilled[key].frames[-1])

    def scene(self, key: int) -> Scene:
        """The scene of that state. Raises KeyError."""
        return (self._recent[key] if key in self._recent else self._spilled[key].bare).scene

    def close(self) -> None:
        """Frees memory and disk; may be called twice."""
        self._recent.clear()
        self._spilled.clear()
        if self._opened is not None:
            self._opened.close()

    @property
    def _file(self) -> FileIO:
        if self._opened is None:
            self._opened = tempfile.TemporaryFile(buffering=0, prefix="bagel-world-")  # noqa: SIM115 (as long as the shelf)
        return self._opened

    def _make_room(self) -> None:
        while len(self._recent) > self._in_memory:
            key, state = next(iter(self._recent.items()))
            if key not in self._spilled:
                seen = [place.frame for place in state.places]
                lie = [tuple(map(self._written, arrays)) for arrays in (state.frames, state.memory, seen)]
                bare = tuple(replace(place, frame=_NOTHING) for place in state.places)
                self._spilled[key] = _Spilled(replace(state, frames=(), memory=(), places=bare), *lie)
            del self._recent[key]

    def _written(self, array: NDArray[Any]) -> _Place:
        array = np.ascontiguousarray(array)
        digest = hashlib.blake2b(repr((array.shape, array.dtype.str)).encode(), digest_size=16)
        digest.update(array.data)
        found = self._places.get(digest.digest())
        if found is None:
            found = _Place(self._file.seek(0, 2), array.shape, array.dtype)
            left = array.data.cast("B")
            while left:
                left = left[self._file.write(left) :]
            self._places[digest.digest()] = found
        return found

    def _read(self, place: _Place) -> NDArray[Any]:
        array = np.empty(place.shape, place.dtype)
        self._file.seek(place.offset)
        self._file.readinto(array.data)
        return array
