"""LeRobot's folders of both versions are episodes: the frames of each, and the words of its task or of a table."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bagel.train.recorded import open_recording, read
from bagel.train.table import Number, Table
from world.errors import ModelError
from world.recording import save_video
from world.types import Frame

pa = pytest.importorskip("pyarrow", reason="pip install -e '.[lerobot]'")
LENGTHS = [7, 9]
TASKS = ["open the drawer", "close it"]
VIDEO = "observation.images.top"


def frame(number: int) -> Frame:
    """A grey that survives a video codec."""
    return np.full((32, 48, 3), 20 + 12 * number, np.uint8)


def pictures(episode: int) -> list[Frame]:
    return [frame(episode + t) for t in range(LENGTHS[episode])]


def write_table(path: Path, columns: dict[str, Any]) -> None:
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path)


def rows(episode: int) -> dict[str, list[Any]]:
    length = LENGTHS[episode]
    action = [[0.0, 1.0 if t % 2 else -1.0] for t in range(length)]
    return {"action": action, "episode_index": [episode] * length, "task_index": [episode] * length}


def info(folder: Path, version: str, dtype: str, data: str, video: str) -> None:
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {
        "codebase_version": version,
        "fps": 10,
        "chunks_size": 1000,
        "data_path": data,
        "video_path": video,
    }
    told["features"] = {VIDEO: {"dtype": dtype}, "action": {"dtype": "float32"}}
    (folder / "meta" / "info.json").write_text(json.dumps(told))


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """Version 2.1, pictures in the tables."""
    folder = tmp_path / "drawer"
    info(folder, "v2.1", "image", "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet", "")
    for episode in range(2):
        files = [io.BytesIO() for _ in pictures(episode)]
        for file, picture in zip(files, pictures(episode), strict=True):
            Image.fromarray(picture).save(file, "PNG")
        columns = rows(episode) | {VIDEO: [{"bytes": file.getvalue(), "path": None} for file in files]}
        write_table(folder / "data" / "chunk-000" / f"episode_{episode:06d}.parquet", columns)
    lines = [{"episode_index": i, "length": n, "tasks": [TASKS[i]]} for i, n in enumerate(LENGTHS)]
    (folder / "meta" / "episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    lines = [{"task_index": i, "task": task} for i, task in enumerate(TASKS)]
    (folder / "meta" / "tasks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def third(tmp_path: Path) -> Path:
    """Version 3, both episodes in one table and one video."""
    folder = tmp_path / "drawer"
    where = "chunk-{chunk_index:03d}/file-{file_index:03d}"
    info(folder, "v3.0", "video", f"data/{where}.parquet", f"videos/{{video_key}}/{where}.mp4")
    both = {key: rows(0)[key] + rows(1)[key] for key in rows(0)}
    write_table(folder / "data" / "chunk-000" / "file-000.parquet", both)
    write_table(folder / "meta" / "tasks.parquet", {"task_index": [0, 1], "__index_level_0__": TASKS})
    episodes: dict[str, Any] = {
        "episode_index": [0, 1],
        "length": LENGTHS,
        "data/chunk_index": [0, 0],
        "data/file_index": [0, 0],
    }
    episodes |= {f"videos/{VIDEO}/{key}": [0, 0] for key in ("chunk_index", "file_index")}
    episodes[f"videos/{VIDEO}/from_timestamp"] = [0.0, LENGTHS[0] / 10]
    write_table(folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet", episodes)
    save_video(folder / "videos" / VIDEO / "chunk-000" / "file-000.mp4", [*pictures(0), *pictures(1)], fps=10)
    return folder


@pytest.mark.parametrize("version", ["second", "third"])
def test_both_versions_give_the_frames_and_the_task(version: str, request: pytest.FixtureRequest) -> None:
    recording = open_recording(request.getfixturevalue(version), Table())
    assert (recording.name, list(recording.lengths)) == ("drawer", LENGTHS)
    for number, episode in enumerate(recording.episodes([0, 1])):
        assert episode.words == [TASKS[number]] * (LENGTHS[number] - 1)
        for found, wanted in zip(episode.frames, pictures(number), strict=True):
            assert abs(found.mean() - wanted.mean()) <= 4


def test_a_table_says_what_vectors_mean_and_frames_may_be_passed_over(second: Path, tmp_path: Path) -> None:
    table = Table(scene="kitchen", every=2, numbers=(Number(1, "up", "down"),))
    train, held_out = read(open_recording(second, table), table, 4, lambda picture: picture, tmp_path / "walks")
    assert (train.names, train.wordings) == (("kitchen",), (("down",),))
    assert [int(picture[0, 0, 0]) for picture in held_out.frames[0]] == [20, 44, 68, 92]
    assert [int(picture[0, 0, 0]) for picture in train.frames[1]] == [56, 80, 104, 128]


def test_what_is_missing_is_told(second: Path) -> None:
    with pytest.raises(ModelError, match=r"has the cameras observation\.images\.top: name one"):
        open_recording(second, Table(picture="side"))
    (second / "data" / "chunk-000" / "episode_000001.parquet").unlink()
    with pytest.raises(ModelError, match="cannot be read as a LeRobot dataset of version 2 or 3"):
        list(open_recording(second, Table()).episodes([1]))
