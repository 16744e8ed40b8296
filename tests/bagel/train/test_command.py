"""From nothing to a checkpoint that walks: the real commands on the real simulator, at toy size."""

import argparse
import csv
import json
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bagel.__main__ import main
from bagel.config import read_config
from bagel.model import Bagel
from bagel.train import command, data, world
from bagel.train.autoencoder import BANDS, AutoencoderTraining, decoder_loss, strengths, to_paint
from bagel.train.data import ASKED, HELD_OUT, DataConfig, Walks, generate
from bagel.train.dreams import Dreams, dreams, leading, walked
from bagel.train.parallel import Team
from bagel.vae import Autoencoder, to_bytes
from bagel.weights import Checkpoint, build
from bagel.world_model import BagelWorldModel
from scenes.simulator import SimulatorWorld
from world import models
from world.phrases import MOVES, move_in
from world.questions import THINGS
from world.types import Pose, vocabulary


@pytest.mark.gl
def test_two_commands_make_a_checkpoint_that_walks(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "WorldTraining", partial(world.WorldTraining, places=24, questions=12))
    out, walks = tmp_path / "model", tmp_path / "walks"
    shared = ["--out", str(out), "--minutes", "5", "--scenes", "tabletop", "--walks", "2", "--workers", "1"]
    shared += ["--data", str(walks), "--batch", "2", "--device", "cpu"]
    assert main(["train", "ae", *shared, "--max-steps", "20", "--config", str(config)]) == 0
    aims = "{scene} {aim}: {action}"
    assert main(["train", "world", *shared, "--max-steps", "60", "--prompt", aims]) == 0
    figures = json.loads((out / "run" / "ae" / "autoencoder.json").read_text())
    assert figures["step"] == 20
    assert (out / "run" / "ae" / "autoencoder.png").exists()
    figures = json.loads((out / "run" / "world" / "world.json").read_text())
    assert {"step", "next", "next tabletop", "after 24", "sharpness after 24", "right"} <= figures.keys()
    assert (out / "run" / "world" / "world.png").exists()
    with (out / "run" / "world" / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]
    model = models.load(str(out), device="cpu")
    scene = models.load_scene("tabletop")
    state = model.step(model.reset([scene], [0]), [scene.actions[3]])[0]
    assert state.frame.shape == (128, 128, 3)
    assert main(["train", "world", *shared, "--max-steps", "2", "--resume"]) == 0
    walk = read_config(out).walk
    assert walk.prompt == aims
    assert all(walk.knows(scene.starting_at(start).called) for start in scene.starts)
    before, learnt = load_file(out / "ae.safetensors"), (out / "ema.safetensors").read_bytes()
    assert main(["train", "decoder", *shared, "--max-steps", "3"]) == 0
    after = load_file(out / "ae.safetensors")
    assert (out / "ema.safetensors").read_bytes() == learnt
    changed = {name.partition(".")[0] for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"decoder"}
    figures = json.loads((out / "run" / "decoder" / "autoencoder.json").read_text())
    assert figures["step"] == 3
    assert {"psnr tabletop", "psnr dreamt", "sharpness dreamt"} <= figures.keys()


def test_of_a_team_the_first_alone_dreams_what_it_measures(
    smaller: Path, episodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = ["--from", str(episodes), "--out", str(tmp_path / "model"), "--minutes", "5", "--max-steps", "1"]
    shared += ["--batch", "2", "--device", "cpu"]
    assert main(["train", "ae", *shared, "--config", str(smaller)]) == 0
    along: list[Walks] = []
    monkeypatch.setattr(command, "dreams", lambda *a: (along.append(a[1]), dreams(*a))[1])
    for rank, count in ((1, 1), (0, 1 + 2)):
        monkeypatch.setattr(command, "joined", partial(nullcontext, Team(rank)))
        assert main(["train", "decoder", *shared]) == 0
        assert len(along) == count
        assert (tmp_path / "model" / "run" / "decoder" / "autoencoder.json").exists() == (rank == 0)


def test_a_place_that_is_learnt_from_twice_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[DataConfig] = []
    monkeypatch.setattr(command.data, "generate", lambda config, *_: drawn.append(config))
    asked = {"scenes": ["tabletop", "tabletop"], "walks": 2, "workers": 1, "seed": 0, "world": "sim", "said": 0.0}
    command._drawn(argparse.Namespace(**asked), Team(), tmp_path)
    learnt, measured = drawn
    assert (learnt.scenes, measured.scenes, measured.num_walks) == (("tabletop", "tabletop"), ("tabletop",), 8)


@pytest.mark.gl
def test_of_a_team_who_is_not_the_first_draws_nothing_to_measure(tmp_path: Path) -> None:
    asked = {"scenes": ["tabletop"], "walks": 2, "workers": 1, "seed": 0, "world": "sim", "said": 0.0}
    train, _ = command._drawn(argparse.Namespace(**asked), Team(1, 2), tmp_path)
    assert len(train.frames) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


@pytest.mark.gl
def test_a_decoder_is_shown_what_a_walk_dreams(config: Path, tmp_path: Path) -> None:
    walks = generate(DataConfig(("studio", "tabletop"), 3, length=5), tmp_path / "walks", 1)
    torch.manual_seed(0)
    _, _, tokenizer, sizes = build(config)
    checkpoint = Checkpoint(Bagel(sizes).eval(), Autoencoder(sizes.autoencoder).eval(), tokenizer, sizes)
    shown = dreams(BagelWorldModel(checkpoint, "toy"), walks, 2)
    rows = walked(BagelWorldModel(checkpoint, "toy"), walks, 4)
    assert [len(row) for row in rows] == [5, 5, 5]
    assert np.array_equal(shown.frames.numpy(), walks.frames[:2, 1:].reshape(-1, *walks.frames.shape[2:]))
    with torch.inference_mode():
        painted = to_bytes(checkpoint.autoencoder.decode(shown.latents.float())).numpy()
    dreamt = np.stack([state.frame for row in rows[:2] for state in row[1:]])
    assert np.abs(painted.astype(int) - dreamt).max() <= 1


def test_edges_are_as_strong_as_they_stand_out_wherever_they_lie() -> None:
    stripes = torch.zeros(1, 3, 32, 32)
    stripes[..., ::4] = stripes[..., 1::4] = 1.0
    moved, soft = stripes.roll(2, -1), torch.nn.functional.avg_pool2d(stripes, 3, stride=1, padding=1)
    strong = strengths(stripes)
    assert strong.shape == (1, 3 * BANDS, 2, 2)
    assert (strong[:, :3] > 0.2).all()  # fine stripes are in the finest bands
    assert (strong[:, 6:] < 0.05).all()
    assert strengths(moved) == pytest.approx(strong, abs=0.05)  # but for what lies at the border
    assert (strengths(soft)[:, :3] < 0.9 * strong[:, :3]).all()
    assert (strengths(torch.ones(1, 3, 32, 32)) < 2e-3).all()


def test_of_a_dream_of_something_else_is_painted_what_was_painted_before(config: Path) -> None:
    torch.manual_seed(0)
    model = Autoencoder(build(config)[3].autoencoder).eval()
    latents = torch.randn(2, model.config.z_channels, 8, 8).half()
    with torch.inference_mode():
        painted = to_bytes(model.decode(latents.float()))
    true = painted.clone()
    true[0] = (painted[0].int() + 4).clamp(0, 255).to(torch.uint8)  # near everywhere
    true[1, :, 32:] = 255 - (painted[1, :, 32:] > 127).to(torch.uint8) * 255  # far from it on the right
    learnt = to_paint(model, Dreams(latents, true)).frames
    assert torch.equal(learnt[0], true[0])
    assert torch.equal(learnt[1, :, :16], true[1, :, :16])
    assert torch.equal(learnt[1, :, 48:], painted[1, :, 48:])


def test_a_decoder_answers_for_where_edges_lie_in_true_pictures_alone(config: Path) -> None:
    torch.manual_seed(0)
    model = Autoencoder(build(config)[3].autoencoder).eval()
    true, other = torch.rand(2, 2, 3, 32, 32).mul(2).sub(1)
    latents = torch.randn(2, model.config.z_channels, 4, 4)

    def loss(edges: float, gradient: float) -> float:
        c = AutoencoderTraining(edges=edges, gradient=gradient)
        return decoder_loss(model, true, latents, other, c).item()

    with torch.no_grad():
        sure = model.decoder(model.moments(true)[0])
        unsure = model.decoder(latents / model.config.scale_factor + model.config.shift_factor)
    wrong = sure - true
    where = (wrong[..., 1:] - wrong[..., :-1]).abs().mean() + (wrong[..., 1:, :] - wrong[..., :-1, :]).abs().mean()
    assert loss(0.0, 1.0) - loss(0.0, 0.0) == pytest.approx(where.item() / 2, rel=1e-3)
    strong = (strengths(torch.cat((sure, unsure))) - strengths(torch.cat((true, other)))).abs().mean()
    assert loss(1.0, 0.0) - loss(0.0, 0.0) == pytest.approx(strong.item(), rel=1e-3)


@pytest.mark.gl
def test_walks_tell_where_moves_would_lead(tmp_path: Path) -> None:
    walks = generate(DataConfig(("studio",), 2, length=32, first_seed=3), tmp_path, 1)
    assert walks.poses is not None
    assert walks.aims is not None
    scene = models.load_scene("studio")
    for poses, aims, actions in zip(walks.poses, walks.aims, walks.actions, strict=True):
        for pose, aim, action in zip(poses[:-1], aims, actions, strict=True):
            there = Pose(*pose.tolist()).moved(move_in(scene, MOVES[action]))
            assert (there.x, there.y, there.yaw) == pytest.approx(tuple(aim[:3].tolist()), abs=1e-4)
    stopped = np.abs(walks.aims - walks.poses[:, 1:])[..., :2].max(-1) > 0.01
    assert 0 < stopped.mean() < 0.5


def test_a_move_is_as_long_as_its_aim_is_far() -> None:
    here = Pose(1.0, -2.0, 130.0, -10.0, 170.0)
    for long in vocabulary(step=0.7, turn=40.0):
        [usual] = (action for action in vocabulary() if action.name == long.name)
        told = leading(usual, here, here.moved(long))
        assert (told.text, told.name) == (usual.text, usual.name)
        for name in ("forward", "left", "yaw", "pitch", "object_yaw"):
            assert getattr(told, name) == pytest.approx(getattr(long, name), abs=1e-9)


@pytest.mark.gl
def test_walks_keep_what_is_seen_in_some_of_their_pictures(tmp_path: Path) -> None:
    [scene], walks = [models.load_scene("studio")], generate(DataConfig(("studio",), 1, length=6), tmp_path, 1)
    assert walks.poses is not None
    assert walks.sights is not None
    assert walks.sights.shape[1] == 2
    simulator = SimulatorWorld(128)
    for row, pose in zip(walks.sights[0], walks.poses[0, ::ASKED], strict=True):
        [seen] = simulator.sights(scene, [Pose(*pose.tolist())])
        assert seen
        assert {THINGS[i] for i in np.flatnonzero(row[:, 0])} == seen.keys()
    simulator.close()
    before = (tmp_path / "sights.npy").stat().st_mtime_ns
    generate(DataConfig(("studio",), 1, length=6), tmp_path, 1)
    assert (tmp_path / "sights.npy").stat().st_mtime_ns == before  # kept


@pytest.mark.gl
def test_walks_hold_moves_that_can_only_be_said(tmp_path: Path) -> None:
    config = DataConfig(("tabletop",), 2, length=24, said=0.5)
    walks = generate(config, tmp_path, workers=1)
    said = walks.actions >= len(vocabulary())
    assert 0.2 < said.mean() < 0.8
    turns = np.array([move_in(models.load_scene("tabletop"), MOVES[a]).yaw for a in walks.actions.flat])
    assert walks.poses is not None
    turned = np.diff(walks.poses[..., 2], axis=1).flatten()
    assert np.abs((turned - turns + 180) % 360 - 180).max() < 1e-3
    assert np.abs(walks.poses[..., 3]).max() <= 60


def test_words_of_unknown_names_are_told(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "x"), "--minutes", "1", "--device", "cpu", "--prompt", "{place}: {action}"]
    assert main(["train", "world", *out]) == 2
    assert "prompt may name {scene}, {action}" in capsys.readouterr().err


def test_training_never_draws_a_held_out_place() -> None:
    DataConfig(("studio",), 10, first_seed=HELD_OUT)
    with pytest.raises(ValueError, match="held-out"):
        DataConfig(("studio",), 10, first_seed=HELD_OUT - 5)


@pytest.mark.gl
def test_level_moves_come_equally_often_where_a_walk_is_even(tmp_path: Path) -> None:
    walks = generate(DataConfig(("tabletop",), 4, length=64, even=1.0), tmp_path, workers=1)
    counts = np.bincount(walks.actions.flatten(), minlength=len(vocabulary()))
    pitched = np.array([bool(action.pitch) for action in vocabulary()])
    assert counts[pitched].sum() == 0
    assert counts[~pitched].min() > 0.5 * counts[~pitched].mean()


@pytest.mark.gl
def test_walks_around_an_object_alone_are_an_onlookers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "onlook", lambda rng, pose: "stay")
    stays = MOVES.index("stay")
    config = DataConfig(("tabletop", "studio"), 2, length=5, looked=1.0)
    around, elsewhere = generate(config, tmp_path / "looked", workers=1).actions
    assert (around == stays).all()
    assert (elsewhere != stays).any()
    assert (generate(replace(config, looked=0.0), tmp_path / "not", workers=1).actions[0] != stays).any()


@pytest.mark.parametrize("name", ["said", "even", "looked"])
@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_a_share(name: str, share: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is a share in"):
        replace(DataConfig(("studio",), 10), **{name: share})


def test_a_picture_cannot_be_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = Path(models.__file__).parents[1] / "scenes" / "studio" / "door.png"
    out = ["--out", str(tmp_path / "x"), "--minutes", "1", "--device", "cpu", "--scenes", str(picture)]
    assert main(["train", "ae", *out]) == 2
    assert "needs the truth" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
