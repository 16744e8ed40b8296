"""What the window is handed by whoever opens it, because `world` itself knows no scenes and no simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from world.keys import default_path
from world.types import Frame, Scene, TrueWorld


@dataclass(frozen=True)
class Floor:
    """What stands where, seen from above: closed lines of (x, y) in m, the first one around the floor itself."""

    outlines: tuple[tuple[tuple[float, float], ...], ...]


@dataclass(frozen=True)
class Likeness:
    """How near a predicted frame is to the true one."""

    psnr: float  # dB
    ssim: float  # 1 for equal frames


@dataclass(frozen=True)
class Surroundings:
    """Each of the functions may raise WorldError where something is not installed."""

    scenes: tuple[str, ...] = ()  # addresses, for the start screen
    keys: Path = field(default_factory=default_path)  # where a person's own keys and sentences are kept
    open_truth: Callable[[], TrueWorld] | None = None  # the simulator
    likeness: Callable[[Frame, Frame], Likeness] | None = None  # of (predicted, true), both of one size
    floor: Callable[[Scene], Floor | None] = lambda scene: None  # None where nothing is known
