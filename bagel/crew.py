"""One model in several processes of this host: each has a device and its part, and all do every call together.

What a call depends on travels to all of them (a state is a value), so they compute the same and only the first one's
result counts. The processes are children of this one; nobody else speaks to them.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from bagel.branches import Team
from bagel.placement import RESERVE, Loading, Share, divide, num_bytes
from bagel.precision import PACKED, use_precision
from bagel.shares import join
from bagel.weights import Checkpoint, build, choose_device, load
from world.errors import CancelledError, ModelError, WorldError

T = TypeVar("T")
Read = Callable[..., Checkpoint]  # (what, device, how=...), as `load`

_PATIENCE = timedelta(minutes=10)  # for a process that has stopped answering in the middle of a call


def way_of(directory: Path, how: Loading) -> str:
    """What "auto" means for a checkpoint and devices: guidance where each card holds the whole model, else layers."""
    if len(how.devices) < 2:
        return "one"
    if how.parallel != "auto":
        return how.parallel
    devices = [choose_device(name) for name in how.devices]
    model, autoencoder, _, _ = build(directory, how.config_from)
    if how.precision in PACKED:
        use_precision(model.transformer, how.precision)
    need = num_bytes(model, torch.bfloat16) + num_bytes(autoencoder, torch.float32)
    free = [torch.cuda.mem_get_info(d)[0] - RESERVE if d.type == "cuda" else need for d in devices]
    return "guidance" if min(free) >= need else "layers"


class Crew(Generic[T]):
    """`make` turns each process's checkpoint into what its calls work on; `mine` is this process's."""

    def __init__(
        self, what: Any, device: str | None, how: Loading, make: Callable[[Checkpoint], T], read: Read = load
    ) -> None:
        """`what` is a checkpoint directory, or whatever `read` reads instead.

        Raises ModelError where one of the processes cannot load its part, with that one's reason.
        """
        way = way_of(what, how)
        self._mates: list[tuple[Any, Connection]] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if way in ("one", "layers"):
            self.mine = make(read(what, device, how=how))
            return
        count = len(how.devices)
        divide(way, count)
        self._folder = tempfile.TemporaryDirectory(prefix="bagel-crew-")
        meeting = Path(self._folder.name) / "meeting"
        work = _Work(count, way, meeting, what, how, read)
        try:
            context = mp.get_context("spawn")
            for rank in range(1, count):
                ours, theirs = context.Pipe()
                mate = context.Process(target=_mate, args=(rank, work, make, theirs), daemon=True)
                mate.start()
                theirs.close()
                self._mates.append((mate, ours))
            checkpoint = work.load(0)
            for _, connection in self._mates:
                self._answer(connection)
            work.meet(0, checkpoint)
            self.mine = make(checkpoint)  # which sees that the model is a part
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Processes, this one included."""
        return 1 + len(self._mates)

    def run(self, function: Callable[..., Any], *args: Any, **watchers: Callable[..., Any] | None) -> Any:
        """function(mine, *args, **watchers) in all processes at once. A watcher hears of this process's work alone.

        What a watcher raises ends the call everywhere; what it returns is returned everywhere.
        """
        if not self._mates:
            return function(self.mine, *args, **watchers)
        watched = [name for name, watcher in watchers.items() if watcher is not None]
        for _, connection in self._mates:
            connection.send((function, args, watched))
        try:
            return function(self.mine, *args, **{name: _together(w) for name, w in watchers.items() if w is not None})
        finally:
            for _, connection in self._mates:
                with contextlib.suppress(WorldError, ValueError):  # the same as here
                    self._answer(connection)

    def close(self) -> None:
        """Ends the other processes; may be called twice."""
        for _, connection in self._mates:
            with contextlib.suppress(OSError):
                connection.send(None)
        if self._mates and dist.is_initialized():
            dist.destroy_process_group()  # at once with the others: NCCL's waits until all have come to it
        for mate, connection in self._mates:
            mate.join(timeout=10)
            if mate.is_alive():
                mate.terminate()
            connection.close()
        self._mates = []
        if self._folder is not None:
            self._folder.cleanup()

    def _answer(self, connection: Connection) -> None:
        try:
            error = connection.recv()
        except (EOFError, OSError):
            raise ModelError("a process of the model has died: start again; it may have run out of memory") from None
        if error is not None:
            raise error


def as_it_is(checkpoint: Checkpoint) -> Checkpoint:
    """The `make` of calls that work on a checkpoint itself."""
    return checkpoint


@dataclass(frozen=True)
class _Work:
    """What all processes of a crew know; each does its own part of it."""

    count: int
    way: str
    meeting: Path
    what: Any
    how: Loading
    read: Read

    def load(self, rank: int) -> Checkpoint:
        shares = divide(self.way, self.count)[1]
        share = Share(rank % shares, shares) if shares > 1 else None
        mine = replace(self.how, devices=(self.how.devices[rank],), parallel="auto", share=share)
        return self.read(self.what, None, how=mine)

    def meet(self, rank: int, checkpoint: Checkpoint) -> None:
        """Waits for the others and tells the model whom it adds up with."""
        device = torch.device(self.how.devices[rank])
        if device.type == "cuda":
            torch.cuda.set_device(device)
        backend, place = "nccl" if device.type == "cuda" else "gloo", self.meeting.as_uri()
        dist.init_process_group(backend, init_method=place, rank=rank, world_size=self.count, timeout=_PATIENCE)
        teams, shares = divide(self.way, self.count)
        if shares > 1:
            group = _group(rank, [range(i, i + shares) for i in range(0, self.count, shares)])
            join(checkpoint.model.transformer, Share(rank % shares, shares), group)
        if teams > 1:
            group = _group(rank, [range(i, self.count, shares) for i in range(shares)])
            checkpoint.model.team = Team(rank // shares, teams, group)


def _group(rank: int, groups: Sequence[range]) -> dist.ProcessGroup | None:
    """The one that a process is in; all processes make all of them, in the same order."""
    if len(groups) == 1:
        return None
    made: list[Any] = [dist.new_group(list(members)) for members in groups]
    return next(group for group, members in zip(made, groups, strict=True) if rank in members)


def _mate(rank: int, work: _Work, make: Callable[[Checkpoint], Any], connection: Connection) -> None:
    """Another process's life: load, meet, then do every call that the first one sends."""
    try:
        checkpoint = work.load(rank)
    except (WorldError, ValueError, RuntimeError, OSError) as error:
        connection.send(ModelError(f"process {rank} on {work.how.devices[rank]}: {error}"))
        return
    connection.send(None)
    work.meet(rank, checkpoint)
    mine = make(checkpoint)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while (call := connection.recv()) is not None:
            function, args, watched = call
            try:
                function(mine, *args, **{name: _together(None) for name in watched})
                connection.send(None)
            except (WorldError, ValueError) as error:
                connection.send(error)
    dist.destroy_process_group()


def _together(watcher: Callable[..., Any] | None) -> Callable[..., Any]:
    """A watcher that all processes call: what the first one's returns, or the end that it raises, is for all."""

    def watch(*args: Any) -> Any:
        raised: BaseException | None = None
        told: list[Any] = [None, False]  # what was returned, and whether it raised
        try:
            told[0] = watcher(*args) if watcher is not None else None
        except BaseException as error:  # noqa: BLE001 - raised again below, once the others know
            raised, told[1] = error, True
        dist.broadcast_object_list(told, 0)
        if raised is not None:
            raise raised
        if told[1]:
            raise CancelledError("given up by the first process")
        return told[0]

    return watch
