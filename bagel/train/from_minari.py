"""Episodes of a Minari dataset: the words are its actions, in its infos (`python -m agents rollout`), or a table's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bagel.train.recorded import Episode
from bagel.train.table import Table
from world.errors import ModelError


class MinariRecording:
    """`folder` is the one with metadata.json. Raises ModelError without Minari, and where it cannot read the folder."""

    def __init__(self, folder: Path, table: Table) -> None:
        try:
            from minari import MinariDataset
        except ModuleNotFoundError as error:
            raise ModelError(f"Minari datasets need {error.name}: pip install -e '.[data]' in the repository") from None
        try:
            self._dataset = MinariDataset(folder.resolve())  # HDF5 reads relative paths from elsewhere
        except (OSError, ValueError, KeyError, AssertionError, ImportError) as error:
            raise ModelError(f"{folder} cannot be read as a Minari dataset: {error}") from None
        made_by = self._dataset.env_spec  # an environment of ours names the place
        scene = made_by.kwargs.get("scene") if made_by is not None else None
        self.name = Path(scene.partition(":")[0]).stem if isinstance(scene, str) else folder.resolve().parent.name
        self._table = table
        told = self._dataset.storage.get_episode_metadata(self._dataset.episode_indices)
        self.lengths: Sequence[int] = [int(episode["total_steps"]) + 1 for episode in told]

    def episodes(self, numbers: Sequence[int]) -> Iterator[Episode]:
        for found in self._dataset.iterate_episodes(numbers):
            yield Episode(self._frames(found.observations), self._words(found.actions, found.infos))

    def _frames(self, seen: Any) -> Any:
        """The observations that are pictures."""
        leaves = {"": seen} if isinstance(seen, np.ndarray) else dict(seen) if isinstance(seen, dict) else {}
        pictures = {name: a for name, a in leaves.items() if _is_pictures(a) and self._table.picture in ("", name)}
        if not self._table.picture and "frame" in pictures:  # as environments with goals of ours call it
            return pictures["frame"]
        if len(pictures) != 1:
            among = ", ".join(n for n, a in leaves.items() if _is_pictures(a)) or "none"
            raise ModelError(
                f"{self.name}: one observation must be pictures, uint8 [H, W, 3]; there are {among}: name one by "
                '`picture = "NAME"` in the table of --actions'
            )
        return next(iter(pictures.values()))

    def _words(self, actions: Any, infos: Any) -> list[str]:
        if self._table:
            return [self._table.say(action) for action in actions]
        if len(actions) and isinstance(actions[0], str):
            return list(actions)
        told = (infos or {}).get("action")
        if told is not None and len(told) == len(actions) + 1 and isinstance(told[1], bytes | str):
            return [text.decode() if isinstance(text, bytes) else text for text in told[1:]]
        return [self._table.say(action) for action in actions]


def _is_pictures(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == 4 and array.shape[-1] == 3
