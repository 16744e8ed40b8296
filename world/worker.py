"""The thread in which a served model lives: it loads it, runs batches, and splits those that fail."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias, cast

import numpy as np
from PIL import Image

from world.batching import Batch
from world.errors import CancelledError, ModelError
from world.previews import OnPreview, PreviewingWorld, Progress
from world.types import Frame, TrueWorld, WorldModel, WorldSpec
from world.wire import Verb

PREVIEW_INTERVAL = 0.1  # s between two previews at least: drawing them costs the step time
PREVIEW_SIDE = 128  # pixels of a preview, or a little more

_log = logging.getLogger(__name__)

Loader: TypeAlias = Callable[[Callable[[str], None]], WorldModel]  # takes whom it tells how far it is


@dataclass(frozen=True)
class Stage:
    """How far the loading is, for a person."""

    words: str


@dataclass(frozen=True)
class Loaded:
    """The model is there."""

    spec: WorldSpec


@dataclass(frozen=True)
class Ended:
    """The thread is over: the model could not be loaded, or something broke that no request explains."""

    error: BaseException


@dataclass(frozen=True)
class Finished:
    """A batch has run: one result a row, each a value or an exception; `seconds` it took."""

    batch: Batch
    results: list[Any]
    seconds: float


@dataclass(frozen=True)
class Previewed:
    """Small pictures of what the rows of a batch, by their numbers, are going to be."""

    batch: Batch
    frames: dict[int, Frame]
    evaluation: int
    num_evaluations: int


Event: TypeAlias = Stage | Loaded | Ended | Finished | Previewed


class Worker:
    """A daemon thread. Whatever happens there comes out of `events`, with a call of `notify` after each."""

    def __init__(self, load: Loader, notify: Callable[[], None]) -> None:
        """`notify` is called in the thread."""
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._load, self._notify = load, notify
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def run(self, batch: Batch) -> None:
        """Returns at once; a Finished follows."""
        self._batches.put(batch)

    def close(self, timeout: float) -> None:
        """Closes the model; waits at most `timeout` s for what runs."""
        self._batches.put(None)
        self._thread.join(timeout)

    def _tell(self, event: Event) -> None:
        self.events.put(event)
        self._notify()

    def _work(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001 (the server ends with it, where it would wait for ever)
            self._tell(Ended(error))

    def _serve(self) -> None:
        model = self._load(lambda words: self._tell(Stage(words)))
        self._tell(Loaded(model.spec))
        while (batch := self._batches.get()) is not None:
            begun = time.perf_counter()
            owners = [i for i, (_, start, stop) in enumerate(batch.parts) for _ in range(start, stop)]
            results = run_rows(model, batch.verb, batch.rows, owners, self._watch(batch, owners))
            self._tell(Finished(batch, results, time.perf_counter() - begun))
        model.close()

    def _watch(self, batch: Batch, owners: Sequence[int]) -> OnPreview:
        """Lets go of rows that were given up, and now and then shows previews to whoever wants them."""
        last = time.monotonic()
        jobs = [part[0] for part in batch.parts]

        def watch(progress: Progress) -> Collection[int]:
            nonlocal last
            gone = {row for row in progress.rows if jobs[owners[row]].cancelled}
            if len(gone) == len(progress.rows):
                raise CancelledError("given up")  # which worlds obey that let no row go
            wanted = {row for row in progress.rows if jobs[owners[row]].previews} - gone
            now = time.monotonic()
            is_last = progress.evaluation == progress.num_evaluations
            if wanted and not is_last and now - last >= PREVIEW_INTERVAL:
                last = now
                frames = {r: _small(f) for r, f in zip(progress.rows, progress.draw(), strict=True) if r in wanted}
                self._tell(Previewed(batch, frames, progress.evaluation, progress.num_evaluations))
            return gone

        return watch


def run_rows(
    model: WorldModel,
    verb: Verb,
    rows: Sequence[Any],
    owners: Sequence[int],
    watch: OnPreview = lambda progress: (),
) -> list[Any]:
    """One result a row, each a value or the exception that it met; `owners` tell whose each row is, in blocks.

    What does not fit into memory is run again in halves; another failure of rows of several owners is met again by
    each owner's rows alone, so that it costs only whose it is.
    """
    try:
        results = list(_call(model, verb, rows, watch))
        if len(results) != len(rows):
            raise ModelError(f"the model returned {len(results)} results for {len(rows)} rows of {verb}")
        return results
    except Exception as error:  # noqa: BLE001 (told to whoever asked)
        failure = error.with_traceback(None)  # which would keep the failed batch's tensors alive
    if len(rows) > 1 and _is_out_of_memory(failure):
        middle = len(rows) // 2
        _log.warning("%d rows do not fit into memory, trying %d", len(rows), middle)
        cuts = [0, middle, len(rows)]
    elif owners[0] != owners[-1] and not isinstance(failure, CancelledError):
        cuts = [0, *(i for i in range(1, len(rows)) if owners[i] != owners[i - 1]), len(rows)]
    else:
        return [failure] * len(rows)
    parts = [slice(start, stop) for start, stop in pairwise(cuts)]
    return [
        result
        for part in parts
        for result in run_rows(model, verb, rows[part], owners[part], _shifted(watch, part.start))
    ]


def _shifted(watch: OnPreview, by: int) -> OnPreview:
    """For a part of the rows that begins at row `by`."""

    def shifted(progress: Progress) -> Collection[int]:
        gone = watch(replace(progress, rows=tuple(row + by for row in progress.rows))) or ()
        return {row - by for row in gone}

    return shifted


def _call(model: WorldModel, verb: Verb, rows: Sequence[Any], watch: OnPreview) -> Sequence[Any]:
    """The verb of the model, as rows; see `world.server` for what a row holds."""
    if verb == "reconstruct":
        if "reconstruct" not in model.spec.supports:
            raise ModelError(f"{model.spec.model} has no autoencoder")
        return model.reconstruct(rows)  # pyright: ignore[reportAttributeAccessIssue]
    firsts, seconds = [first for first, _ in rows], [second for _, second in rows]
    match verb:
        case "reset":
            return model.reset(firsts, seconds)
        case "step" if "preview" in model.spec.supports:
            return cast(PreviewingWorld, model).step(firsts, seconds, on_preview=watch)
        case "step":
            return model.step(firsts, seconds)
        case "ask":
            return model.ask(firsts, seconds[0])
    if not isinstance(model, TrueWorld):
        raise ModelError(f"{model.spec.model} knows no true poses: ask the simulator")
    if verb == "view":
        return model.view(firsts[0], seconds)
    return [model.random_start(scene, seed) for scene, seed in rows]


def _small(frame: Frame) -> Frame:
    return np.asarray(Image.fromarray(frame).reduce(max(1, max(frame.shape) // PREVIEW_SIDE)))


def _is_out_of_memory(error: Exception) -> bool:
    """By its name, since torch is not imported here."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
