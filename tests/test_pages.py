"""The pages on training and learning: every command is understood, every table is read, every file is there; what is
told of learning runs, at toy size."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from agents import __main__ as agents
from bagel.train.table import read_table
from scenes import own
from world import cli

ROOT = Path(__file__).parents[1]
LEARNING = ROOT / "agents" / "LEARNING.md"
PAGES = [ROOT / "bagel" / "train" / "TRAINING.md", LEARNING]
FEW = ["--steps", "4", "--rows", "2", "--rollout", "2", "--limit", "2"]
TOYS = {  # flags behind those of a command, which overrule them
    "train": FEW,
    "evaluate": ["--episodes", "1"],
    "rollout": ["--episodes", "1", "--steps", "2"],
    "study": [*FEW, "--seeds", "2", "--episodes", "2", "--processes", "1"],
}


def blocks(language: str, pages: Sequence[Path] = PAGES) -> list[str]:
    fenced = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [text for page in pages for text in fenced.findall(page.read_text(encoding="utf-8"))]


def of_learning() -> list[list[str]]:
    """The commands of the page, each as the arguments of `python -m agents`."""
    lines = [shlex.split(line) for block in blocks("sh", [LEARNING]) for line in block.splitlines()]
    assert all(words[:3] == ["python", "-m", "agents"] for words in lines)
    return [words[3:] for words in lines]


@pytest.mark.parametrize("command", [line for block in blocks("sh") for line in block.splitlines()])
def test_a_command_of_a_page_is_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "run", lambda main: 0)
    words = shlex.split(command)[1:]
    name, arguments = ("play", words[1:]) if words[0] == "play.py" else (f"{words[1]}.__main__", words[2:])
    assert importlib.import_module(name).main(arguments) == 0


@pytest.mark.gl
def test_what_is_told_of_learning_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the page: what is evaluated, and plays, was trained before, in the dream of the tiny model."""
    monkeypatch.chdir(tmp_path)
    minutes = ("study", "calibrate")  # that is what these take
    commands = [words for words in of_learning() if words[0] not in minutes]
    assert [words[0] for words in commands] == ["train", "evaluate", "rollout", "rollout"]
    assert commands[0][-4:-2] == ["--model", "tiny"]
    for words, told in zip(commands, ("python -m agents evaluate", "copying", "-ppo-", "-vlm-"), strict=True):
        assert agents.main([*words, *TOYS[words[0]]]) == 0, words
        assert told in capsys.readouterr().out


@pytest.mark.gl
@pytest.mark.slow
def test_the_study_that_is_told_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (study,) = [words for words in of_learning() if words[0] == "study"]
    assert agents.main([*study, *TOYS["study"]]) == 0
    assert (tmp_path / "out" / "study" / "study.html").is_file()


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_table_of_a_page_is_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / own.FILE
    path.write_text(text)
    if "[floor]" in text:
        assert own.read_text(tmp_path) == tomllib.loads(text)
        ground = own._said(own.read_text(tmp_path)["floor"])
        assert ground.is_free(*own.free_place(ground))
    else:
        assert read_table(path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / path).exists(), path
