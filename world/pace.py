"""How fast a walk goes, as measured: times of steps, frames a second."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque


class Pace:
    """The last hundred steps."""

    def __init__(self) -> None:
        self.latencies: deque[float] = deque(maxlen=100)  # s that the model took
        self._finished_at: deque[float] = deque(maxlen=100)  # s, on the monotonic clock

    def stepped(self, seconds: float | None) -> None:
        """One step more; None where it was there already."""
        if seconds is not None:
            self.latencies.append(seconds)
        self._finished_at.append(time.monotonic())

    def frames_per_second(self, over: float = 3.0) -> float:
        """Frames a second over the last `over` s, or over the time of a few slow steps; 0 when fewer than two came."""
        now = time.monotonic()
        over = max(over, 3 * statistics.median(self.latencies or [0.0]))
        recent = [t for t in self._finished_at if now - t <= over]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0

    def p50_p99(self) -> tuple[float, float] | None:
        """The median of the latencies, and what only one step of a hundred exceeds, in s; None before the first."""
        if not self.latencies:
            return None
        ordered = sorted(self.latencies)
        return statistics.median(ordered), ordered[math.ceil(0.99 * len(ordered)) - 1]
