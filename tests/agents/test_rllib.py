"""RLlib's example, where RLlib is: it pins Gymnasium, and so has an environment of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.gl
@pytest.mark.slow
def test_rllib_learns_from_rows_that_share_a_batch() -> None:
    pytest.importorskip("tree", reason="RLlib's own environment: pip install 'ray[rllib]'")
    command = [sys.executable, str(ROOT / "agents" / "examples" / "rllib.py"), "--model", "sim"]
    sizes = ["--rows", "2", "--steps", "32", "--iterations", "1"]
    done = subprocess.run([*command, *sizes], cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["steps"] == 32
    assert told["length"] <= 16
