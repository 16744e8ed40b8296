"""A Minari dataset in the making: episodes are kept one by one, the dataset appears when all are there.

DIR is a Minari root: with MINARI_DATASETS_PATH=DIR, `minari.load_dataset(name)` finds DIR/name. Until then everything
lies in the hidden DIR/.name.partial, where an interrupted run goes on, and where nothing half-written counts.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from gymnasium import Space
from gymnasium.envs.registration import EnvSpec

from agents.episode import Episode, load_episode, save_episode
from world.errors import WorldError
from world.files import atomic_write_text
from world.recording import save_video
from world.types import Frame

_REQUEST = "bagel_world_request"  # in Minari's metadata: what the dataset was asked to hold


@dataclass(frozen=True)
class Kind:
    """What a dataset's episodes are of."""

    observation_space: Space[Any]
    action_space: Space[Any]
    env_spec: EnvSpec | None  # None: no environment makes more of them
    algorithm: str
    description: str


class Ending(NamedTuple):
    """How an episode ended."""

    reached: bool  # what the task wants; else the time was up
    steps: int
    reward: float  # of the whole episode


class Dataset:
    """The dataset `name` in `root`, asked for by `request`: whatever decides the episodes, as JSON values."""

    def __init__(self, root: Path, name: str, request: Mapping[str, Any], num_episodes: int) -> None:
        """Raises ValueError where `root` holds another one of this name; WorldError without Minari."""
        _minari()
        root = root.resolve()  # HDF5 reads relative paths from elsewhere
        self.root, self.name = root, name
        self.num_episodes = num_episodes
        self.path = root / name
        self._request = json.loads(json.dumps({**request, "episodes": num_episodes}))
        self._partial = root / f".{name}.partial"
        self._check()

    @property
    def is_complete(self) -> bool:
        """Whether it can be loaded."""
        return self.path.exists()

    def missing(self) -> list[int]:
        """The numbers of the episodes that are still to be played."""
        return [i for i in range(self.num_episodes) if not self.is_complete and not self._file(i).exists()]

    def keep(self, index: int, episode: Episode) -> None:
        """Keeps one episode; it counts from when this returns."""
        if not (asked := self._partial / "request.json").exists():
            atomic_write_text(asked, json.dumps(self._request, indent=1) + "\n")
        save_episode(self._file(index), episode)

    def episodes(self) -> Iterator[Episode]:
        """What was kept so far, in order."""
        return (load_episode(self._file(i)) for i in range(self.num_episodes) if self._file(i).exists())

    def finish(self, kind: Kind, video: bool = False) -> list[Ending]:
        """Makes the dataset appear, with an mp4 an episode beside it where `video` asks for them; how they ended."""
        if left := self.missing():
            raise ValueError(f"{self.name} lacks {len(left)} of {self.num_episodes} episodes: play them first")
        built = self._partial / "built"
        shutil.rmtree(built, ignore_errors=True)
        built.mkdir(parents=True)
        endings: list[Ending] = []

        def noted() -> Iterator[Episode]:
            for episode in self.episodes():
                last, rewards = episode.arrays["terminations"][-1], episode.arrays["rewards"]
                endings.append(Ending(bool(last), len(episode), float(rewards.sum())))
                yield episode

        write_minari(built / "data", self.name, noted(), kind, json.dumps(self._request))
        if video:
            for i, episode in enumerate(self.episodes()):
                save_video(built / "videos" / f"episode-{i:05d}.mp4", cast(Iterable[Frame], episode.frames))
        os.rename(built, self.path)
        shutil.rmtree(self._partial)
        return endings

    def _file(self, index: int) -> Path:
        return self._partial / "episodes" / f"{index:06d}.npz"

    def _check(self) -> None:
        """Compares what lies there with what is asked for, and clears what a killed run left half-written."""
        if self.is_complete:
            shutil.rmtree(self._partial, ignore_errors=True)
            found = json.loads((self.path / "data" / "metadata.json").read_text(encoding="utf-8")).get(_REQUEST, "null")
        elif (asked := self._partial / "request.json").exists():
            found = asked.read_text(encoding="utf-8")
            for torn in self._partial.rglob(".*.partial*"):
                torn.unlink()
        else:
            return
        if (other := json.loads(found)) != self._request:
            keys = [key for key in self._request if not isinstance(other, dict) or other.get(key) != self._request[key]]
            raise ValueError(
                f"{self.root} holds another {self.name}, of other {', '.join(keys) or 'make'}: give another --out"
            )


def write_minari(path: Path, name: str, episodes: Iterable[Episode], kind: Kind, request: str = "") -> None:
    """Writes a Minari dataset's data folder, losslessly, one episode in memory at a time."""
    minari = _minari()
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    storage = MinariStorage.new(
        path, kind.observation_space, kind.action_space, kind.env_spec, data_format="hdf5", jpeg_encoding=False
    )
    storage.update_metadata(
        {
            "dataset_id": name,
            "minari_version": minari.__version__,
            "algorithm_name": kind.algorithm,
            "description": kind.description,
            _REQUEST: request,
        }
    )
    for episode in episodes:
        buffer = EpisodeBuffer(
            seed=episode.seed,
            observations=episode.part("observations"),
            actions=episode.part("actions"),
            rewards=episode.part("rewards"),
            terminations=episode.part("terminations"),
            truncations=episode.part("truncations"),
            infos=episode.part("infos"),
        )
        storage.update_episodes([buffer])


def name_of(*words: str) -> str:
    """A dataset's name from what it is about: "gallery-random-sim-v0"; of paths the last part, of URLs the scheme."""
    short = [word.partition("://")[0] if "://" in word else Path(word).stem if "/" in word else word for word in words]
    plain = [re.sub(r"[^A-Za-z0-9_]+", "_", word).strip("_") for word in short]
    return "-".join([*filter(None, plain), "v0"])


def loading(dataset: Dataset) -> str:
    """What a person is told about a dataset that is there: how many episodes, and the words that load it."""
    found = f"{dataset.path}: {dataset.num_episodes} episodes; to load them:\n"
    return (
        f"{found}MINARI_DATASETS_PATH={dataset.root} python -c \"import minari; minari.load_dataset('{dataset.name}')\""
    )


def _minari() -> Any:
    try:
        import minari
    except ModuleNotFoundError as error:
        raise WorldError(f"datasets need {error.name}: pip install -e '.[data]' in the repository") from None
    return minari
