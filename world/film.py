"""A recording in the making: frames go to the encoder in a thread of their own, the window never waits for it."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any

from world.history import History
from world.recording import VideoRecorder, save_log
from world.types import Frame


class Film:
    """An mp4 of a walk with its NDJSON log beside it; both appear when `finish` is through.

    The log tells the way that led to the first picture as well, and what branches off where: it can be walked again.
    """

    def __init__(self, path: Path, header: dict[str, Any], history: History, first: Frame, fps: float = 6.0) -> None:
        """Begins here in `history`, shown as `first`; `header` is that of its log, of the beginning that led here."""
        self.path = path
        self.num_frames = 0
        self.error: Exception | None = None  # what stopped the encoder
        self._log = [header]
        self._history = history
        self._places = [history.timeline.here]
        self._queue: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._recorder = VideoRecorder(path, fps)
        self._thread = threading.Thread(target=self._encode, name="film", daemon=True)
        self._thread.start()
        self._put(first)

    def add(self, history: History, place: int, picture: Frame) -> None:
        """The next frame; the log tells of its place unless another scene's history has begun."""
        if history is self._history:
            self._places.append(place)
        self._put(picture)

    def finish(self) -> None:
        """No more frames come; returns at once."""
        self._log += self._history.log(self._places)
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
            save_log(self.path.with_suffix(".ndjson"), self._log)
        except (OSError, RuntimeError, ValueError) as error:  # a full disk, an encoder that is not there
            self.error = error
            self._recorder.discard()
