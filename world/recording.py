"""What a walk leaves behind: a video, a contact sheet, pictures, and a log that can be walked again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from world import lettering
from world.files import atomic_path, atomic_write_text
from world.settings import SamplerConfig
from world.types import Action, Frame, Pose, State, WorldSpec

LOG = "bagel-world walk"  # the kind of a log's first line
MIN_VIDEO_SIDE = 512  # players show smaller videos as stamps
MIN_GIF_SIDE = 256  # pixels, the shorter side
MIN_CELL_WIDTH = 192  # of a contact sheet: room for a readable label

BACKGROUND = (24, 26, 31)  # of a contact sheet
_TEXT = (205, 209, 217)


class VideoRecorder:
    """Writes frames into an mp4 as they come; the file appears at `close`, whole.

    The first frame decides the size: small frames are enlarged until the shorter side has `MIN_VIDEO_SIDE` pixels
    (Lanczos), sides are rounded to even numbers (H.264 wants them), later frames are fitted to the first.
    """

    def __init__(self, path: str | Path, fps: float) -> None:
        if Path(path).suffix.lower() != ".mp4":
            raise ValueError(f"videos are mp4 files, got {str(path)!r}")
        if not fps > 0:
            raise ValueError(f"fps must be above 0, got {fps}")
        self.path = Path(path)
        self.num_frames = 0
        self._fps = fps
        self._size = (0, 0)
        self._ffmpeg: subprocess.Popen[bytes] | None = None
        self._partial = self.path.with_name(f".{self.path.stem}.{os.getpid()}.partial.mp4")

    def add(self, frame: Frame) -> None:
        """Appends one frame, uint8 [H, W, 3]. Raises OSError where it cannot be written."""
        pipe = (self._ffmpeg or self._start(frame)).stdin
        if pipe is None:
            raise AssertionError("ffmpeg was started with a pipe")
        try:
            pipe.write(np.ascontiguousarray(resized(frame, self._size)).data)
        except BrokenPipeError as error:
            raise OSError(f"the video encoder stopped: {self._end()[1]}") from error
        self.num_frames += 1

    def close(self) -> None:
        """Finishes the file; without any frame no file appears. May be called twice."""
        if self._ffmpeg is None:
            return
        status, message = self._end()
        if status:
            self.discard()
            raise OSError(f"the video encoder failed: {message}")
        os.replace(self._partial, self.path)

    def discard(self) -> None:
        """Gives the recording up: no file appears and an old one at the path stays."""
        if self._ffmpeg is not None:
            self._end()
        if self._partial.exists():
            self._partial.unlink()

    def _start(self, frame: Frame) -> subprocess.Popen[bytes]:
        from imageio_ffmpeg import get_ffmpeg_exe

        height, width = frame.shape[:2]
        enlarge = max(1.0, MIN_VIDEO_SIDE / min(height, width))
        self._size = (_even(width * enlarge), _even(height * enlarge))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        source = f"-f rawvideo -pix_fmt rgb24 -s {self._size[0]}x{self._size[1]} -r {self._fps} -i -".split()
        target = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-movflags", "+faststart"]
        command = [get_ffmpeg_exe(), "-y", "-loglevel", "error", *source, *target, str(self._partial)]
        self._ffmpeg = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        return self._ffmpeg

    def _end(self) -> tuple[int, str]:
        """Lets ffmpeg end; its exit status and what it complained about."""
        if self._ffmpeg is None:
            return 0, ""
        process, self._ffmpeg = self._ffmpeg, None
        _, complaint = process.communicate()
        return process.returncode, " ".join(complaint.decode(errors="replace").split())


def save_video(path: str | Path, frames: Iterable[Frame], fps: float = 6.0) -> None:
    """Writes `frames`, each uint8 [H, W, 3], as an H.264 mp4 that every player opens."""
    recorder = VideoRecorder(path, fps)
    try:
        for frame in frames:
            recorder.add(frame)
    except BaseException:
        recorder.discard()
        raise
    if recorder.num_frames == 0:
        raise ValueError("a video needs at least one frame")
    recorder.close()


def contact_sheet(frames: Sequence[Frame], columns: int = 6, labels: Sequence[str] | None = None) -> Frame:
    """All frames on one dark page, left to right and down, each with its label beneath: uint8 [H, W, 3].

    Small frames are enlarged to `MIN_CELL_WIDTH`; frames of other sizes are fitted to the first one's.
    """
    if not frames:
        raise ValueError("a contact sheet needs at least one frame")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    if labels is not None and len(labels) != len(frames):
        raise ValueError(f"{len(frames)} frames need as many labels, got {len(labels)}")
    columns = min(columns, len(frames))
    height, width = frames[0].shape[:2]
    enlarge = max(1.0, MIN_CELL_WIDTH / width)
    cell_w, cell_h = round(width * enlarge), round(height * enlarge)
    font_size = max(13, cell_w // 20)
    margin, gap = max(16, cell_w // 12), max(8, cell_w // 24)
    label_h = 0 if labels is None else round(font_size * 1.9)
    rows = -(-len(frames) // columns)
    sheet = Image.new(
        "RGB",
        (2 * margin + columns * cell_w + (columns - 1) * gap, 2 * margin + rows * (cell_h + label_h + gap) - gap),
        BACKGROUND,
    )
    draw = ImageDraw.Draw(sheet)
    for i, frame in enumerate(frames):
        row, column = divmod(i, columns)
        x, y = margin + column * (cell_w + gap), margin + row * (cell_h + label_h + gap)
        sheet.paste(Image.fromarray(resized(frame, (cell_w, cell_h))), (x, y))
        if labels is not None:
            text = lettering.fitted(labels[i], font_size, cell_w)
            place = (x + 1, y + cell_h + label_h / 2)
            draw.text(place, text, _TEXT, lettering.font(font_size, text), anchor="lm")
    return np.array(sheet)


def save_png(path: str | Path, frame: Frame) -> None:
    """Writes one frame, uint8 [H, W, 3]."""
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"pictures are png files, got {str(path)!r}")
    with atomic_path(path) as partial:
        Image.fromarray(frame).save(partial, format="PNG")


def save_gif(path: Path, frames: Sequence[Frame], fps: float = 6.0) -> None:
    """Writes frames, uint8 [H, W, 3], as an animation that repeats for ever."""
    height, width = frames[0].shape[:2]
    enlarge = max(1.0, MIN_GIF_SIDE / height)
    size = (round(width * enlarge), round(height * enlarge))
    pictures = [Image.fromarray(resized(frame, size)).quantize(dither=Image.Dither.NONE) for frame in frames]
    with atomic_path(path) as partial:
        pictures[0].save(
            partial, format="GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0
        )


def resized(frame: Frame, size: tuple[int, int]) -> Frame:
    """`frame` at `size` = (width, height), with Lanczos; the same array when it already has that size."""
    if (frame.shape[1], frame.shape[0]) == size:
        return frame
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))


def log_header(spec: WorldSpec, start: State, sampler: SamplerConfig | None = None) -> dict[str, Any]:
    """The first line of a log: everything that a replay needs beside the actions."""
    return {
        "kind": LOG,
        "version": 1,
        "model": spec.model,
        "scene": start.scene.name,
        "start": start.scene.starts[0].name,
        "seed": start.seed,
        "sampler": None if sampler is None else asdict(sampler),
        "pose": asdict(start.pose),
        "frame": frame_digest(start.frame),
    }


def log_step(state: State, action: Action | None) -> dict[str, Any]:
    """One later line: `action` led to `state`; None where the picture was held, or came from elsewhere.

    Where it does not follow the line before, a "parent" is added: that line's number, the header's being 0.
    """
    return log_place(state.step, action, state.pose, frame_digest(state.frame))


def log_place(step: int, action: Action | None, pose: Pose, picture: str) -> dict[str, Any]:
    """The same line from what is known of a state; `picture` is the digest of its frame."""
    return {"step": step, "action": action and asdict(action), "pose": asdict(pose), "frame": picture}


def save_log(path: str | Path, lines: Iterable[dict[str, Any]]) -> None:
    """Writes one JSON object a line (NDJSON): a `log_header`, then `log_step`s."""
    atomic_write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def save_walk(
    folder: str | Path,
    spec: WorldSpec,
    states: Sequence[State],
    actions: Sequence[Action],
    sampler: SamplerConfig | None = None,
) -> list[Path]:
    """Writes walk.mp4, sheet.png and walk.ndjson into `folder`.

    `actions[i]` led from `states[i]` to `states[i + 1]`. Returns the three paths.
    """
    folder = Path(folder)
    paths = [folder / name for name in ("walk.mp4", "sheet.png", "walk.ndjson")]
    frames = [state.frame for state in states]
    labels = ["start", *(f"{state.step} · {action.text}" for state, action in zip(states[1:], actions, strict=True))]
    save_video(paths[0], frames)
    save_png(paths[1], contact_sheet(frames, columns=sheet_columns(len(frames)), labels=labels))
    lines = (log_step(state, action) for state, action in zip(states[1:], actions, strict=True))
    save_log(paths[2], [log_header(spec, states[0], sampler), *lines])
    return paths


def sheet_columns(num_frames: int) -> int:
    """Columns that make a page of about 3 to 2, between 2 and 10."""
    return max(2, min(10, round((1.5 * num_frames) ** 0.5)))


def frame_digest(frame: Frame) -> str:
    """16 hexadecimal digits that tell whether a replay drew the same picture."""
    h = hashlib.blake2b(repr(frame.shape).encode(), digest_size=8)
    h.update(np.ascontiguousarray(frame).data)
    return h.hexdigest()


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))
