"""Rounded products: near the exact ones, the same in every batch, and only where speed was asked for."""

from pathlib import Path

import pytest
import torch

from bagel.precision import pack, unpack
from bagel.rounding import RoundedLinear, multiplies_bytes, rounded
from bagel.weights import Checkpoint, load
from bagel.world_model import BagelWorldModel
from world.settings import PRESETS

needs_bytes = pytest.mark.skipif(not multiplies_bytes(), reason="this CPU multiplies bytes no faster than floats")


@needs_bytes
def test_a_rounded_decoder_draws_nearly_the_same_and_the_same_in_every_batch(checkpoint: Checkpoint) -> None:
    z = torch.randn(2, checkpoint.config.autoencoder.z_channels, 6, 4, generator=torch.Generator().manual_seed(0))
    fast = rounded(checkpoint).autoencoder
    with torch.inference_mode():
        exact, drawn = checkpoint.autoencoder.decode(z), fast.decode(z)
        alone = torch.cat([fast.decode(one) for one in z.split(1)])
    assert 0 < (drawn - exact).norm() < 0.03 * exact.norm()
    assert torch.equal(drawn, alone)


@needs_bytes
def test_one_evaluation_rounds_and_more_do_not(golden: Path) -> None:
    checkpoint = load(golden, "cpu")
    fast = BagelWorldModel(checkpoint, "golden", PRESETS["fast"])
    assert fast.spec.dtype == "int8"
    exact = fast.with_sampler(PRESETS["walk"])
    assert exact.checkpoint.autoencoder.encoder is checkpoint.autoencoder.encoder
    assert exact.spec.dtype == "float32"


def test_a_product_of_bytes_scales_every_row_on_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(5, 48, generator=generator), torch.randn(16, 48, generator=generator)
    x[2] *= 1000
    x[3] = 0
    linear, pieces = RoundedLinear(48, 16, bias=False), pack(weight, "int8")
    linear.weight, linear.weight_scale = pieces.values()
    exact, rounded_product = x @ unpack(pieces).t(), linear(x)
    assert ((rounded_product - exact).norm(dim=1) <= 0.02 * exact.norm(dim=1)).all()
    assert torch.equal(rounded_product[:2], linear(x[:2]))
