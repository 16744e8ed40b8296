"""Recorded episodes as walks to learn from: pictures somebody took, and what was done between them, in words.

An episode of any length becomes walks of one length that share their end frames. Every tenth episode is kept for
measuring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from bagel.train.data import Walks
from bagel.train.table import Table
from world.errors import ModelError
from world.phrases import PHRASES
from world.types import Frame

LENGTH = 32  # frames of a walk at most
HELD_OUT_EVERY = 10  # episodes


@dataclass(frozen=True)
class Episode:
    """What was seen, T + 1 frames uint8 [H, W, 3], and the T sentences of what was done between them."""

    frames: Iterable[Frame]
    words: Sequence[str]


class Recording(Protocol):
    """A folder of episodes."""

    @property
    def name(self) -> str:
        """Of the place, as the words tell it where no table does."""
        ...

    @property
    def lengths(self) -> Sequence[int]:
        """Frames of each episode."""
        ...

    def episodes(self, numbers: Sequence[int]) -> Iterator[Episode]:
        """Those episodes, one after the other."""
        ...


def open_recording(folder: Path, table: Table) -> Recording:
    """A Minari dataset or a LeRobot one. Raises ModelError where the folder is neither."""
    if (folder / "meta" / "info.json").is_file():
        from bagel.train.from_lerobot import LeRobotRecording

        return LeRobotRecording(folder, table)
    found = [p.parent for pattern in ("", "data/", "*/data/") for p in sorted(folder.glob(f"{pattern}metadata.json"))]
    if len(found) == 1:
        from bagel.train.from_minari import MinariRecording

        return MinariRecording(found[0], table)
    if found:
        names = ", ".join(path.parent.name for path in found)
        raise ModelError(f"{folder} holds several datasets ({names}): give one of these folders")
    raise ModelError(
        f"{folder} holds no episodes: give the folder of a Minari dataset (data/metadata.json; `python -m agents "
        "rollout` writes one) or of a LeRobot one (meta/info.json)"
    )


def read(
    recording: Recording, table: Table, window: int, fit: Callable[[Frame], Frame], directory: Path
) -> tuple[Walks, Walks]:
    """The walks to learn from and the held-out ones, their frames fitted and kept in `directory`.

    `table` names the place and says how many frames are passed over; episodes shorter than `window` frames teach
    nothing and are left out. Raises ModelError where fewer than two are left.
    """
    name = table.scene or recording.name
    thinned = _Thinned(recording, table.every)
    usable = [i for i, length in enumerate(thinned.lengths) if length >= window]
    if len(usable) < 2:
        raise ModelError(
            f"{name} has {len(usable)} episodes of at least {window} frames, which is what the model sees at once: "
            "record two at least, one of which is kept for measuring"
        )
    length = min(LENGTH, *(thinned.lengths[i] for i in usable))
    held_out = usable[::HELD_OUT_EVERY]
    vocabulary: dict[str, int] = {}
    parts = {"train": [i for i in usable if i not in held_out], "held_out": held_out}
    cut = {
        part: _cut(thinned, numbers, length, fit, vocabulary, directory / f"{part}.npy")
        for part, numbers in parts.items()
    }
    wordings = tuple(_wordings(text) for text in vocabulary)
    train, held = (
        Walks((name,), wordings, frames, actions, np.zeros(len(actions), np.int64)) for frames, actions in cut.values()
    )
    return train, held


class _Thinned:
    """Every so often a frame of a recording, and what was said at it."""

    def __init__(self, recording: Recording, every: int) -> None:
        self.name, self._recording, self._every = recording.name, recording, every
        self.lengths = [-(-length // every) for length in recording.lengths]

    def episodes(self, numbers: Sequence[int]) -> Iterator[Episode]:
        for number, episode in zip(numbers, self._recording.episodes(numbers), strict=True):
            words = episode.words[:: self._every][: self.lengths[number] - 1]
            yield Episode(islice(episode.frames, 0, None, self._every), words)


def _cut(
    recording: Recording,
    numbers: Sequence[int],
    length: int,
    fit: Callable[[Frame], Frame],
    vocabulary: dict[str, int],
    path: Path,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Frames [W, L, H, W, 3] in the file at `path` and actions [W, L - 1] into `vocabulary`, which grows."""
    starts = [_starts(recording.lengths[i], length) for i in numbers]
    num = sum(map(len, starts))
    actions = np.empty((num, length - 1), np.int64)
    frames: Any = None
    w = 0
    for episode, begins in zip(track(recording.episodes(numbers), "episodes", len(numbers)), starts, strict=True):
        pictures = np.stack([fit(frame) for frame in episode.frames])
        if frames is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            frames = np.lib.format.open_memmap(path, "w+", np.uint8, (num, length, *pictures.shape[1:]))
        elif pictures.shape[1:] != frames.shape[2:]:
            raise ModelError(f"the episodes have pictures of several sizes: {pictures.shape[1:]}, {frames.shape[2:]}")
        done = np.array([vocabulary.setdefault(text, len(vocabulary)) for text in episode.words])
        for begin in begins:
            frames[w], actions[w] = pictures[begin : begin + length], done[begin : begin + length - 1]
            w += 1
    return frames, actions


def _starts(frames: int, length: int) -> list[int]:
    """Where the walks of an episode begin: neighbours share a frame, the last one ends where the episode does."""
    return sorted({*range(0, frames - length + 1, length - 1), frames - length})


def _wordings(text: str) -> tuple[str, ...]:
    """A move that is known by these words has others as well."""
    return next((phrases for phrases in PHRASES.values() if phrases[0] == text), (text,))
