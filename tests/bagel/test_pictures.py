"""Pictures in and out: sizes, bytes, latents."""

import pytest
import torch
from PIL import Image

from bagel.bundle import Bundle
from bagel.config import TransformConfig
from bagel.embed import grid_positions
from bagel.transforms import output_size, resize, to_pixels
from bagel.vae import patchify, to_bytes, unpatchify

VAE = TransformConfig(1024, 512, 16)


def test_small_pictures_grow_and_long_ones_end_below_the_minimum() -> None:
    assert output_size(256, 256, VAE) == (512, 512)
    assert output_size(4000, 300, VAE) == (1024, 80)
    assert resize(Image.new("RGB", (256, 256)), VAE).size == (512, 512)


def test_pixels_lie_between_minus_one_and_one() -> None:
    image = Image.new("RGB", (2, 1), (0, 255, 51))
    torch.testing.assert_close(to_pixels(image)[:, 0, 0], torch.tensor([-1.0, 1.0, -0.6]))


def test_bytes_are_cut_off_and_not_rounded() -> None:
    assert to_bytes(torch.tensor([-2.0, 2.0, 0.99]).reshape(1, 3, 1, 1)).flatten().tolist() == [0, 255, 253]


def test_tokens_go_back_and_forth_for_any_patch() -> None:
    latent = torch.arange(2 * 3 * 6 * 12.0).reshape(2, 3, 6, 12)
    for p in (1, 2, 3):
        assert unpatchify(patchify(latent, p), 6 // p, 12 // p, p).equal(latent)
    assert patchify(latent, 5).shape == (2, 2, 75)  # what does not fill a patch is cropped


def test_channels_last_decodes_the_same(bundle: Bundle) -> None:
    autoencoder, latent = bundle.checkpoint.autoencoder, bundle.tensors["vae.latent"]
    with torch.no_grad():
        expected = autoencoder.decode(latent)
        got = autoencoder.decode(latent.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_a_picture_larger_than_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="9 x 2 does not fit a position table of 8 x 8"):
        grid_positions(9, 2, 8)
