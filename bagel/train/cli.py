"""The flags of `python -m bagel train`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from bagel.tiny import TINY
from world import cli

PARTS = {
    "ae": "train the autoencoder, and start a checkpoint directory",
    "decoder": "train a checkpoint directory's decoder further, or another one's, on what its world dreams",
    "world": "train the Mixture-of-Transformers of a checkpoint directory, or go on from another one's",
    "lora": "fine-tune any checkpoint, the 7B too, by an adapter beside it",
}


def add_train(commands: Any) -> None:
    """The parser of `train`."""
    parser = commands.add_parser(
        "train", help="train a tiny BAGEL: its words, its autoencoder, its world; or fine-tune any"
    )
    parts = parser.add_subparsers(title="parts", required=True, metavar="PART")
    part = parts.add_parser("words", help="learn a small tokenizer in Qwen2's form")
    part.add_argument("--out", type=Path, required=True, help="directory to write it to")
    part.set_defaults(run=run_train, part="words")
    for name, text in PARTS.items():
        part = parts.add_parser(name, help=text, formatter_class=cli.HelpFormatter)
        part.add_argument(
            "--out", type=Path, required=True, help="directory to write to; logs and sheets go to its run/"
        )
        _add_data(part)
        _add_run(part)
        part.set_defaults(run=run_train, part=name)
        if name == "ae":
            part.add_argument("--config", type=Path, default=TINY, help="directory of the configs and the tokenizer")
        elif name == "lora":
            part.add_argument("--model", required=True, metavar="DIR", help="what is fine-tuned; 7b has random weights")
            part.add_argument("--rank", type=cli.count, default=16, help="of the adapter's matrices")
            part.add_argument("--rate", type=float, default=2e-4, help="of learning, before it warms up and falls")
        else:
            part.add_argument("--start", default="tiny", metavar="DIR", help="where --out holds no checkpoint yet")
        if name == "world":
            part.add_argument(
                "--prompt",
                metavar="TEXT",
                help="what a move is called in words: names {scene}, {action}, {aim}; default: the checkpoint's own",
            )


def run_train(chosen: argparse.Namespace) -> int:
    from bagel.train import command

    parts = {"words": command.words, "ae": command.autoencoder, "decoder": command.decoder}
    return (parts | {"world": command.world, "lora": command.lora})[chosen.part](chosen)


def _add_data(part: argparse.ArgumentParser) -> None:
    group = part.add_argument_group("recorded", "a folder of episodes, instead of walks through a simulated world")
    group.add_argument("--from", type=Path, dest="source", metavar="DIR", help="a Minari or LeRobot dataset")
    group.add_argument(
        "--actions", type=Path, metavar="FILE.toml", help="what its actions are called, where it does not say so itself"
    )
    group = part.add_argument_group("simulated", "walks that are drawn anew")
    group.add_argument("--world", default="sim", help="address of the true world that is learnt")
    group.add_argument("--scenes", nargs="+", default=["studio", "gallery", "garden", "tabletop", "maze", "anywhere"])
    group.add_argument("--walks", type=cli.count, default=6000, help="walks to learn from, of 32 frames each")
    group.add_argument(
        "--said", type=float, default=0.15, help="share of steps that are longer moves, as in 'turn left 90 degrees'"
    )
    group.add_argument("--workers", type=cli.count, default=os.cpu_count(), help="processes that render")
    part.add_argument("--data", type=Path, help="directory that keeps the walks for the next command")


def _add_run(part: argparse.ArgumentParser) -> None:
    part.add_argument("--minutes", type=cli.minutes, required=True, help="for rendering, training and saving")
    part.add_argument("--seed", type=cli.seed, default=0, help="another seed draws other walks")
    part.add_argument("--decay", type=float, default=0.3, help="last share of the time, in which the rates fall to 0")
    part.add_argument("--batch", type=cli.count, help="pictures (ae) or windows in a batch")
    part.add_argument("--max-steps", type=cli.count, help="stop after so many steps")
    part.add_argument("--resume", action="store_true", help="go on from run/ of an earlier command")
    part.add_argument("--device", help="default: cuda where there is one")
