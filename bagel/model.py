"""BAGEL as one module: everything but the autoencoder and the tokenizer, under names of our own (see weights.py).

B batch, N latent tokens, M patches, P numbers of a token or patch, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bagel.attention import Kernel, attention
from bagel.branches import Team
from bagel.config import BagelConfig
from bagel.context import Batch, Context
from bagel.embed import Connector, TimeEmbedder, position_table
from bagel.transformer import Transformer
from bagel.vae import Autoencoder
from bagel.vit import VisionEncoder

if TYPE_CHECKING:
    from bagel.compiled import Evaluations
    from bagel.reading import Readings


class Bagel(nn.Module):
    """The Mixture-of-Transformers with its doors: words, picture features and latents in; logits and velocity out."""

    latent_positions: Tensor  # [max_latent_size ** 2, D]
    vit_positions: Tensor  # [vit_max_num_patch_per_side ** 2, D]
    kernel: Kernel = staticmethod(attention)  # of attention without a mask
    evaluations: Evaluations | None = None  # where evaluations run in buffers at fixed places
    readings: Readings | None = None  # where small readings do
    team: Team | None = None  # where several processes share the branches of guidance

    def __init__(self, config: BagelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.language.hidden_size
        self.transformer = Transformer(config.language)
        self.vit = VisionEncoder(config.vision, config.vision_positions)
        self.connector = Connector(config.vision.hidden_size, width)
        self.vae2llm = nn.Linear(config.latent_channels, width)
        self.llm2vae = nn.Linear(width, config.latent_channels)
        self.time_embedder = TimeEmbedder(width)
        self.register_buffer("latent_positions", position_table(config.max_latent_size, width))
        self.register_buffer("vit_positions", position_table(config.vit_max_num_patch_per_side, width))

    @property
    def device(self) -> torch.device:
        return self.latent_positions.device

    @property
    def dtype(self) -> torch.dtype:
        return self.vae2llm.weight.dtype

    def batch(self, contexts: Sequence[Context], room: int) -> Batch:
        """Contexts laid out side by side where the layers are, with `room` free columns."""
        transformer = self.transformer
        where = transformer.devices or self.device
        return Batch.of(contexts, room, transformer.config, where, self.dtype, self.kernel)

    def embed_latents(self, tokens: Tensor, t: Tensor, positions: Tensor) -> Tensor:
        """Latent tokens [..., N, P], flow times broadcast to [..., N], grid ids [..., N] -> rows [..., N, D]."""
        rows = self.vae2llm(tokens.to(self.dtype)) + self.time_embedder(t)
        return rows + self.latent_positions[positions].to(rows.dtype)

    def embed_patches(self, patches: Tensor, positions: Tensor, mask: Tensor | None = None) -> Tensor:
        """ViT patches [B, M, P] of pictures, grid ids [B, M] -> rows [B, M, D]; `mask` as in VisionEncoder."""
        rows = self.connector(self.vit(patches.to(self.dtype), positions, mask))
        return rows + self.vit_positions[positions].to(rows.dtype)

    def see(self, patches: Tensor, positions: Tensor) -> Tensor:
        """As `embed_patches`, the quickest way that there is."""
        return (self.readings or self).embed_patches(patches, positions)

    def embed_ids(self, ids: Tensor) -> Tensor:
        """Token ids [...] -> rows [..., D]."""
        return self.transformer.embed(ids)


def unfilled(config: BagelConfig) -> tuple[Bagel, Autoencoder]:
    """The modules of a checkpoint without their weights, on the meta device."""
    with torch.device("meta"), _Blank():
        return Bagel(config), Autoencoder(config.autoencoder)


class _Blank(TorchFunctionMode):
    """Draws no first weights: on the meta device that imports torch's compiler, which takes a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else None
        return func(*args, **(kwargs or {}))
