"""`python -m bagel train words|ae|world`: from nothing to a checkpoint that can be walked, in three commands."""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from pathlib import Path

import torch

from bagel.train import autoencoder, data, words, world
from bagel.train.optimizer import Optimizer
from bagel.train.run import RunConfig
from bagel.weights import Checkpoint, build, choose_device, load, save

TINY = Path(__file__).parent.parent / "tiny"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `train` to the command line of bagel."""
    parser = commands.add_parser("train", help="train a tiny BAGEL: its words, its autoencoder, its world")
    parts = parser.add_subparsers(dest="part", required=True)
    p = parts.add_parser("words", help="learn a small tokenizer in Qwen2's form")
    p.add_argument("--out", type=Path, required=True, help="directory to write it to")
    p.set_defaults(run=_words)
    for name, run, text in (
        ("ae", _autoencoder, "train the autoencoder and start a checkpoint directory"),
        ("world", _world, "train the Mixture-of-Transformers of a checkpoint directory whose autoencoder is trained"),
    ):
        p = parts.add_parser(name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        p.add_argument("--out", type=Path, required=True, help="checkpoint directory; logs and sheets go to its run/")
        p.add_argument("--minutes", type=float, required=True, help="all of it: rendering, compiling, training, saving")
        p.add_argument("--world", default="sim", help="address of the true world that is learnt")
        p.add_argument("--scenes", nargs="+", default=["studio", "gallery", "garden", "tabletop"])
        p.add_argument("--walks", type=int, default=6000, help="walks to learn from, of 32 frames each")
        p.add_argument("--data", type=Path, help="directory that keeps the walks for the next command (default: none)")
        p.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that render")
        p.add_argument("--seed", type=int, default=0, help="another seed draws other walks")
        p.add_argument("--decay", type=float, default=0.3, help="last share of the time in which the rates fall to 0")
        p.add_argument("--batch", type=int, help="pictures (ae) or windows (world) in a batch")
        p.add_argument("--max-steps", type=int, help="stop after this many steps")
        p.add_argument("--resume", action="store_true", help="go on from run/ of an earlier command")
        p.add_argument("--device", help="default: CUDA where there is one")
        p.add_argument("--config", type=Path, default=TINY, help="directory whose configs and tokenizer are used (ae)")
        p.set_defaults(run=run)


def _words(args: argparse.Namespace) -> int:
    words.train_tokenizer(words.corpus(), args.out)
    print(f"wrote the tokenizer to {args.out}")
    return 0


def _autoencoder(args: argparse.Namespace) -> int:
    began = time.monotonic()
    device = str(choose_device(args.device))
    model, _, tokenizer, config = build(args.config)
    with _walks(args) as (walks, held_out):
        c = autoencoder.AutoencoderTraining(**({"batch": args.batch} if args.batch else {}))
        runs = _run_config(args, began, "ae")
        ae, figures = autoencoder.train(config.autoencoder, walks, held_out, runs, c, device, args.seed)
    model = type(model)(config)
    config = dataclasses.replace(config, autoencoder=ae.config)
    save(Checkpoint(model, ae.cpu(), tokenizer, config), args.out, "float16")
    print(f"wrote {args.out}: " + ", ".join(f"{k} {v:.2f}" for k, v in figures.items()))
    return 0


def _world(args: argparse.Namespace) -> int:
    began = time.monotonic()
    device = str(choose_device(args.device))
    checkpoint = load(args.out, device, torch.float32)
    c = world.WorldTraining(**({"batch": args.batch} if args.batch else {}))
    runs = _run_config(args, began, "world")

    def sample(step: int, optimizer: Optimizer) -> None:
        averaged = checkpoint.model.__class__(checkpoint.config)
        state = {k: v.float().cpu() for k, v in checkpoint.model.state_dict().items()}
        averaged.load_state_dict(state | {k: v.cpu() for k, v in optimizer.ema_state().items()})
        save(Checkpoint(averaged, checkpoint.autoencoder, checkpoint.tokenizer, checkpoint.config), args.out, "float16")

    with _walks(args) as (walks, _):
        world.train(
            checkpoint.model, checkpoint.tokenizer, checkpoint.autoencoder, walks, runs, c, device, args.seed, sample
        )
    print(f"wrote {args.out}; look at it with: python -m scenes evaluate --model {args.out}")
    return 0


def _run_config(args: argparse.Namespace, began: float, part: str) -> RunConfig:
    return RunConfig(
        out=args.out / "run" / part,
        minutes=args.minutes,
        began=began,
        decay=args.decay,
        max_steps=args.max_steps,
        resume=args.resume,
    )


class _walks:
    """The walks to learn from and a few held-out ones, kept in --data or gone at the end."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.temporary = None if args.data else tempfile.TemporaryDirectory(prefix="walks")

    def __enter__(self) -> tuple[data.Walks, data.Walks]:
        args = self.args
        root = args.data or Path(self.temporary.name if self.temporary else "")
        scenes = data.all_simulated(args.scenes)
        train = data.DataConfig(scenes, args.walks, first_seed=args.seed * 10**6, world=args.world)
        held_out = data.DataConfig(scenes, 8 * len(scenes), length=16, first_seed=data.HELD_OUT, world=args.world)
        return data.generate(train, root / "train", args.workers), data.generate(
            held_out, root / "held_out", args.workers
        )

    def __exit__(self, *_: object) -> None:
        if self.temporary:
            self.temporary.cleanup()
