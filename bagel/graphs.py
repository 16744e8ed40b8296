"""What graphs of a card need: streams that run beside each other, capturing, and lengths that seldom change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

MIN_COLUMNS = 512


def num_columns(needed: int) -> int:
    """The buffer for so many columns: a power of two or one and a half of it: growing seldom needs a new one."""
    columns = MIN_COLUMNS
    while columns < needed:
        columns = columns * 3 // 2 if columns & (columns - 1) == 0 else columns * 4 // 3
    return columns


class Streams:
    """Two streams of a card: the one in front goes first wherever both could. A CPU does one thing after the other."""

    def __init__(self, device: torch.device, front: int = -1, behind: int | None = 0) -> None:
        """Priorities, the lower the sooner; without `behind` all runs in front. Others than these serve comparison."""
        cuda = device.type == "cuda"
        self.front = torch.cuda.Stream(device, priority=front) if cuda else None
        self._behind = torch.cuda.Stream(device, priority=behind) if cuda and behind is not None else None

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """What is asked for inside runs in front, after all that was asked for before and before all that follows."""
        if self.front is None:
            yield
            return
        outside = torch.cuda.current_stream(self.front.device)
        self.front.wait_stream(outside)
        with torch.cuda.stream(self.front):
            yield
        outside.wait_stream(self.front)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """What is asked for inside runs beside what follows, up to `meet`."""
        if self._behind is None:
            yield
            return
        self._behind.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._behind):
            yield

    def meet(self) -> None:
        if self._behind is not None:
            torch.cuda.current_stream().wait_stream(self._behind)


@contextmanager
def capturing(first: torch.cuda.CUDAGraph | None = None) -> Iterator[torch.cuda.CUDAGraph]:
    """A graph of what is asked for inside, of the current stream and what it waits for, in the memory of `first`."""
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    # Other threads (of NCCL, of a server) may ask the card something meanwhile.
    if first is None:
        graph.capture_begin(capture_error_mode="thread_local")
    else:
        graph.capture_begin(first.pool(), capture_error_mode="thread_local")
    try:
        yield graph
    except BaseException:
        with suppress(RuntimeError):  # a half-made graph has errors of its own, which would hide this one
            graph.capture_end()
        raise
    graph.capture_end()
