"""The command line: what it makes, what it says, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from bagel.__main__ import main


@pytest.fixture
def photo(tmp_path: Path, pictures: list[Image.Image]) -> Path:
    pictures[0].save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_edit_writes_a_picture(golden: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = photo.with_name("new.png")
    assert run("edit", photo, "turn left", "--model", golden, "--num-timesteps", 3, "--out", out) == 0
    assert size(out) == (96, 64)
    assert "96 x 64" in capsys.readouterr().out
    assert not list(out.parent.glob(".*"))


def test_edit_follows_several_turns(golden: Path, photo: Path) -> None:
    common = ["--model", golden, "--preset", "fast", "--out", photo.with_name("new.png")]
    assert run("edit", photo, "turn", "--text", "again", "--picture", photo, "--text", "more", *common) == 0


def test_imagine_takes_every_setting(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cube.png"
    settings = "--num-timesteps 3 --timestep-shift 2 --cfg-text-scale 3 --cfg-image-scale 1 --cfg-interval 0.2 0.9"
    more = "--cfg-renorm-type channel --cfg-renorm-min 0.5 --seed 4 --think --think-length 4 --size 48x32 --taylor"
    assert run("imagine", "a cube", "--model", golden, "--out", out, *settings.split(), *more.split()) == 0
    assert size(out) == (48, 32)
    assert len(capsys.readouterr().out.splitlines()) >= 2  # the thought, then the file


def test_ask_prints_the_answer(golden: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ask", photo, "what?", "--model", golden, "--max-length", 5, "--think") == 0
    assert capsys.readouterr().out.strip()


def test_verify_agrees_and_finds_a_changed_weight(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = json.loads((copied / "expected.json").read_text())
    expected["cases"] = [case for case in expected["cases"] if case["name"] in ("vit", "time_embed", "velocity")]
    (copied / "expected.json").write_text(json.dumps(expected))
    assert run("verify", copied, "--json") == 1
    problems = [case["problem"] for case in json.loads(capsys.readouterr().out)["cases"]]
    assert problems == ["", "", "could not be computed: KeyError: 'edit'"]  # the case that "velocity" builds on

    expected["cases"].pop()
    (copied / "expected.json").write_text(json.dumps(expected))
    assert run("verify", copied) == 0
    assert "2 of 2 cases agree" in capsys.readouterr().out

    tensors = load_file(copied / "ema.safetensors")
    tensors["time_embedder.mlp.2.bias"] += 0.01
    save_file(tensors, copied / "ema.safetensors")
    assert run("verify", copied) == 1
    assert "1 of 2 cases agree, not: time_embed" in capsys.readouterr().out


def test_inspect_counts_the_parts(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", golden, "--keys") == 0
    out = capsys.readouterr().out
    assert "generation experts" in out
    assert "llm2vae.bias  [64]  F32" in out


def test_inspect_reports_everything_wrong_at_once(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "vocab.json").unlink()
    (copied / "ae.safetensors").write_bytes(b"half")
    tensors = load_file(copied / "ema.safetensors")
    save_file(
        {n: t for n, t in tensors.items() if "vae2llm" not in n} | {"extra": torch.zeros(1)}, copied / "ema.safetensors"
    )
    assert run("inspect", copied, "--json") == 2
    wrong = "\n".join(json.loads(capsys.readouterr().out)["wrong"])
    for said in ("vocab.json", "ae.safetensors is broken", "vae2llm.weight is missing", "extra is not part"):
        assert said in wrong


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("edit none.png x --model {golden}", "there is no picture none.png"),
        ("edit {golden}/README.md x --model {golden}", "not a picture"),
        ("edit {photo} x --model nowhere", "no checkpoint directory nowhere"),
        ("edit {photo} x --model {golden} --num-timesteps 1", "at least 2, got 1"),
        ("edit {photo} x --model {golden} --cfg-renorm-min 2", "cfg_renorm_min lies in [0, 1]"),
        ("edit {photo} x --model {golden} --device abacus", "'abacus' cannot be used"),
        ("imagine x --model {golden} --size 64", "--size is width x height"),
        ("imagine x --model {golden} --size 60x64", "multiples of 16"),
        ("imagine x --model {golden} --out nowhere/x.png", "there is no folder nowhere"),
        ("imagine x --model {golden} --out x.doc", "give a picture's name"),
        ("imagine x --model {golden} --think-length 1", "--think-length is at least 2"),
        ("ask {photo} x --model {golden} --max-length 1", "--max-length is at least 2"),
        ("imagine x --preset dream", "no preset 'dream'"),
        ("ask {photo} x --model {mute}", "mute has not learned to answer questions"),
        ("edit {photo} x --think --model {mute}", "mute has not learned to answer questions"),
        ("bench --model sim", "'sim' is no BAGEL"),
        ("verify nowhere", "no checkpoint directory nowhere"),
        ("inspect nowhere", "no checkpoint directory nowhere"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    golden: Path, mute: Path, photo: Path, capsys: pytest.CaptureFixture[str], arguments: str, says: str
) -> None:
    assert run(*(part.format(golden=golden, mute=mute, photo=photo) for part in arguments.split())) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert says in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", ["", "fly", "imagine", "imagine x --seed -1"])
def test_wrong_usage_ends_with_two(arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments.split())
    assert ended.value.code == 2


def test_help_is_quick_and_needs_no_torch() -> None:
    """The only test with a process of its own: the module as a person calls it, and what it imports for that."""
    code = "import sys, runpy; sys.argv = ['bagel', 'edit', '--help']; runpy.run_module('bagel', run_name='__main__')"
    watch = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); "
    done = subprocess.run([sys.executable, "-c", watch + code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "50 means 49 evaluations" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"
