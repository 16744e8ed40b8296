"""One episode: an agent in an environment from reset to the end, as arrays that can be kept and compared.

T steps. Nested observations and infos are named by paths: "observations/goal" [T + 1, ...], "infos/pose/x" [T + 1].
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from agents.base import Agent
from world.files import atomic_path

Arrays = dict[str, NDArray[np.generic]]

_STEPS = ("actions", "rewards", "terminations", "truncations")  # [T] each


@dataclass(frozen=True)
class Episode:
    """`arrays` holds observations and infos [T + 1, ...] by path, and actions, rewards, terminations, truncations."""

    seed: int
    arrays: Mapping[str, NDArray[np.generic]]

    def __len__(self) -> int:
        return len(self.arrays["rewards"])

    @property
    def frames(self) -> NDArray[np.generic]:
        """What was seen, uint8 [T + 1, H, W, 3]."""
        return self.arrays["observations"] if "observations" in self.arrays else self.arrays["observations/frame"]

    def part(self, name: str) -> Any:
        """The array of that name, or the tree of arrays below it; texts as lists of str."""
        if name in self.arrays:
            array = self.arrays[name]
            return array.tolist() if array.dtype.kind == "U" else array
        names = {path.removeprefix(f"{name}/").partition("/")[0] for path in self.arrays if path.startswith(f"{name}/")}
        return {child: self.part(f"{name}/{child}") for child in sorted(names)}


def play(env: gymnasium.Env[Any, Any], agent: Agent, seed: int, steps: int) -> Episode:
    """Lets `agent` act in `env` until an ending, but at most `steps` times; then the episode counts as truncated."""
    observation, info = env.reset(seed=seed)
    seen, told = [observation], [info]
    rows: list[tuple[Any, float, bool, bool]] = []
    for left in range(steps - 1, -1, -1):
        action = agent.act(observation, info)
        observation, reward, terminated, truncated, info = env.step(action)
        truncated = truncated or (left == 0 and not terminated)
        rows.append((action, float(reward), terminated, truncated))
        seen.append(observation)
        told.append(info)
        if terminated or truncated:
            break
    arrays = columns("observations", seen) | columns("infos", told)
    arrays |= {name: np.array(column) for name, column in zip(_STEPS, zip(*rows, strict=True), strict=True)}
    return Episode(seed, arrays)


def columns(name: str, rows: Sequence[Any]) -> Arrays:
    """Rows of numbers, texts, arrays, or trees of them, as one array a leaf; what a row lacks is left out."""
    if isinstance(rows[0], Mapping):
        shared = [key for key in rows[0] if all(key in row for row in rows)]
        return {path: a for key in shared for path, a in columns(f"{name}/{key}", [r[key] for r in rows]).items()}
    array = np.array(rows)
    return {name: array} if array.dtype.kind in "biufU" else {}


def save_episode(path: Path, episode: Episode) -> None:
    """Writes an npz, whole or not at all."""
    with atomic_path(path) as partial:
        arrays: dict[str, Any] = {"seed": np.array(episode.seed), **episode.arrays}
        np.savez_compressed(partial, **arrays)


def load_episode(path: Path) -> Episode:
    """Raises ValueError where the file is none of `save_episode`."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        return Episode(int(arrays.pop("seed")), arrays)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} holds no episode ({error}): remove it, and it is played again") from None


def same(one: Episode, other: Episode) -> bool:
    """Whether both hold the same seed and equal arrays, bit for bit."""
    return (
        one.seed == other.seed
        and one.arrays.keys() == other.arrays.keys()
        and all(np.array_equal(array, other.arrays[name]) for name, array in one.arrays.items())
    )
