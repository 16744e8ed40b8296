"""Checkpoints by a hub's name, through the hubs' real clients, from a small hub on the loopback."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from bagel.hub import Offer, _announce, is_hub
from tests.bagel.hub_server import REPOSITORY, Hub
from world.errors import ModelError


@pytest.fixture
def hub(copied: Path) -> Iterator[Hub]:
    tensors = load_file(copied / "ema.safetensors")
    padding = {"padding": "." * (24 << 20)}  # the clients keep what they have in steps of about 10 MB
    save_file(tensors, copied / "ema.safetensors", metadata=padding)
    server = Hub(copied)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def imagine(hub: Hub, place: Path, model: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own: the clients read their settings when they are imported."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(place / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MODELSCOPE_ENDPOINT": hub.address,
        "MODELSCOPE_CACHE": str(place / "ms"),
        "MODELSCOPE_HOME": str(place / "ms-home"),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    command = ["imagine", "x", "--size", "32x32", "--num-timesteps", "2", "--out"]
    arguments = [sys.executable, "-m", "bagel", *command, str(place / "x.png"), "--model", model]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("prefix", ["", "modelscope:"])
def test_a_checkpoint_by_name_is_announced_fetched_resumed_and_kept(hub: Hub, tmp_path: Path, prefix: str) -> None:
    done = imagine(hub, tmp_path, prefix + REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.png").exists()
    said = done.stderr.lower().replace(" license", "")
    assert "licence apache" in said
    assert "gb to fetch" in said
    assert "gb free there" in said
    assert hub.ranges, "what was cut off is fetched from where it stopped"
    hub.cut = {"ema.safetensors"}
    again = imagine(hub, tmp_path, prefix + REPOSITORY)
    assert again.returncode == 0, again.stderr
    assert "to fetch" not in again.stderr
    assert hub.cut, "nothing is fetched twice"


@pytest.mark.parametrize("prefix", ["", "modelscope:"])
def test_an_unknown_name_is_said_in_a_sentence(hub: Hub, tmp_path: Path, prefix: str) -> None:
    done = imagine(hub, tmp_path, prefix + "nobody/nothing")
    assert done.returncode == 2
    assert "nobody/nothing is no directory and cannot be had from" in done.stderr.splitlines()[-1]


def test_a_full_disk_and_pickles_are_told_before_anything_is_fetched(tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(ModelError, match=r"needs 1000000000\.0 GB, .* free: make room"):
        _announce("a/b", Offer((("ema.safetensors", 10**18),), "apache-2.0"), tmp_path, tmp_path, lines.append)
    assert "licence apache-2.0" in lines[0]
    with pytest.raises(ModelError, match="holds no safetensors"):
        _announce("a/b", Offer((("config.json", 1),), "mit"), tmp_path, tmp_path, lines.append)


def test_paths_are_not_taken_for_names() -> None:
    assert is_hub("ByteDance-Seed/BAGEL-7B-MoT")
    assert is_hub("modelscope:ByteDance-Seed/BAGEL-7B-MoT")
    assert not any(is_hub(path) for path in ("tiny", "./runs/mine", "../x/y", "/data/bagel", "runs/a/b", "C:/x/y"))
