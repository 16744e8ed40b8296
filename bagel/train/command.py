"""What `python -m bagel train words|ae|world|lora` does: from nothing to a checkpoint that can be walked."""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

from bagel.cli import directory_of
from bagel.config import BagelConfig
from bagel.model import Bagel
from bagel.speed.random import config_of, random_checkpoint
from bagel.train import autoencoder as ae_training
from bagel.train import data, recorded, vocabulary
from bagel.train import lora as lora_training
from bagel.train import world as world_training
from bagel.train.dreams import dreams
from bagel.train.optimizer import Optimizer, OptimizerConfig
from bagel.train.parallel import Team, joined
from bagel.train.run import RunConfig
from bagel.train.table import read_table
from bagel.train.validate import validate
from bagel.transforms import fit
from bagel.weights import Checkpoint, Loading, build, choose_device, load, save
from bagel.world_model import BagelWorldModel
from world import models
from world.files import atomic_write_text

_WHOLE = Loading(precision="float32")  # packed matrices learn nothing
_DREAMT = 384  # walks that a decoder sees the dreams of
_EVEN = 0.25  # share of training steps in which moves come equally often
_LOOKED = 0.8  # share of training walks around an object that mostly look at it


def words(args: argparse.Namespace) -> int:
    vocabulary.train_tokenizer(vocabulary.corpus(), args.out)
    print(f"wrote the tokenizer to {args.out}")
    return 0


def autoencoder(args: argparse.Namespace) -> int:
    began = time.monotonic()
    device = _device(args)
    _, _, tokenizer, config = build(args.config)
    with joined() as team, _walks(args, config, team) as (walks, held_out):
        c = ae_training.AutoencoderTraining(**({"batch": args.batch} if args.batch else {}))
        runs = _run_config(args, began, "ae", team)
        ae, figures = ae_training.train(config.autoencoder, walks, held_out, runs, c, device, args.seed)
        if not team.first:
            return 0
    config = dataclasses.replace(config, autoencoder=ae.config)
    save(Checkpoint(Bagel(config), ae.cpu(), tokenizer, config), args.out, "float16")
    print(f"wrote {args.out}: " + ", ".join(f"{k} {v:.2f}" for k, v in figures.items()))
    return 0


def decoder(args: argparse.Namespace) -> int:
    began = time.monotonic()
    device = _device(args)
    checkpoint = load(_source(args), "cpu", how=_WHOLE)
    with joined() as team, _walks(args, checkpoint.config, team) as (walks, held_out):
        gentle = OptimizerConfig(muon_lr=2e-3, adam_lr=4e-4, betas=(0.9, 0.99), ema=0.999)
        batch = {"batch": args.batch} if args.batch else {}
        c = ae_training.AutoencoderTraining(optimizer=gentle, **batch)
        runs, config = _run_config(args, began, "decoder", team), checkpoint.config.autoencoder
        dreamer = BagelWorldModel(load(_source(args), device), args.out.name)
        measured = dreams(dreamer, held_out, _DREAMT) if team.first else None
        start = checkpoint.autoencoder, dreams(dreamer, walks, _DREAMT), measured
        ae, figures = ae_training.train(config, walks, held_out, runs, c, device, args.seed, start)
        if team.first:
            save(dataclasses.replace(checkpoint, autoencoder=ae.cpu()), args.out, "float16")
            print(f"wrote {args.out}: " + ", ".join(f"{k} {v:.2f}" for k, v in figures.items()))
    return 0


def world(args: argparse.Namespace) -> int:
    with joined() as team:
        return _world(args, team)


def _world(args: argparse.Namespace, team: Team) -> int:
    began = time.monotonic()
    device = _device(args)
    checkpoint = load(_source(args), device, how=_WHOLE)
    walk = checkpoint.config.walk
    walk = dataclasses.replace(walk, prompt=walk.prompt if args.prompt is None else args.prompt)
    if args.source is None:
        scenes = [models.load_scene(address) for address in args.scenes] if walk.tells_aim else []
        same = [scene for scene in scenes if not scene.has_layouts]  # what is drawn anew is nowhere twice
        known = {scene.starting_at(start).called for scene in same for start in scene.starts}
        walk = dataclasses.replace(walk, ask=True, scenes=tuple(sorted({*walk.scenes, *known})))
    else:
        walk = dataclasses.replace(walk.without_aim(), ask=False)  # nobody knows where one stood and what is seen
    checkpoint = dataclasses.replace(checkpoint, config=dataclasses.replace(checkpoint.config, walk=walk))
    checkpoint.model.config = checkpoint.config
    if walk.tells_aim:
        checkpoint = vocabulary.with_pose_words(checkpoint)
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    runs = _run_config(args, began, "world", team)

    with _walks(args, checkpoint.config, team) as (walks, held_out):
        c = world_training.WorldTraining(**({"batch": args.batch} if args.batch else {}))
        said = sorted({*walks.called(walk)}), walks.wordings
        c = world_training.with_room(c, checkpoint.tokenizer, said, walk)

        def sample(step: int, optimizer: Optimizer) -> None:
            averaged = Bagel(checkpoint.config).to(device)
            averaged.load_state_dict(checkpoint.model.state_dict() | optimizer.ema_state())
            now = dataclasses.replace(checkpoint, model=averaged)
            save(now, args.out, "float16")
            model = BagelWorldModel(dataclasses.replace(now, model=averaged.to(dtype).eval()), args.out.name)
            figures = validate(model, held_out, runs.out / "world.png")
            atomic_write_text(runs.out / "world.json", json.dumps({"step": step} | figures, indent=2) + "\n")

        world_training.train(
            checkpoint.model, checkpoint.tokenizer, checkpoint.autoencoder, walks, runs, c, device, args.seed, sample
        )
    if team.first:
        told = f"python -m scenes evaluate --model {args.out}" if args.source is None else f"{runs.out}/world.png"
        print(f"wrote {args.out}; look at it with: {told}")
    return 0


def lora(args: argparse.Namespace) -> int:
    with joined() as team:
        return _lora(args, team)


def _lora(args: argparse.Namespace, team: Team) -> int:
    began = time.monotonic()
    device = _device(args)
    is_random = args.model.partition(":")[0] == "7b"
    base = args.model if is_random else str(directory_of(args.model))
    checkpoint = random_checkpoint(config_of(args.model), device) if is_random else load(base, device)
    batch = {"batch": args.batch} if args.batch else {}
    optimizer = dataclasses.replace(lora_training.LoraTraining().optimizer, adam_lr=args.rate)
    c = lora_training.LoraTraining(rank=args.rank, alpha=2.0 * args.rank, optimizer=optimizer, **batch)
    runs = dataclasses.replace(_run_config(args, began, "lora", team), warmup=20, log_every=1, graph=False)
    with _walks(args, checkpoint.config, team) as (walks, held_out):
        figures = lora_training.train(checkpoint, walks, held_out, runs, c, args.out, base, args.seed)
    if team.first:
        print(", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
        print(f"wrote {args.out}; walk with it: python play.py --model '{base}?lora={args.out}' --scene photo.jpg")
    return 0


def _device(args: argparse.Namespace) -> str:
    """Where to train. Not with cuDNN's attention, whose backward gives nan now and then on an H100 (pytorch issue
    196678): questions, which the ViT looks at 64 patches for, ended two runs so."""
    torch.backends.cuda.enable_cudnn_sdp(False)
    return str(choose_device(args.device))


def _run_config(args: argparse.Namespace, began: float, part: str, team: Team) -> RunConfig:
    return RunConfig(
        out=args.out / "run" / part,
        minutes=args.minutes,
        began=began,
        decay=args.decay,
        max_steps=args.max_steps,
        resume=args.resume,
        team=team,
    )


def _source(args: argparse.Namespace) -> Path:
    return args.out if (args.out / "llm_config.json").exists() else directory_of(args.start)


@contextmanager
def _walks(args: argparse.Namespace, config: BagelConfig, team: Team) -> Iterator[tuple[data.Walks, data.Walks]]:
    """The walks to learn from and a few held-out ones, kept in --data or gone at the end.

    Of simulated walks each process has its part, and only the first the held-out ones; of recorded walks all have all.
    """
    if args.actions is not None and args.source is None:
        raise ValueError("--actions tells what a recorded dataset's actions mean: give that one by --from")
    with tempfile.TemporaryDirectory(prefix="walks") as temporary:
        root = (args.data or Path(temporary)) / (f"{team.rank}of{team.size}" if team.size > 1 else "")
        yield _drawn(args, team, root) if args.source is None else _recorded(args, config, root)


def _drawn(args: argparse.Namespace, team: Team, root: Path) -> tuple[data.Walks, data.Walks]:
    scenes = data.all_simulated(args.scenes)
    part, workers = max(1, args.walks // team.size), max(1, args.workers // team.size)
    first = args.seed * 10**6 + team.rank * part
    shares = {"said": args.said, "even": _EVEN, "looked": _LOOKED}
    config = data.DataConfig(scenes, part, first_seed=first, world=args.world, **shares)
    train = data.generate(config, root / "train", workers)
    if not team.first:
        return train, train  # nobody looks at the second: the first measures
    once = tuple(dict.fromkeys(scenes))  # learnt from more often than others, but measured alike
    held_out = data.DataConfig(once, 8 * len(once), first_seed=data.HELD_OUT, world=args.world)
    return train, data.generate(held_out, root / "held_out", workers)


def _recorded(args: argparse.Namespace, config: BagelConfig, root: Path) -> tuple[data.Walks, data.Walks]:
    table = read_table(args.actions)
    recording = recorded.open_recording(args.source, table)
    return recorded.read(recording, table, config.walk.history + 1, partial(fit, config=config), root)
