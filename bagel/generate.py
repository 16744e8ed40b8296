"""A conversation of words and pictures as a value; from it the model paints, answers or thinks (bagel-spec 4 and 8.3).

H and W pixels, N latent tokens, P numbers of a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from bagel.context import EMPTY, Context
from bagel.prefill import Block, LatentPicture, SeenPicture, Words, prefill
from bagel.sampler import Callback, Conditions, sample
from bagel.transforms import resize, to_pixels
from bagel.vae import patchify, to_bytes, unpatchify
from bagel.vit import cut_patches
from bagel.weights import Checkpoint
from bagel.write import write
from world.errors import ModelError
from world.settings import SamplerConfig

# The published system prompts, to the letter: the blank before the line end counts, it changes the tokens.
THINK_TO_ANSWER = (
    "You should first think about the reasoning process in the mind and then provide the user with the answer. \n"
    "The reasoning process is enclosed within <think> </think> tags, i.e. "
    "<think> reasoning process here </think> answer here"
)
THINK_TO_PAINT = (
    "You should first think about the planning process in the mind and then generate the image. \n"
    "The planning process is enclosed within <think> </think> tags, i.e. "
    "<think> planning process here </think> image here"
)


Draw = Callable[[tuple[int, ...]], Tensor]  # a shape to normal numbers, e.g. partial(torch.randn, generator=...)


@dataclass(frozen=True)
class Conversation:
    """What has been said and shown, as the contexts of the three guidance branches; adding returns a new one.

    `cfg_text` lacks the last text (and the thought), `cfg_image` all pictures. `size` is (H, W) of the last picture.
    """

    checkpoint: Checkpoint
    gen: Context = EMPTY
    cfg_text: Context = EMPTY
    cfg_image: Context = EMPTY
    size: tuple[int, int] | None = None

    def text(self, words: str) -> Conversation:
        """What the person says."""
        block = [Words(self.checkpoint.tokenizer.prompt(words))]
        gen, cfg_image = self._read([self.gen, self.cfg_image], [block, block])
        return replace(self, gen=gen, cfg_text=self.gen, cfg_image=cfg_image)

    def system(self, words: str) -> Conversation:
        """What no branch of guidance leaves out: said before everything else."""
        said = self.text(words)
        return replace(said, cfg_text=said.gen)

    def picture(self, image: Image.Image, vae: bool = True, vit: bool = True, draw: Draw | None = None) -> Conversation:
        """What the person shows: as latents (to paint from), as ViT features (to understand), or as both, in order.

        The picture is resized by the VAE rule, and the ViT sees that one. `draw` makes the normal numbers of the
        autoencoder's posterior, which the published code samples; without it the posterior's mean is taken.
        """
        c = self.checkpoint.config
        image = resize(image, c.vae_transform)
        gen = self.gen
        if vae:
            gen = self._read([gen], [[encode_picture(self.checkpoint, to_pixels(image), draw)]])[0]
        if vit:
            gen = self._read([gen], [[see_picture(self.checkpoint, to_pixels(resize(image, c.vit_transform)))]])[0]
        return replace(self, gen=gen, cfg_text=gen, size=(image.height, image.width))

    def write(self, max_length: int = 512, temperature: float = 0.0, generator: torch.Generator | None = None) -> str:
        """What the model says next; the conversation stays as it is. Greedy at temperature 0."""
        c = self.checkpoint
        generators = None if generator is None else [generator]
        ids = write(c.model, [self.gen], c.tokenizer.start, c.tokenizer.end, max_length, temperature, generators)[0]
        return c.tokenizer.answer(ids)

    def thought(self, words: str) -> Conversation:
        """A thought of the model's, read again as a text by the full branch alone."""
        gen = self._read([self.gen], [[Words(self.checkpoint.tokenizer.prompt(words))]])[0]
        return replace(self, gen=gen)

    def paint(
        self,
        config: SamplerConfig,
        noise: Tensor,
        size: tuple[int, int] | None = None,
        taylor: bool = False,
        callback: Callback | None = None,
    ) -> Tensor:
        """Latent tokens [1, N, P] of the next picture, from normal noise [1, N, P]; `size` as in `painted_size`."""
        conditions = Conditions([self.gen], [self.cfg_text], [self.cfg_image])
        grid = grid_of(self.checkpoint, self.painted_size(size))
        markers = self.checkpoint.tokenizer.image_markers
        return sample(self.checkpoint.model, markers, conditions, noise, grid, config, taylor, callback)

    def painted_size(self, size: tuple[int, int] | None = None) -> tuple[int, int]:
        """(H, W) of the next picture: that of the last one shown, else `size`, else the largest square."""
        c = self.checkpoint.config
        if self.size is not None:
            return self.size
        side = min(c.vae_transform.max_image_size, c.max_latent_size * c.latent_stride)
        return size or (side, side)

    def _read(self, contexts: Sequence[Context], blocks: Sequence[Sequence[Block]]) -> list[Context]:
        c = self.checkpoint
        return prefill(c.model, c.tokenizer.image_markers, contexts, blocks)


Turn = str | Image.Image


def imagine(
    checkpoint: Checkpoint,
    turns: Sequence[Turn],
    config: SamplerConfig,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    think_length: int = 0,
    taylor: bool = False,
    callback: Callback | None = None,
) -> tuple[Image.Image, str]:
    """A picture after the turns (words and pictures in their order), and the thought that led to it ("" without).

    With pictures among the turns this is editing, and the last one gives the size. `think_length` is the number of
    tokens the model may think. The seed draws, on the CPU, the posterior of each picture and then the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    conversation = Conversation(checkpoint)
    if think_length:
        conversation = conversation.system(THINK_TO_PAINT)
    conversation = _follow(conversation, turns, generator)
    thought = ""
    if think_length:
        thought = conversation.write(think_length)
        conversation = conversation.thought(thought)
    grid = grid_of(checkpoint, conversation.painted_size(size))
    noise = torch.randn(1, grid[0] * grid[1], checkpoint.config.latent_channels, generator=generator)
    tokens = conversation.paint(config, noise, size, taylor, callback)
    return Image.fromarray(decode_tokens(checkpoint, tokens, grid)[0].cpu().numpy()), thought


def ask(
    checkpoint: Checkpoint,
    turns: Sequence[Turn],
    max_length: int = 512,
    think: bool = False,
    temperature: float = 0.0,
    seed: int = 0,
) -> str:
    """The model's answer to the turns (words and pictures in their order), which it sees through the ViT alone."""
    conversation = Conversation(checkpoint)
    if think:
        conversation = conversation.system(THINK_TO_ANSWER)
    for turn in turns:
        said = isinstance(turn, str)
        conversation = conversation.text(turn) if said else conversation.picture(turn, vae=False)
    return conversation.write(max_length, temperature, torch.Generator().manual_seed(seed))


def need_answers(checkpoint: Checkpoint, name: str) -> None:
    """Raises ModelError where the model `name` can paint, but has not learned to write."""
    if not checkpoint.config.walk.ask:
        raise ModelError(f"{name} has not learned to answer questions: use the BAGEL-7B-MoT weights")


def encode_picture(checkpoint: Checkpoint, pixels: Tensor, draw: Draw | None = None) -> LatentPicture:
    """Pixels [3, H, W] in [-1, 1] as a block of latents: the posterior's mean, or its sample with `draw`."""
    return latent_picture(checkpoint, encode_latent(checkpoint, pixels[None], draw)[0])


@torch.no_grad()
def encode_latent(checkpoint: Checkpoint, pixels: Tensor, draw: Draw | None = None) -> Tensor:
    """Pixels [B, 3, H, W] in [-1, 1] to scaled latents [B, C, h, w]."""
    c = checkpoint.config.autoencoder
    weight = checkpoint.autoencoder.encoder.conv_in.weight
    shape = (len(pixels), c.z_channels, pixels.shape[2] // c.downsample, pixels.shape[3] // c.downsample)
    return checkpoint.autoencoder.encode(pixels.to(weight), draw(shape).to(weight) if draw else None)


def latent_picture(checkpoint: Checkpoint, latent: Tensor) -> LatentPicture:
    """A scaled latent [C, h, w] as a block."""
    p = checkpoint.config.latent_patch_size
    return LatentPicture(patchify(latent[None], p)[0], (latent.shape[1] // p, latent.shape[2] // p))


def see_picture(checkpoint: Checkpoint, pixels: Tensor) -> SeenPicture:
    """Pixels [3, H, W] in [-1, 1], already resized by the ViT rule, as a block of ViT patches."""
    size = checkpoint.config.vision.patch_size
    return SeenPicture(cut_patches(pixels[None], size)[0], (pixels.shape[1] // size, pixels.shape[2] // size))


@torch.no_grad()
def decode_tokens(checkpoint: Checkpoint, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Latent tokens [B, N, P] on a grid (rows, columns) to pictures, uint8 [B, H, W, 3]."""
    latent = unpatchify(tokens, *grid, checkpoint.config.latent_patch_size)
    return to_bytes(checkpoint.autoencoder.decode(latent.to(checkpoint.autoencoder.decoder.conv_in.weight)))


def grid_of(checkpoint: Checkpoint, size: tuple[int, int]) -> tuple[int, int]:
    """The latent grid (rows, columns) of a picture of (H, W) pixels; ValueError where the model cannot paint it."""
    stride, side = checkpoint.config.latent_stride, checkpoint.config.max_latent_size
    grid = size[0] // stride, size[1] // stride
    if size[0] % stride or size[1] % stride or not (1 <= grid[0] <= side and 1 <= grid[1] <= side):
        raise ValueError(
            f"this model paints sides that are multiples of {stride} from {stride} to {side * stride} pixels, "
            f"not {size[1]} x {size[0]} (width x height)"
        )
    return grid


def _follow(conversation: Conversation, turns: Sequence[Turn], generator: torch.Generator) -> Conversation:
    for turn in turns:
        if isinstance(turn, str):
            conversation = conversation.text(turn)
        else:
            conversation = conversation.picture(turn, draw=partial(torch.randn, generator=generator))
    return conversation
