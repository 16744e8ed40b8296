"""Somebody's own episodes are learnt from: what is seen, what was done, and what a bad folder is told."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

from bagel.__main__ import main
from bagel.config import read_config
from bagel.train.recorded import open_recording, read
from bagel.train.table import Table, read_table
from bagel.weights import load
from tests.bagel.train.conftest import MOVES, ROLLS, walk, write
from world import models
from world.errors import ModelError
from world.types import Action


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "actions.toml"
    path.write_text(text)
    return path


def test_recorded_episodes_make_a_checkpoint_that_walks(smaller: Path, episodes: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    shared = ["--from", str(episodes), "--out", str(out), "--minutes", "5", "--device", "cpu"]
    assert main(["train", "ae", *shared, "--max-steps", "4", "--batch", "4", "--config", str(smaller)]) == 0
    aims = ["--prompt", "In {scene} {aim}: {action}"]  # where one stood is not recorded
    assert main(["train", "world", *shared, *aims, "--max-steps", "100", "--batch", "4"]) == 0
    assert read_config(out).walk.prompt == "In {scene}: {action}"
    with (out / "run" / "world" / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.9 * losses[0]
    assert (out / "run" / "world" / "world.png").exists()
    model = models.load(str(out), device="cpu")
    assert "ask" not in model.spec.supports
    state = model.step(model.reset([models.load_scene("studio")], [0]), [Action("turn left")])[0]
    assert state.frame.shape == (32, 32, 3)
    packed = tmp_path / "packed"  # and learns on where matrices were packed
    assert main(["quantize", str(out), str(packed), "--to", "int8"]) == 0
    further = ["--start", str(packed), "--out", str(tmp_path / "further"), *shared[4:], "--from", str(episodes)]
    assert main(["train", "world", *further, "--max-steps", "20", "--batch", "4"]) == 0
    before, after = (load(folder, "cpu").model.state_dict() for folder in (out, tmp_path / "further"))
    name = "transformer.layers.0.gen.out.weight"
    assert not torch.allclose(before[name], after[name], atol=1e-3)


def test_walks_hold_every_frame_with_what_was_done_next(tmp_path: Path) -> None:
    data = write(tmp_path / "stripes", [4, 7, 3, 12], spaces.Discrete(3), MOVES.index, told=True)
    train, held_out = read(open_recording(data, Table()), Table(), 5, lambda frame: frame, tmp_path / "walks")
    assert train.names == held_out.names == ("stripes",)
    assert held_out.frames.shape == (1, 5, 40, 40, 3)  # the first of the three that are long enough
    assert len(train.frames) == 2 + 3  # of 8 and 13 frames, cut into fives that share their ends
    for frames, actions in zip(train.frames, train.actions, strict=True):
        for before, action, after in zip(frames[:-1], actions, frames[1:], strict=True):
            assert np.array_equal(np.roll(before, ROLLS[train.wordings[action][0]], 1), after)
    assert all(len(words) > 1 for words in train.wordings)  # known moves have other words as well


def test_numbers_are_called_what_a_table_says(tmp_path: Path) -> None:
    data = write(tmp_path / "stripes", [6, 6], spaces.Discrete(3), MOVES.index)
    words = read_table(table(tmp_path, 'scene = "attic"\nwords = ["wait", "push it", "pull it"]'))
    [episode] = open_recording(data, words).episodes([1])
    assert list(episode.words) == [["wait", "push it", "pull it"][MOVES.index(text)] for text in walk(6, 1)]


def test_vectors_say_a_sentence_for_each_number_that_moves(tmp_path: Path) -> None:
    text = 'idle = "wait"\n[[numbers]]\nindex = 0\nabove = "go on"\nbelow = "go back"\nstill = 0.2\n'
    said = read_table(table(tmp_path, text + '[[numbers]]\nindex = 2\nabove = "close the hand"'))
    assert said.say(np.array([0.5, 9.0, 1.0])) == "go on and close the hand"
    assert said.say(np.array([-0.5, 0.0, 0.0])) == "go back"
    assert said.say(np.array([0.1, 0.0, 0.0])) == "wait"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("words = [", "is no table of actions"),
        ('word = ["stay"]', "names word"),
        ("[[numbers]]\nindx = 1", "names indx"),
    ],
)
def test_a_broken_table_is_told(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=says):
        read_table(table(tmp_path, text))


def test_what_cannot_be_learnt_from_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no episodes: give the folder of a Minari dataset"):
        open_recording(tmp_path, Table())
    numbers = write(tmp_path / "numbers", [6, 2], spaces.Discrete(3), MOVES.index)
    with pytest.raises(ModelError, match=r"whole numbers: write into a TOML what they mean \(`words`"):
        list(open_recording(numbers, Table()).episodes([0]))
    with pytest.raises(ModelError, match="has 1 episodes of at least 5 frames"):
        read(open_recording(numbers, Table()), Table(), 5, lambda frame: frame, tmp_path / "walks")
    for name in ("one", "two"):
        write(tmp_path / "several" / name, [6], spaces.Text(20), str)
    with pytest.raises(ModelError, match=r"several datasets \(one, two\)"):
        open_recording(tmp_path / "several", Table())
    assert main(["train", "world", "--out", str(tmp_path / "x"), "--minutes", "1", "--actions", "actions.toml"]) == 2
    with pytest.raises(ModelError, match="action 1 has no words"):
        Table(words=("stay",)).say(1)
