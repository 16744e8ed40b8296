"""What the tests need of a machine: those that it cannot run are skipped, with the cure; on CI that is a failure."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Windows without a screen, sound without a card. An existing choice (a real driver) wins.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command lines do
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
if "PYTEST_XDIST_WORKER" in os.environ:  # beside others: a thread for each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

LONGEST = (  # files that take a minute or more, the longest first: beside others they begin first, so that none is last
    "test_readme.py",
    "test_guard.py",
    "test_command.py",
    "test_evaluate.py",
    "test_cluster.py",
    "test_simulator.py",
    "test_contract.py",
    "test_doctor.py",
    "test_tasks.py",
    "test_reading.py",
    "test_placement.py",
    "test_understanding.py",
    "test_fused.py",
)
RENDERS = """
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
with mujoco.Renderer(model, 16, 16) as renderer:
    renderer.update_scene(mujoco.MjData(model))
    renderer.render()
"""


@functools.cache
def _why_no_gl() -> str:
    """Asked in a process of its own: a broken driver may take the process down."""
    environment = {"MUJOCO_GL": "egl", **os.environ} if sys.platform == "linux" else dict(os.environ)
    done = subprocess.run(
        [sys.executable, "-c", RENDERS], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode == 0:
        return ""
    last = (done.stderr.strip().splitlines() or ["the process died"])[-1]
    return f"MuJoCo cannot render here ({last}): pip install mujoco; apt-get install libegl1 libgl1-mesa-dri"


@functools.cache
def _why_no_gpu() -> str:
    import torch

    return "" if torch.cuda.is_available() else "needs a CUDA device"


@functools.cache
def _why_no_screen() -> str:
    missing = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]
    return f"needs {' and '.join(missing)}: apt-get install xvfb xdotool" if missing else ""


def _why_no_weights() -> str:
    folder = os.environ.get("BAGEL_WEIGHTS", "")
    if folder and Path(folder).is_dir():
        return ""
    return "needs BAGEL_WEIGHTS to name the BAGEL-7B-MoT release directory"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        places = {name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, reason in (("gl", _why_no_gl), ("screen", _why_no_screen)):
        if item.get_closest_marker(marker) and (why := reason()):
            if os.environ.get("CI"):
                pytest.fail(why, pytrace=False)
            pytest.skip(why)
    for marker, reason in (("gpu", _why_no_gpu), ("weights", _why_no_weights)):
        if item.get_closest_marker(marker) and (why := reason()):
            pytest.skip(why)
