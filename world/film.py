"""A recording in the making: frames go to the encoder in a thread of their own, the window never waits for it."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any

from world.recording import VideoRecorder, log_header, log_step, save_log
from world.types import Action, Frame, State, WorldSpec


class Film:
    """An mp4 of a walk with its NDJSON log beside it; both appear when `finish` is through."""

    def __init__(
        self, path: Path, spec: WorldSpec, first: State, fps: float = 6.0, picture: Frame | None = None
    ) -> None:
        """Begins with `first`, shown as `picture` where one is given."""
        self.path = path
        self.num_frames = 0
        self.error: Exception | None = None  # what stopped the encoder
        self._lines: list[dict[str, Any]] = [log_header(spec, first)]
        self._queue: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._recorder = VideoRecorder(path, fps)
        self._thread = threading.Thread(target=self._encode, name="film", daemon=True)
        self._thread.start()
        self._put(first.frame if picture is None else picture)

    def add(self, state: State, action: Action | None, picture: Frame | None = None) -> None:
        """The next frame and what led to it, shown as `picture` where one is given."""
        self._lines.append(log_step(state, action))
        self._put(state.frame if picture is None else picture)

    def finish(self) -> None:
        """No more frames come; returns at once."""
        self._queue.put(None)

    @property
    def done(self) -> bool:
        """Whether the files are there, or `error` says why not."""
        return not self._thread.is_alive()

    def wait(self, timeout: float) -> bool:
        """Waits at most `timeout` s; whether it is done."""
        self._thread.join(timeout)
        return self.done

    def _put(self, frame: Frame) -> None:
        self._queue.put(frame)
        self.num_frames += 1

    def _encode(self) -> None:
        try:
            while (frame := self._queue.get()) is not None:
                self._recorder.add(frame)
            self._recorder.close()
            save_log(self.path.with_suffix(".ndjson"), self._lines)
        except (OSError, RuntimeError, ValueError) as error:  # a full disk, an encoder that is not there
            self.error = error
            self._recorder.discard()
