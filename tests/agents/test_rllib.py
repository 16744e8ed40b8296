"""RLlib's example, in an environment of its own that it is given here: RLlib pins Gymnasium."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def own_python(tmp_path: Path) -> Path:
    """Of an environment that sees all packages of this one, and before them what "ray[rllib]" wants besides."""
    pytest.importorskip("ray", reason="pip install -e '.[cluster]' in the repository")
    venv.create(tmp_path / "own", with_pip=False)
    paths = sysconfig.get_paths(vars={"base": str(tmp_path / "own"), "platbase": str(tmp_path / "own")})
    (Path(paths["purelib"]) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = Path(paths["scripts"]) / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--retries", "0", f"ray[rllib]=={version('ray')}"], capture_output=True, text=True, timeout=400
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        pytest.skip(f"pip cannot install ray[rllib] here ({last}): run it where there is a package index")
    return python


@pytest.mark.gl
@pytest.mark.slow
def test_rllib_learns_from_rows_that_share_a_batch(own_python: Path) -> None:
    command = [str(own_python), str(ROOT / "agents" / "examples" / "rllib.py"), "--model", "sim"]
    sizes = ["--rows", "2", "--steps", "32", "--iterations", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *sizes], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["steps"] == 32
    assert told["length"] <= 16
