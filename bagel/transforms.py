"""Pictures in: resized by the published rule, to floats in [-1, 1] (bagel-spec 4.1 and 4.2).

H and W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageOps
from torch import Tensor

from bagel.config import BagelConfig, TransformConfig
from world.types import Frame


def output_size(width: int, height: int, rule: TransformConfig, num_images: int = 1) -> tuple[int, int]:
    """(width, height) after the resize rule. Small pictures grow; a very long one ends below the minimum.

    The cap on pixels, shared by `num_images` pictures, is applied with the ratio of areas as the factor of a side, as
    published: it shrinks more than it must.
    """

    def snap(side: int) -> int:
        return max(rule.image_stride, round(side / rule.image_stride) * rule.image_stride)  # halves go to even

    def scaled(factor: float) -> tuple[int, int]:
        return snap(round(width * factor)), snap(round(height * factor))

    factor = min(rule.max_image_size / max(width, height), 1.0)
    width, height = scaled(max(factor, rule.min_image_size / min(width, height)))
    most = rule.max_pixels / num_images
    if width * height > most:
        width, height = scaled(most / (width * height))
    if max(width, height) > rule.max_image_size:
        width, height = scaled(rule.max_image_size / max(width, height))
    return width, height


def resize(image: Image.Image, rule: TransformConfig, num_images: int = 1) -> Image.Image:
    """The picture after the resize rule, bicubic."""
    return image.resize(output_size(*image.size, rule, num_images), Image.Resampling.BICUBIC)


def frame_size(frame: Frame, config: BagelConfig) -> tuple[int, int]:
    """(height, width) that a frame has where the model walks."""
    if config.walk.frame_size:
        return config.walk.frame_size
    width, height = output_size(frame.shape[1], frame.shape[0], config.vae_transform)
    return height, width


def fit(frame: Frame, config: BagelConfig) -> Frame:
    """The frame at that size: the middle of it where the checkpoint fixes one, else by the VAE rule."""
    height, width = frame_size(frame, config)
    if frame.shape[:2] == (height, width):
        return frame
    image = Image.fromarray(frame)
    if config.walk.frame_size:
        return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS))
    return np.asarray(resize(image, config.vae_transform))


def to_pixels(image: Image.Image) -> Tensor:
    """float32 [3, H, W] in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))
    return rearrange(pixels.float() / 255 * 2 - 1, "h w c -> c h w")
