"""How long a checkpoint takes to load, beside what the disk gives, and how much memory the reading needs."""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from bagel.placement import GIB, Loading
from bagel.store import files_of, model_file
from bagel.weights import load

_BLOCK = 16 << 20
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class LoadingTime:
    """Seconds and GB/s of loading; GB/s of plain reading; GiB of memory at the peak above program and model."""

    gigabytes: float
    seconds: float
    rate: float
    disk_rate: float
    peak: float
    device: str


def measure_loading(directory: Path, device: str | None, how: Loading) -> LoadingTime:
    """Reads the files once plainly and once as a model, each time with none of them in the page cache."""
    paths = files_of(directory, model_file(directory)) + files_of(directory, "ae.safetensors")
    size = sum(path.stat().st_size for path in paths)
    _forget(paths)
    begun = time.perf_counter()
    for path in paths:
        _read(path)
    plain = time.perf_counter() - begun
    _forget(paths)
    if torch.cuda.is_available():
        torch.zeros(1, device="cuda")  # the driver's own memory is not the reading's
    _forget_peak()
    before = _peak()
    begun = time.perf_counter()
    checkpoint = load(directory, device, how=how)
    if checkpoint.model.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - begun
    modules = (checkpoint.model, checkpoint.autoencoder)
    tensors = (t for m in modules for t in m.state_dict().values() if t.device.type == "cpu")
    own = sum(t.nbytes for t in tensors)
    peak = (_peak() - before - own) / GIB
    rate = size / 1e9 / seconds
    return LoadingTime(size / 1e9, seconds, rate, size / 1e9 / plain, peak, str(checkpoint.model.device))


def _peak() -> int:
    """Bytes of memory at this process's peak since `_forget_peak`, mapped pages included."""
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _forget_peak() -> None:
    """Lets the peak count from now on, where the system can (Linux); elsewhere it counts from the program's start."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _read(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(_BLOCK):
            pass


def _forget(paths: list[Path]) -> None:
    """Asks the kernel to drop what it has cached of the files."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
