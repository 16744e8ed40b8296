"""A checkpoint in columns computes the same, and only a plain one becomes one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from bagel.columns import in_columns
from bagel.context import EMPTY
from bagel.placement import Loading
from bagel.prefill import LatentPicture, Words, prefill
from bagel.sampler import Velocity
from bagel.weights import Checkpoint, load

needs_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="without MKL rows stay rows")


@torch.inference_mode()
def velocity(checkpoint: Checkpoint, rows: int) -> Tensor:
    """What is painted after a picture and words, for different noise in every row."""
    model, markers = checkpoint.model, checkpoint.tokenizer.image_markers
    drawn = torch.randn(1 + rows, 12, checkpoint.config.latent_channels, generator=torch.Generator().manual_seed(0))
    blocks = [LatentPicture(drawn[0], (3, 4)), Words(checkpoint.tokenizer.prompt("turn left"))]
    contexts = prefill(model, markers, [EMPTY] * rows, [blocks] * rows)
    return Velocity(model, markers, contexts, (3, 4))(drawn[1:], torch.tensor(0.6))


@needs_mkl
def test_columns_compute_what_rows_do_alone_and_in_a_batch(checkpoint: Checkpoint) -> None:
    rows, columns = velocity(checkpoint, 2), velocity(in_columns(checkpoint), 2)
    torch.testing.assert_close(columns, rows, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(velocity(in_columns(checkpoint), 1), rows[:1], atol=1e-5, rtol=1e-4)


@needs_mkl
def test_growing_while_convolving_draws_the_same_picture(checkpoint: Checkpoint) -> None:
    z = torch.randn(2, checkpoint.config.autoencoder.z_channels, 6, 4, generator=torch.Generator().manual_seed(0))
    plain, grown = checkpoint.autoencoder, in_columns(checkpoint).autoencoder
    assert any(isinstance(module, torch.nn.ConvTranspose2d) for module in grown.decoder.modules())
    with torch.inference_mode():
        torch.testing.assert_close(grown.decode(z), plain.decode(z), atol=1e-5, rtol=1e-4)


def test_what_is_packed_or_in_another_dtype_or_in_columns_already_stays_as_it_is(golden: Path) -> None:
    packed = load(golden, "cpu", how=Loading(precision="int8"))
    half = load(golden, "cpu", dtype=torch.bfloat16)
    once = in_columns(load(golden, "cpu"))
    assert all(in_columns(checkpoint) is checkpoint for checkpoint in (packed, half, once))


@needs_mkl
def test_the_given_checkpoint_stays_and_its_weights_are_shared(checkpoint: Checkpoint) -> None:
    before = dict(checkpoint.model.named_parameters())
    columns = in_columns(checkpoint)
    assert dict(checkpoint.model.named_parameters()).keys() == before.keys()
    assert all(before[name] is weight for name, weight in columns.model.named_parameters())
