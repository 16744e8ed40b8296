"""What the command lines share: kinds of flags, the sampler meant, errors in a sentence."""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from world import cli
from world.settings import PRESETS


def parsed(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_model_arguments(parser)
    return parser.parse_args(flags)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        *((cli.seed, text) for text in ("-1", "1.5", "", "x", "9" * 30)),
        *((cli.count, text) for text in ("0", "-3", "", "x", "9" * 30)),
        *((cli.minutes, text) for text in ("0", "-1", "nan", "inf", "x")),
    ],
)
def test_numbers_that_mean_nothing_are_refused(kind: Callable[[str], float], wrong: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="got "):
        kind(wrong)


def test_without_flags_the_model_knows_its_own_sampler() -> None:
    assert cli.sampler_of(parsed()) is None


def test_single_flags_start_from_the_preset_that_the_checkpoint_names(tmp_path: Path) -> None:
    plain = cli.sampler_of(parsed("--model", str(tmp_path), "--num-timesteps", "9"))
    (tmp_path / "bagel_config.json").write_text('{"walk": {"preset": "walk"}}')
    walking = cli.sampler_of(parsed("--model", str(tmp_path), "--num-timesteps", "9"))
    assert plain is not None
    assert walking is not None
    assert (plain.num_timesteps, plain.cfg_text_scale) == (9, PRESETS["edit"].cfg_text_scale)
    assert (walking.num_timesteps, walking.cfg_text_scale) == (9, PRESETS["walk"].cfg_text_scale)


def test_an_unwritable_place_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert cli.run(lambda: (tmp_path / "file" / "folder").mkdir(parents=True)) == 2
    error = capsys.readouterr().err
    assert "give another path" in error
    assert "Errno" not in error


def test_without_a_terminal_how_far_it_is_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    for every, heard in ((30.0, ["1 of 2"]), (0.02, ["1 of 2", "[bold]2 of 2"])):
        with cli.telling(every) as tell:
            tell("1 of 2")
            time.sleep(0.03)
            tell("[bold]2 of 2")
        said = capsys.readouterr()
        assert [line.partition(" s: ")[2] for line in said.err.splitlines()] == heard
        assert said.out == ""


def test_on_a_terminal_how_far_it_is_stands_in_one_place() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80)
    cli.lines(console)("1 of 3")
    assert screen.getvalue() == ""
    with cli.telling(console=console) as tell:
        tell("[bold]2 of 3")
        time.sleep(0.2)  # for a look at it: it is drawn 12.5 times a second
    assert "[bold]2 of 3" in screen.getvalue()
    assert " s: " not in screen.getvalue()
