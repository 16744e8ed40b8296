from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from tests.world.toy_world import ToyWorld, toy_scene
from world.film import Film
from world.history import History, node_of
from world.recording import VideoRecorder, contact_sheet, log_header, save_log, save_png, save_video, save_walk
from world.timeline import NOWHERE
from world.types import Frame, State


def frames(num: int, height: int = 48, width: int = 64) -> list[Frame]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (height, width, 3), dtype=np.uint8) for _ in range(num)]


def size_and_count(path: Path) -> tuple[tuple[int, int], int]:
    """What a player would find: (width, height) and the number of frames."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    match = re.search(rb"Video: h264.*?, (\d+)x(\d+)", done.stderr)
    assert match is not None
    width, height = int(match[1]), int(match[2])
    return (width, height), len(done.stdout) // (3 * width * height)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(48, 64, (682, 512)), (97, 131, (692, 512)), (701, 601, (600, 700)), (1, 1, (512, 512))],
)
def test_a_video_is_even_and_at_least_512_pixels(
    tmp_path: Path, height: int, width: int, expected: tuple[int, int]
) -> None:
    save_video(tmp_path / "walk.mp4", frames(3, height, width), fps=6)
    assert size_and_count(tmp_path / "walk.mp4") == (expected, 3)


def test_a_video_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "walk.mp4"
    path.write_bytes(b"the old one")

    def broken():
        yield from frames(2)
        raise RuntimeError("the model died")

    with pytest.raises(RuntimeError, match="the model died"):
        save_video(path, broken(), fps=6)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_impossible_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        save_video(tmp_path / "walk.mp4", [], fps=6)
    with pytest.raises(ValueError, match="mp4 files"):
        VideoRecorder(tmp_path / "walk.avi", fps=6)
    with pytest.raises(ValueError, match="above 0"):
        VideoRecorder(tmp_path / "walk.mp4", fps=0)


def test_a_contact_sheet_has_a_cell_for_every_frame() -> None:
    red = [np.full((32, 32, 3), (200, 30, 30), np.uint8)] * 5
    sheet = contact_sheet(red, columns=3, labels=["a", "b", "c", "d", "long " * 50])
    cells = (sheet == (200, 30, 30)).all(-1).sum()
    assert cells == 5 * 192 * 192
    assert sheet.shape[1] == 2 * 16 + 3 * 192 + 2 * 8
    bare = contact_sheet(red, columns=3)
    assert bare.shape[0] < sheet.shape[0]


def test_labels_show_and_stay_within_their_cell() -> None:
    black = [np.zeros((192, 192, 3), np.uint8)] * 2
    blank = contact_sheet(black, 2, ["", ""])
    labelled = contact_sheet(black, 2, ["move forward", ""])
    rows, columns = np.nonzero((blank != labelled).any(-1))
    assert rows.size > 100
    assert columns.max() < 16 + 192
    assert rows.min() > 16 + 192


def test_impossible_sheets_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        contact_sheet([])
    with pytest.raises(ValueError, match="3 frames need as many labels, got 1"):
        contact_sheet(frames(3), labels=["a"])
    with pytest.raises(ValueError, match="at least 1, got 0"):
        contact_sheet(frames(3), columns=0)


def test_a_picture_comes_back_as_it_was(tmp_path: Path) -> None:
    (frame,) = frames(1)
    save_png(tmp_path / "new" / "frame.png", frame)
    with Image.open(tmp_path / "new" / "frame.png") as image:
        assert np.array_equal(np.asarray(image), frame)


def test_a_log_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_log(tmp_path / "log.ndjson", [{"fine": 1}, {"broken": object()}])
    assert list(tmp_path.iterdir()) == []


def test_a_walk_leaves_video_sheet_and_a_log_that_can_be_walked_again(tmp_path: Path) -> None:
    model, scene = ToyWorld(), toy_scene()
    states, actions = model.reset([scene], [3]), list(scene.actions[1:4])
    for action in actions:
        states += model.step(states[-1:], [action])
    video, sheet, log = save_walk(tmp_path, model.spec, states, actions)
    assert size_and_count(video)[1] == 4
    assert sheet.exists()
    header, *steps = [json.loads(line) for line in log.read_text().splitlines()]
    assert (header["model"], header["scene"], header["start"], header["seed"]) == ("toy", "toy", "door", 3)
    assert [step["action"]["name"] for step in steps] == ["forward", "back", "left"]
    assert [step["step"] for step in steps] == [1, 2, 3]
    assert len({step["frame"] for step in steps}) == 3


def begun() -> tuple[History, State]:
    """A walk at its beginning."""
    history, [state] = History(), ToyWorld().reset([toy_scene()], [0])
    history.add(state, NOWHERE, node_of(state, None))
    return history, state


def test_a_film_is_encoded_beside_the_walk(tmp_path: Path) -> None:
    model, (history, state) = ToyWorld(), begun()
    film = Film(tmp_path / "film.mp4", log_header(model.spec, state), history, state.frame)
    for action in state.scene.actions[:4]:
        (state,) = model.step([state], [action])
        history.add(state, history.timeline.here, node_of(state, action))
        film.add(history, history.timeline.here, state.frame)
    film.add(History(), 0, state.frame)  # of another scene: the log tells of one walk
    film.finish()
    assert film.wait(30)
    assert film.error is None
    assert size_and_count(film.path)[1] == film.num_frames == 6
    header, *steps = [json.loads(line) for line in film.path.with_suffix(".ndjson").read_text().splitlines()]
    assert header["frame"] == history.nodes[0].picture
    assert [step["action"]["name"] for step in steps] == [action.name for action in state.scene.actions[:4]]


def test_the_log_of_some_places_tells_how_one_came_there() -> None:
    model, (history, state) = ToyWorld(), begun()
    for parent, action in ((0, 1), (1, 2), (0, 3), (3, 4), (1, 4)):  # places 1 to 5
        before, move = history.shelf.state(parent), state.scene.actions[action]
        (after,) = model.step([before], [move])
        history.add(after, parent, node_of(after, move))
    told = [(line["action"]["name"], line["step"], line.get("parent")) for line in history.log([5, 3])]
    assert told == [("forward", 1, None), ("left", 1, 0), ("right", 2, 1)]
    assert history.log([0]) == []


def test_a_film_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    history, state = begun()
    film = Film(tmp_path / "file" / "film.mp4", {}, history, state.frame)
    film.finish()
    assert film.wait(30)
    assert isinstance(film.error, OSError)
