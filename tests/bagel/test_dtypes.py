"""The dtype is chosen at load, and every part of the way works in it."""

import pytest
import torch

from bagel.bundle import Bundle
from bagel.generate import Conversation
from bagel.weights import load
from world.settings import SamplerConfig


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_edit_stays_near_the_exact_one(bundle: Bundle, golden, pictures, dtype: torch.dtype) -> None:
    checkpoint = load(golden, "cpu", dtype, autoencoder_dtype=dtype)
    settings = bundle.cases["edit"]["settings"]
    conversation = Conversation(checkpoint).picture(pictures[0]).text(bundle.expected["texts"]["edit"])
    assert conversation.gen.segments[0].dtype == dtype
    config = SamplerConfig(settings["num_timesteps"], cfg_interval=tuple(settings["cfg_interval"]))
    latent = conversation.paint(config, bundle.tensors["noise.edit"][None])[0]
    assert latent.dtype == torch.float32  # the state between evaluations
    exact = bundle.tensors["edit.latent"]
    assert (latent - exact).norm() < 0.05 * exact.norm()


@pytest.mark.gpu
def test_on_cuda_the_golden_edit_comes_out(bundle: Bundle, golden, pictures) -> None:
    checkpoint = load(golden, "cuda", torch.float32)
    settings = bundle.cases["edit"]["settings"]
    conversation = Conversation(checkpoint).picture(pictures[0]).text(bundle.expected["texts"]["edit"])
    config = SamplerConfig(settings["num_timesteps"], cfg_interval=tuple(settings["cfg_interval"]))
    latent = conversation.paint(config, bundle.tensors["noise.edit"][None])[0].cpu()
    torch.testing.assert_close(latent, bundle.tensors["edit.latent"], rtol=2e-2, atol=2e-2)  # TF32 convolutions
    assert conversation.write(5) != ""
