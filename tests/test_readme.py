"""What README.md and ARCHITECTURE.md tell is true: every command runs, every picture and file is there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
WEIGHTS = "/path/to/BAGEL-7B-MoT"  # in the tests: the golden bundle, which has the same layout


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [
    line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines() if line and line[0] != "#"
]

WALK = ["--script", "forward left"]
FEWER = {  # flags behind those of a command: it does the same, less often
    "python play.py --scene garden": WALK,
    "python play.py --scene photo.jpg": WALK,
    "python -m agents evaluate out/policy/policy.safetensors --model sim --episodes 4": ["--episodes", "1"],
    "python -m bagel bench": ["--steps", "8"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the repository, in which commands may leave what they make."""
    place = tmp_path_factory.mktemp("readme")
    for name in (
        "agents",
        "bagel",
        "scenes",
        "tests",
        "world",
        "play.py",
        "Makefile",
        "pyproject.toml",
        "constraints.txt",
    ):
        (place / name).symlink_to(ROOT / name)
    Image.open(ROOT / "scenes" / "garden" / "pond.png").resize((400, 300)).save(place / "photo.jpg")
    return place


@pytest.fixture(scope="module")
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """What the commands before have left running."""
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for process in running:
        process.terminate()
        assert process.wait(timeout=60) == 0


@pytest.mark.gl
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command: str, place: Path, started: list[subprocess.Popen[bytes]]) -> None:
    words = shlex.split(command.replace(WEIGHTS, "tests/golden/a")) + FEWER.get(command, [])
    if words[0] == "make":
        words = ["make", "--dry-run", *words[1:]]
    if words[0] == "python":
        words[0] = sys.executable
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")}
    if words[-1] == "&":
        started.append(subprocess.Popen(words[:-1], cwd=place, env=environment))
        return
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_done_less_often_is_in_the_readme() -> None:
    assert FEWER.keys() <= set(COMMANDS)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_of_the_readme_runs(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


def test_pictures_and_files_are_there() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_architecture_names_only_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:world|bagel|agents|scenes|tests)/[\w/]+\.py)`", text):
        assert (ROOT / path).exists(), path
