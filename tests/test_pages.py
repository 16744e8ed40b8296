"""The pages on training and learning: every command is understood, every table is read, every file is there."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from bagel.train.table import read_table
from scenes import own
from world import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "bagel" / "train" / "TRAINING.md", ROOT / "agents" / "LEARNING.md"]


def blocks(language: str) -> list[str]:
    fenced = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [text for page in PAGES for text in fenced.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("command", [line for block in blocks("sh") for line in block.splitlines()])
def test_a_command_of_a_page_is_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "run", lambda main: 0)
    words = shlex.split(command)[1:]
    name, arguments = ("play", words[1:]) if words[0] == "play.py" else (f"{words[1]}.__main__", words[2:])
    assert importlib.import_module(name).main(arguments) == 0


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
