"""What a bug report needs, as a few lines of text: versions, model, settings, timings."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from world.game import Game
from world.gauges import in_words, resident_bytes

PACKAGES = ("bagel-world", "torch", "numpy", "pygame", "mujoco")


def report(game: Game) -> str:
    """About the walk as it is now; pictures and paths are left out."""
    spec = game.model.spec if game.model else None
    state, times = game.state, game.pace.p50_p99()
    sampler = game.worlds.sampling
    lines = [
        f"python {platform.python_version()}, {platform.system()} {platform.machine()}",
        ", ".join(f"{package} {_version(package)}" for package in PACKAGES),
        f"model {spec.model}, {spec.device}, {spec.dtype}, {', '.join(sorted(spec.supports))}" if spec else "no model",
        f"sampler {asdict(sampler)}" if sampler else "sampler: the model's own",
        f"scene {game.scene.name}, seed {game.seed}, step {state.step if state else 0}, {len(game.timeline)} states",
        f"frame {state.frame.shape[1]} x {state.frame.shape[0]}" if state else "no frame yet",
        f"step time p50 {1000 * times[0]:.0f} ms, p99 {1000 * times[1]:.0f} ms" if times else "no step yet",
        f"memory {in_words(resident_bytes())}",
    ]
    if game.problem:
        lines.append(f"problem: {game.problem}")
    return "\n".join(lines) + "\n"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
