"""Reading a checkpoint: from folders that lack files, with little memory, and with every fault told at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bagel.__main__ import main
from bagel.inspection import inspect
from bagel.placement import Loading
from bagel.store import Store, write_shards
from bagel.weights import Checkpoint, load
from world.errors import ModelError

CONFIGS = ("llm_config.json", "vit_config.json", "ae_config.json", "bagel_config.json")

READS = """
import resource, sys
from pathlib import Path
from bagel.store import Store
store = Store(Path(sys.argv[1]), "ema.safetensors")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in store.shapes:
    store.tensor(name).sum()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.fixture
def trained(copied: Path, tmp_path: Path) -> Path:
    """A folder as the training script leaves it: weights alone."""
    folder = tmp_path / "0002000"
    folder.mkdir()
    (copied / "ema.safetensors").rename(folder / "ema.safetensors")
    return folder


def test_a_fine_tunes_folder_loads_with_the_releases_configs(
    trained: Path, copied: Path, checkpoint: Checkpoint
) -> None:
    with pytest.raises(ModelError, match=r"llm_config\.json is missing"):
        load(trained, "cpu")
    again = load(trained, "cpu", how=Loading(config_from=copied))
    for name, tensor in checkpoint.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    assert inspect(trained, copied).wrong == []


def test_weights_without_averaging_are_read_where_there_are_no_others(trained: Path, copied: Path) -> None:
    (trained / "ema.safetensors").rename(trained / "model.safetensors")
    assert load(trained, "cpu", how=Loading(config_from=copied)).model.dtype == torch.float32


def test_reading_keeps_a_bounded_part_of_the_file_in_memory(tmp_path: Path) -> None:
    """400 MB are read; the mapping is made anew every 128 MiB, so that its pages never pile up."""
    tensors = ((f"t{i}", torch.full((1 << 22,), i, dtype=torch.float32)) for i in range(24))
    write_shards(tmp_path, "ema.safetensors", tensors, {}, shard=200 << 20)
    done = subprocess.run([sys.executable, "-c", READS, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 240, "MiB above what the program had before"


def test_shards_hold_what_was_given_and_never_cover_an_old_file(tmp_path: Path) -> None:
    tensors = {f"t{i}": torch.full((100,), float(i)) for i in range(7)}
    write_shards(tmp_path, "ema.safetensors", iter(tensors.items()), {"precision": "nf4"}, shard=1000)
    store = Store(tmp_path, "ema.safetensors")
    assert len(list(tmp_path.glob("ema-*.safetensors"))) == 4
    assert store.metadata["precision"] == "nf4"
    assert all(torch.equal(store.tensor(name), tensor) for name, tensor in tensors.items())
    with pytest.raises(ValueError, match="already holds"):
        write_shards(tmp_path, "ema.safetensors", iter(tensors.items()), {})


def test_a_failed_write_leaves_no_shard(tmp_path: Path) -> None:
    def broken():
        yield "a", torch.zeros(500)
        yield "b", torch.zeros(500)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_shards(tmp_path, "ema.safetensors", broken(), {}, shard=1000)
    assert not list(tmp_path.iterdir())


def test_an_index_that_points_outside_its_folder_is_refused(copied: Path) -> None:
    (copied / "ema.safetensors").unlink()
    (copied / "ema.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../ae.safetensors"}}))
    with pytest.raises(ModelError, match=r"names '\.\./ae\.safetensors', which is no file beside it"):
        load(copied, "cpu")


def test_numbers_that_are_not_finite_are_found_by_a_deep_look(copied: Path) -> None:
    tensors = load_file(copied / "ema.safetensors")
    tensors["llm2vae.bias"][3] = float("nan")
    save_file(tensors, copied / "ema.safetensors")
    assert inspect(copied).wrong == []
    assert inspect(copied, deep=True).wrong == [
        "ema.safetensors: llm2vae.bias holds 1 numbers that are NaN or infinite: copy the file again, or train anew"
    ]


def test_inspect_names_pickles_and_every_other_fault_with_its_cure(copied: Path) -> None:
    tensors = load_file(copied / "ema.safetensors")
    del tensors["vae2llm.bias"]
    save_file(tensors, copied / "ema.safetensors")
    (copied / "ae.safetensors").write_bytes((copied / "ae.safetensors").read_bytes()[:5000])
    (copied / "merges.txt").unlink()
    (copied / "pytorch_model.bin").write_bytes(b"\x80\x04")
    wrong = "\n".join(inspect(copied).wrong)
    for said in (
        "vae2llm.bias is missing",
        "take it and the config files from the same model",
        "ae.safetensors is broken or cut short",
        "lacks merges.txt: copy the tokenizer files",
        "pytorch_model.bin is pickled, can run code and is never read: delete it",
    ):
        assert said in wrong


def test_the_plan_of_three_cards_fits_in_bfloat16_and_says_how_to_run_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "7b", "--gpus", "24,24,24", "--json"]) == 0
    options = {(o["precision"], o["parallel"]): o for o in json.loads(capsys.readouterr().out)["plan"]}
    split = options["bfloat16", "layers"]
    assert sum(split["weights"]) == pytest.approx(27.5, abs=0.5)
    assert max(split["weights"]) < 11
    assert split["away"] == 0
    assert "--devices cuda:0,cuda:1,cuda:2 --parallel layers" in split["command"]
    assert ("bfloat16", "guidance") not in options  # a whole copy on each card


def test_the_plan_of_one_small_card_packs_or_says_how_slow_it_will_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "7b", "--gpus", "12"]) == 0
    out = capsys.readouterr().out
    assert "nf4      one             10.0 GiB of weights" in out
    assert "stay in the computer's memory: an evaluation waits about" in out
    assert main(["inspect", "7b", "--gpus", "much"]) == 2
    assert "--gpus are memories in GiB" in capsys.readouterr().err
