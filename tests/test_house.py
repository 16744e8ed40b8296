"""The house's rules, checked: who imports whom, what importing costs, what no file may hold."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("world", "bagel", "scenes", "agents")
MAY_IMPORT = {"world": set(), "bagel": {"world"}, "scenes": {"world"}, "agents": {"world", "scenes"}}
OURS = {*FOLDERS, "play", "tests"}
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
COMMANDS = [folder for folder in FOLDERS if (ROOT / folder / "__main__.py").exists()]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MAX_LINES = 350


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Top-level names that a module imports anywhere in it, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((name.name.partition(".")[0], node.lineno) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_folders_import_only_whom_they_may(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    wrong = OURS - {folder} - MAY_IMPORT[folder]
    if folder == "world":
        wrong |= {"torch"}
    found = [f"{name_of(path)}:{line} imports {name}" for name, line in imported(path) if name in wrong]
    assert not found


@pytest.mark.parametrize("path", [*MODULES, ROOT / "play.py"], ids=name_of)
def test_a_module_opens_with_its_idea_and_fits_in_a_head(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text or ast.get_docstring(ast.parse(text)), f"{name_of(path)} has no docstring"
    assert text.count("\n") <= MAX_LINES, f"{name_of(path)} is longer than {MAX_LINES} lines"


def test_tests_fit_in_a_head_too() -> None:
    assert not [name_of(path) for path in TESTS if path.read_text(encoding="utf-8").count("\n") > MAX_LINES]


@pytest.mark.parametrize("module", ["world", "world.env", "world.models", "agents", "scenes.library", "play"])
def test_importing_brings_no_model_and_no_window(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"torch", "pygame", "mujoco", "cv2"}.intersection(done.stdout.split())


@pytest.mark.parametrize("command", [*(["-m", name] for name in COMMANDS), ["play.py"]], ids=lambda c: c[-1])
def test_every_command_explains_itself(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
    assert done.stderr == ""


def test_what_is_installed_is_all_there_is() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    there = [path.parent.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("__init__.py")]
    assert sorted(listed) == sorted(".".join(path.parts) for path in there)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_knows_the_machine_that_it_was_written_on() -> None:
    forbidden = ["/" + folder + "/" for folder in ("work", "root", "home", "Users", "mnt")]
    found = []
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content[:8192]:  # as git tells text from the rest
            text = content.decode("utf-8", errors="replace")
            found += [f"{name_of(path)} holds {word}" for word in forbidden if word in text]
    assert not found


def test_a_clone_stays_small() -> None:
    assert sum(path.stat().st_size for path in tracked()) < 45_000_000
