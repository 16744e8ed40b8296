"""The training cases of a parity bundle: packing, both losses, and gradients under the release's names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bagel.bundle import Bundle, Measure, referred
from bagel.packing import Inputs, Item, Layout, losses_of, pack, published_rows, rows_in, rows_out, times
from bagel.vae import patchify
from bagel.vit import cut_patches
from bagel.weights import split


def train(bundle: Bundle, case: dict[str, Any]) -> Iterator[Measure]:
    model, expected, settings = bundle.checkpoint.model, case["expected"], case["settings"]
    layout = pack(_samples(bundle, case), *_markers(bundle))
    yield from _compare_layout(bundle, layout, settings | _packed(bundle, case))
    patches = torch.cat([cut_patches(x[None], model.config.vision.patch_size)[0] for x in _seen(bundle, case)])
    yield bundle.close("ViT patches", patches, case["inputs"]["packed_vit_tokens"])
    draws = _draws(layout, settings["timestep_draws"])
    yield bundle.close("draws", draws, case["inputs"]["packed_timesteps_raw"])
    t = times(draws, settings["timestep_shift"])
    yield bundle.close("times", t, expected["timesteps"])
    with torch.no_grad():
        padded = bundle.checkpoint.autoencoder.encode(bundle.tensors[case["inputs"]["padded_images"]])
    yield bundle.close("padded latents", padded, case["inputs"]["padded_latent"])
    inputs = Inputs(
        _latents(layout, padded, model.config.latent_patch_size), bundle.tensors[case["inputs"]["noise"]], t, patches
    )

    und, gen = rows_in(model, layout, inputs)
    yield bundle.close("rows in", _published(layout, und, gen), expected["hidden_in"])
    und, gen = rows_out(model, layout, und, gen)
    yield bundle.close("rows out", _published(layout, und, gen), expected["hidden_out"])
    losses = losses_of(model, layout, inputs, und, gen)
    yield bundle.close("mse", losses.mse, expected["mse"])
    yield bundle.close("ce", losses.ce, expected["ce"])
    yield bundle.close("ce weights", losses.ce_weights, case["inputs"]["ce_loss_weights"])
    yield bundle.near("mse mean", losses.total(ce_weight=0).item(), expected["mse_mean"])
    yield bundle.near("ce mean", losses.total(mse_weight=0).item(), expected["ce_mean"])
    yield bundle.near("ce reweighted", losses.total(mse_weight=0, reweight=True).item(), expected["ce_reweighted"])
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(losses.total(), list(parameters.values()), allow_unused=True)
    by_name: dict[str, Tensor] = {}
    for name, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            by_name |= split(name, gradient, model.config.language)
    for name, tensor in expected["grads"].items():
        yield bundle.close(f"gradient of {name}", by_name[name], tensor)


def train_packing(bundle: Bundle, case: dict[str, Any]) -> Iterator[Measure]:
    plan = bundle.cases[referred(case["inputs"]["plan"])]
    for row in case["expected"]["rows"]:
        dropped = row["dropped"]
        layout = pack(_samples(bundle, plan), *_markers(bundle), dropped=lambda item, kind=dropped: item.kind == kind)
        yield from _compare_layout(bundle, layout, row)


def _samples(bundle: Bundle, case: dict[str, Any]) -> list[list[Item]]:
    """The plan of a case with the ids and grids of its items; `items` names them, e.g. "vit img0 (...)"."""
    latent_grids = iter(case["settings"]["patchified_vae_latent_shapes"])
    patch_size = bundle.checkpoint.config.vision.patch_size
    samples: list[list[Item]] = []
    for plan, items in zip(case["settings"]["plan"], case["settings"]["items"], strict=True):
        samples.append([])
        for step, label in zip(plan, items, strict=True):
            kind, name = label.split()[:2]
            ids, grid = (), (0, 0)
            if kind == "text":
                ids = tuple(bundle.checkpoint.tokenizer.encode(bundle.expected["texts"][name]))
            elif kind == "vae":
                rows, columns = next(latent_grids)
                grid = rows, columns
            else:
                _, height, width = bundle.tensors[f"pixels.{name}.vit_direct"].shape
                grid = height // patch_size, width // patch_size
            samples[-1].append(Item(kind, ids, grid, bool(step["loss"]), bool(step["enable_cfg"])))
    return samples


def _seen(bundle: Bundle, case: dict[str, Any]) -> list[Tensor]:
    """The ViT's pictures, in the plan's order."""
    labels = [label.split()[:2] for items in case["settings"]["items"] for label in items]
    return [bundle.tensors[f"pixels.{name}.vit_direct"] for kind, name in labels if kind == "vit"]


def _markers(bundle: Bundle) -> tuple[tuple[int, int], tuple[int, int]]:
    t = bundle.checkpoint.tokenizer
    return (t.start, t.end), t.image_markers


def _draws(layout: Layout, draws: list[float]) -> Tensor:
    """One draw a noised picture, -inf for a clean one, repeated for its tokens."""
    left = iter(draws)
    each = [next(left) if noised else float("-inf") for noised in layout.noised]
    return torch.tensor(each).repeat_interleave(torch.tensor([h * w for h, w in layout.latent_grids]))


def _latents(layout: Layout, padded: Tensor, p: int) -> Tensor:
    """Tokens [N, P] cut from latents [pictures, C, h, w] that were padded to one size."""
    pairs = zip(layout.latent_grids, padded, strict=True)
    return torch.cat([patchify(latent[None, :, : h * p, : w * p], p)[0] for (h, w), latent in pairs])


def _published(layout: Layout, und: Tensor, gen: Tensor) -> Tensor:
    """Our rows in the published order [T, D]."""
    rows = torch.cat((und[0], gen[0]))
    return torch.empty_like(rows).index_copy_(0, torch.tensor(published_rows(layout)), rows)


def _packed(bundle: Bundle, case: dict[str, Any]) -> dict[str, list]:
    """The integer inputs of a training case as lists."""
    tensors = {key: bundle.tensors[name] for key, name in case["inputs"].items()}
    return {key: tensor.tolist() for key, tensor in tensors.items() if not tensor.is_floating_point()}


def _compare_layout(bundle: Bundle, layout: Layout, expected: dict[str, Any]) -> Iterator[Measure]:
    c = bundle.checkpoint.config
    got = {
        "sample_lens": layout.sample_lens,
        "split_lens": layout.split_lens,
        "attn_modes": layout.modes,
        "packed_position_ids": layout.positions,
        "packed_text_ids": layout.text_ids,
        "packed_text_indexes": layout.text_rows,
        "packed_vae_token_indexes": layout.latent_rows,
        "packed_vit_token_indexes": layout.patch_rows,
        "packed_latent_position_ids": _grid_ids(layout.latent_grids, c.max_latent_size),
        "packed_vit_position_ids": _grid_ids(layout.patch_grids, c.vit_max_num_patch_per_side),
        "vit_token_seqlens": [h * w for h, w in layout.patch_grids],
        "packed_label_ids": layout.labels,
        "ce_loss_indexes": [layout.text_rows[i] for i in layout.ce_texts],
        "mse_loss_indexes": [layout.latent_rows[i] for i in layout.mse_latents],
    }
    for name, value in got.items():
        if name in expected:
            yield bundle.same(name, value, expected[name])


def _grid_ids(grids: list[tuple[int, int]], side: int) -> list[int]:
    return [r * side + c for h, w in grids for r in range(h) for c in range(w)]
