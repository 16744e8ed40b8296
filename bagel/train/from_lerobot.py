"""Episodes of a LeRobot dataset, version 2 or 3: tables in parquet, pictures in them or in videos.

The words are the task of each frame, or what a table makes of its action. Version 2 has a table and videos for each
episode, listed in meta/episodes.jsonl; version 3 has several episodes in each, and meta/episodes says where.
"""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bagel.train.recorded import Episode
from bagel.train.table import Table
from world.errors import ModelError
from world.types import Frame

_EPISODES, _TASKS = "meta/episodes.jsonl", "meta/tasks.jsonl"  # of version 2


class LeRobotRecording:
    """`folder` is the one with meta/info.json. Raises ModelError without pyarrow, and where the folder is broken."""

    def __init__(self, folder: Path, table: Table) -> None:
        self._folder, self._table = folder, table
        self.name = folder.resolve().name
        try:
            self._info = json.loads((folder / "meta" / "info.json").read_text(encoding="utf-8"))
            self._camera = self._choose_camera()
            self._tasks = self._read_tasks()
            self._rows = sorted(self._read_rows(), key=lambda row: row["episode_index"])
            self.lengths: Sequence[int] = [int(row["length"]) for row in self._rows]
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._broken(error) from None

    def episodes(self, numbers: Sequence[int]) -> Iterator[Episode]:
        for number in numbers:
            try:
                yield self._episode(self._rows[number])
            except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
                raise self._broken(error) from None

    def _episode(self, row: dict[str, Any]) -> Episode:
        video = self._info["features"][self._camera]["dtype"] == "video"
        columns = ["task_index"] + (["action"] if self._table else []) + ([] if video else [self._camera])
        path = self._folder / self._place("data_path", row, "data")
        found = _parquet(path, columns, [("episode_index", "=", row["episode_index"])])
        if self._table:
            words = [self._table.say(action) for action in found["action"]]
        else:
            words = [self._tasks.get(task) or self._table.say(task) for task in found["task_index"]]
        frames = self._film(row) if video else (_decoded(picture) for picture in found[self._camera])
        return Episode(frames, words[:-1])

    def _film(self, row: dict[str, Any]) -> Iterator[Frame]:
        """The episode's part of a video."""
        path = self._folder / self._place("video_path", row, f"videos/{self._camera}")
        begin = float(row.get(f"videos/{self._camera}/from_timestamp", 0.0)) - 0.5 / self._info["fps"]
        count = 0
        for frame in _pictures(path, max(0.0, begin), row["length"]):
            count += 1
            yield frame
        if count < row["length"]:
            raise ValueError(f"{path} ends after {count} of {row['length']} frames")

    def _place(self, template: str, row: dict[str, Any], of: str) -> str:
        number = int(row["episode_index"])
        return self._info[template].format(
            video_key=self._camera,
            episode_index=number,
            episode_chunk=number // self._info.get("chunks_size", 1000),
            chunk_index=row.get(f"{of}/chunk_index", 0),
            file_index=row.get(f"{of}/file_index", 0),
        )

    def _choose_camera(self) -> str:
        cameras = [key for key, feature in self._info["features"].items() if feature["dtype"] in ("video", "image")]
        wanted = self._table.picture
        chosen = [camera for camera in cameras if wanted in ("", camera, camera.rpartition(".")[2])]
        if len(chosen) != 1:
            raise ModelError(
                f'{self._folder} has the cameras {", ".join(cameras) or "none"}: name one by `picture = "NAME"` in the '
                "table of --actions"
            )
        return chosen[0]

    def _read_tasks(self) -> dict[int, str]:
        if (self._folder / _TASKS).is_file():
            return {task["task_index"]: task["task"] for task in _lines(self._folder / _TASKS)}
        found = _parquet(self._folder / "meta" / "tasks.parquet")
        [text] = found.keys() - {"task_index"}
        return dict(zip(found["task_index"], found[text], strict=True))

    def _read_rows(self) -> list[dict[str, Any]]:
        if (self._folder / _EPISODES).is_file():
            return _lines(self._folder / _EPISODES)
        rows = []
        for path in sorted((self._folder / "meta" / "episodes").rglob("*.parquet")):
            found = _parquet(path)
            rows += [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
        return rows

    def _broken(self, error: Exception) -> ModelError:
        return ModelError(f"{self._folder} cannot be read as a LeRobot dataset of version 2 or 3: {error!r}")


def _parquet(path: Path, columns: list[str] | None = None, filters: Any = None) -> dict[str, list[Any]]:
    try:
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise ModelError("LeRobot datasets need pyarrow: pip install -e '.[lerobot]' in the repository") from None
    return parquet.read_table(path, columns=columns, filters=filters).to_pydict()


def _pictures(path: Path, begin: float, num: int) -> Iterator[Frame]:
    """At most `num` frames of a video from `begin` (s) on, as ffmpeg writes them: a stream of ppm files."""
    from imageio_ffmpeg import get_ffmpeg_exe

    command = [get_ffmpeg_exe(), "-loglevel", "quiet", "-ss", f"{begin:.6f}", "-i", str(path), "-frames:v", str(num)]
    command += ["-fps_mode", "passthrough", "-f", "image2pipe", "-vcodec", "ppm", "-"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as ffmpeg:
        assert ffmpeg.stdout is not None
        while ffmpeg.stdout.readline():
            width, height = map(int, ffmpeg.stdout.readline().split())
            ffmpeg.stdout.readline()  # the largest number, 255
            yield np.frombuffer(ffmpeg.stdout.read(3 * width * height), np.uint8).reshape(height, width, 3)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _decoded(picture: Any) -> Frame:
    """A picture of a table: its file's bytes."""
    return np.asarray(Image.open(io.BytesIO(picture["bytes"])).convert("RGB"))
