"""Small measures that need no truth: how far two frames differ, how a frame looks, what the process holds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from world.types import Frame

_PROC = Path("/proc/self/status")  # Linux


def difference(a: Frame, b: Frame) -> float:
    """Mean absolute difference of two frames of one shape, in grey levels of 0 to 255."""
    return float(np.abs(a.astype(np.int16) - b.astype(np.int16)).mean())


def contrast(frame: Frame) -> float:
    """Standard deviation of a frame's brightness, in grey levels: 0 is one flat colour."""
    return float(frame.mean(axis=-1).std())


def roughness(frame: Frame) -> float:
    """How much neighbouring pixels differ, over how much pixels anywhere differ: 0 is flat, 1 is white noise."""
    grey = frame.mean(axis=-1)
    near = (np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) / 2
    ordered = np.sort(grey, axis=None)
    ranks = np.arange(1, ordered.size + 1)
    anywhere = 2 * float(((2 * ranks - ordered.size - 1) * ordered).sum()) / ordered.size**2  # Gini's mean difference
    return float(near / anywhere) if anywhere else 0.0


def resident_bytes() -> int | None:
    """What this process holds in memory now; None where the system does not tell."""
    try:
        lines = _PROC.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), None)


def peak_gpu_bytes() -> int:
    """The most that this process held on the current GPU; 0 where no model brought torch and CUDA along."""
    cuda = sys.modules.get("torch.cuda")
    is_initialized = getattr(cuda, "is_initialized", None)  # another thread may be half through importing it
    return int(cuda.max_memory_allocated()) if cuda and is_initialized and is_initialized() else 0


def in_words(num_bytes: float | None) -> str:
    """A size for a person."""
    if num_bytes is None:
        return "unknown"
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"
