"""Packed matrices: near the exact ones, the same after a file, and said clearly where they cannot be had."""

from pathlib import Path

import pytest
import torch

from bagel.__main__ import main
from bagel.generate import Conversation
from bagel.placement import Loading
from bagel.precision import PACKED, Precision, can_run, pack, unpack
from bagel.sampler import Velocity
from bagel.store import Store
from bagel.weights import Checkpoint, load

# What such a precision may cost in the velocity of the golden model, relative; measured 0.004, 0.03 and 0.1.
ALLOWED = {"int8": 0.02, "fp8": 0.08, "nf4": 0.25}


def velocity(checkpoint: Checkpoint) -> torch.Tensor:
    context = Conversation(checkpoint).text("a red cube").gen
    markers = checkpoint.tokenizer.image_markers
    noise = torch.randn(1, 24, checkpoint.config.latent_channels, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        velocity = Velocity(checkpoint.model, markers, [context], (4, 6))
        return velocity(noise.to(checkpoint.model.device), torch.tensor(0.7)).float().cpu()


@pytest.mark.parametrize("precision", PACKED)
def test_a_packed_model_stays_near_the_exact_one(checkpoint: Checkpoint, golden: Path, precision: Precision) -> None:
    exact = velocity(checkpoint)
    packed = velocity(load(golden, "cpu", how=Loading(precision)))
    error = (packed - exact).norm() / exact.norm()
    assert 0 < error < ALLOWED[precision]


@pytest.mark.parametrize("precision", PACKED)
def test_a_packed_file_loads_as_it_is_and_gives_the_same_numbers(
    golden: Path, tmp_path: Path, precision: Precision, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "packed"
    assert main(["quantize", str(golden), str(out), "--to", precision]) == 0
    assert "GB of weights" in capsys.readouterr().out
    again = load(out, "cpu")
    on_the_fly = load(golden, "cpu", how=Loading(precision))
    for (name, a), b in zip(again.model.state_dict().items(), on_the_fly.model.state_dict().values(), strict=True):
        assert a.dtype == b.dtype, name
        assert torch.equal(a.view(torch.uint8), b.view(torch.uint8)) if "weight" in name else True, name
    assert torch.equal(velocity(again), velocity(on_the_fly))
    assert main(["inspect", str(out), "--deep"]) == 0


@pytest.mark.parametrize("precision", PACKED)
def test_a_packed_file_may_be_unpacked_again(golden: Path, tmp_path: Path, precision: Precision) -> None:
    main(["quantize", str(golden), str(tmp_path / "packed"), "--to", precision])
    plain = load(tmp_path / "packed", "cpu", how=Loading("float32"))
    packed = velocity(load(tmp_path / "packed", "cpu"))
    assert (velocity(plain) - packed).norm() < 0.06 * packed.norm()  # fp8 rounds what comes in, too


def test_packing_never_covers_a_checkpoint(golden: Path, copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", str(golden), str(copied), "--to", "int8"]) == 2
    assert "already holds a checkpoint" in capsys.readouterr().err
    assert main(["quantize", str(copied), str(copied), "--to", "int8"]) == 2
    assert "is the checkpoint itself" in capsys.readouterr().err


def test_a_packed_matrix_without_its_scale_is_named(golden: Path, tmp_path: Path) -> None:
    main(["quantize", str(golden), str(tmp_path / "packed"), "--to", "nf4"])
    store = Store(tmp_path / "packed", "ema.safetensors")
    name = "language_model.model.layers.0.mlp.up_proj.weight"
    assert store.wrong_packing(name) == ""
    del store.siblings[f"{name}.absmax"]
    assert "is nf4 and needs" in store.wrong_packing(name)


@pytest.mark.parametrize(("precision", "error"), [("int8", 0.01), ("fp8", 0.04), ("nf4", 0.12)])
def test_what_is_packed_comes_back_within_its_step(precision: str, error: float) -> None:
    weight = torch.randn(48, 128, generator=torch.Generator().manual_seed(0))
    back = unpack(pack(weight, precision))
    assert (back - weight).norm() < error * weight.norm()
    assert torch.equal(unpack(pack(torch.zeros(4, 64), precision)), torch.zeros(4, 64))


def test_an_unknown_precision_is_named(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["imagine", "x", "--model", str(golden), "--precision", "fp4"]) == 2
    assert "precision is one of" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.parametrize("precision", PACKED)
def test_on_cuda_a_packed_model_stays_near_the_exact_one(golden: Path, checkpoint: Checkpoint, precision) -> None:
    if why := can_run(precision, torch.device("cuda")):
        pytest.skip(why)
    exact = velocity(checkpoint)
    packed = velocity(load(golden, "cuda", how=Loading(precision)))
    assert (packed - exact).norm() < (ALLOWED[precision] + 0.03) * exact.norm()
