"""How each kind of case in a parity bundle is computed with this model; sizes and names all come from the bundle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from bagel.bundle import Bundle, Case, Measure, referred
from bagel.config import TransformConfig
from bagel.context import Context
from bagel.embed import grid_positions, time_sinusoid
from bagel.generate import Conversation, decode_tokens, grid_of
from bagel.sampler import Velocity, combine, schedule
from bagel.train_cases import train, train_packing
from bagel.transforms import output_size, resize, to_pixels
from bagel.vae import patchify, to_bytes, unpatchify
from bagel.vit import cut_patches
from bagel.write import write
from world.settings import SamplerConfig

Measures = Iterator[Measure]


def case_of(case: dict[str, Any]) -> Case | None:
    """The computation that a case asks for: by what it holds where that is clear, else by its name."""
    inputs, expected = case.get("inputs", {}), case.get("expected", {})
    if "sequence" in inputs:
        if "init_noise" in inputs:
            return sampling
        if "ids" in expected:
            return understanding
        return one_context if "kv_lens" in expected else None
    return _BY_NAME.get(case["name"])


def tokenizer(bundle: Bundle, case: dict[str, Any]) -> Measures:
    t = bundle.checkpoint.tokenizer
    for row in case["expected"]["table"]:
        yield bundle.same(f"ids of {row['text']!r}", t.encode(row["text"]), row["ids"])
        yield bundle.same(f"text of {row['text']!r}", t.decode(row["ids"]), row["decoded"])
    special = case["settings"]["special_ids"]
    names = ("bos_token_id", "eos_token_id", "start_of_image", "end_of_image")
    yield bundle.same("special ids", [t.start, t.end, *t.image_markers], [special[name] for name in names])
    yield bundle.same("number of tokens", len(t), case["settings"]["len_tokenizer"])


def resize_table(bundle: Bundle, case: dict[str, Any]) -> Measures:
    presets = case["expected"]["presets"]
    rules = {n: TransformConfig(p["max_size"], p["min_size"], p["stride"], p["max_pixels"]) for n, p in presets.items()}
    for name, preset in presets.items():
        for row in preset["rows"]:
            got = output_size(row["w"], row["h"], rules[name], row["img_num"])
            yield bundle.same(f"{name} of {row['w']} x {row['h']}", list(got), row["out_wh"])
    for row in case["expected"].get("context_chain", []):
        first = output_size(row["w"], row["h"], rules["vae_1024"])
        chain = [first, output_size(*first, rules["vae_1024"]), output_size(*first, rules["vit_980"])]
        wanted = [row["first_vae_wh"], row["second_vae_wh"], row["vit_wh"]]
        yield bundle.same(f"chain of {row['w']} x {row['h']}", [list(wh) for wh in chain], wanted)


def pixels(bundle: Bundle, case: dict[str, Any]) -> Measures:
    vae, vit = (TransformConfig(**case["settings"][f"{name}_transform"]) for name in ("vae", "vit"))
    for source in case["inputs"]["images"]:
        image = _picture(bundle, source)
        names = case["expected"][source.split(".")[-1]]
        resized = resize(image, vae)
        yield bundle.close(f"{source} resized", torch.from_numpy(np.array(resized)), names["resized_u8"])
        yield bundle.close(f"{source} for the VAE", to_pixels(resized), names["vae"])
        yield bundle.close(f"{source} for the ViT", to_pixels(resize(resized, vit)), names["vit"])
        yield bundle.close(f"{source} straight for the ViT", to_pixels(resize(image, vit)), names["vit_direct"])


@torch.no_grad()
def vae(bundle: Bundle, case: dict[str, Any]) -> Measures:
    ae, names, inputs = bundle.checkpoint.autoencoder, case["expected"], case["inputs"]
    x = bundle.tensors[inputs["pixels"]][None]
    mean, logvar = ae.moments(x)
    yield bundle.close("mean", mean, names["mean"])
    yield bundle.close("logvar", logvar, names["logvar"])
    yield bundle.close("latent", ae.encode(x), names["latent"])
    yield bundle.close("sampled latent", ae.encode(x, bundle.tensors[inputs["eps"]]), names["latent_sampled"])
    decoded = ae.decode(bundle.tensors[names["latent"]])
    yield bundle.close("decoded", decoded, names["decoded"])
    yield bundle.close("decoded bytes", to_bytes(decoded)[0], names["decoded_u8"])


def latent_patchify(bundle: Bundle, case: dict[str, Any]) -> Measures:
    latent, p = bundle.tensors[case["inputs"]["latent"]], case["settings"]["latent_patch_size"]
    tokens = patchify(latent, p)
    yield bundle.close("tokens", tokens[0], case["expected"]["tokens"])
    back = unpatchify(tokens, latent.shape[2] // p, latent.shape[3] // p, p)
    yield bundle.close("back again", back, case["inputs"]["latent"])


@torch.no_grad()
def vit(bundle: Bundle, case: dict[str, Any]) -> Measures:
    model, names = bundle.checkpoint.model, case["expected"]
    c = model.config
    x = bundle.tensors[case["inputs"]["pixels"]]
    size = c.vision.patch_size
    patches = cut_patches(x[None], size)
    positions = grid_positions(x.shape[1] // size, x.shape[2] // size, c.vit_max_num_patch_per_side)
    encoded = model.vit(patches, positions[None])
    yield bundle.close("patches", patches[0], names["patches"])
    yield bundle.same("positions", positions.tolist(), bundle.tensors[names["position_ids"]].tolist())
    yield bundle.close("encoder", encoded[0], names["encoder_out"])
    yield bundle.close("connector", model.connector(encoded)[0], names["connector_out"])
    yield bundle.close("features", model.embed_patches(patches, positions[None])[0], names["features"])


@torch.no_grad()
def time_embed(bundle: Bundle, case: dict[str, Any]) -> Measures:
    t, names = bundle.tensors[case["inputs"]["t"]], case["expected"]
    yield bundle.close("sinusoid", time_sinusoid(t), names["freq"])
    yield bundle.close("embedding", bundle.checkpoint.model.time_embedder(t), names["embed"])


def one_context(bundle: Bundle, case: dict[str, Any]) -> Measures:
    eps = bundle.tensors[case["inputs"]["eps"]] if "eps" in case["inputs"] else None
    conversation = _converse(bundle, case, eps)
    yield from _compare(bundle, "context", conversation.gen, _latent_blocks(case), case["expected"])


def sampling(bundle: Bundle, case: dict[str, Any]) -> Measures:
    expected, settings, tensors = case["expected"], case["settings"], bundle.tensors
    conversation = _converse(bundle, case, None)
    if "think_ids" in expected:
        yield from _compare_thought(bundle, case)
    kinds = _latent_blocks(case)
    contexts = (conversation.gen, conversation.cfg_text, conversation.cfg_image)
    for name, context in zip(("gen", "cfg_text", "cfg_img"), contexts, strict=True):
        if f"context_{name}" in expected:
            latent = [] if name == "cfg_img" else kinds
            yield from _compare(bundle, name, context, latent, expected[f"context_{name}"])
    size = conversation.painted_size(tuple(settings["image_shapes"]) if "image_shapes" in settings else None)
    yield bundle.same("picture size", list(size), expected["image_shape_hw"])
    steps: list[tuple[Tensor, Tensor]] = []
    config = _sampler(settings)
    tokens = conversation.paint(
        config,
        tensors[case["inputs"]["init_noise"]][None],
        size,
        settings.get("enable_taylorseer", False),
        lambda step, x_t, v_t: steps.append((x_t[0], v_t[0])),
    )
    evaluated = schedule(config.num_timesteps, config.timestep_shift)[:-1].tolist()
    yield bundle.same("number of evaluations", len(evaluated), len(expected["timesteps_evaluated"]))
    for got, wanted in zip(evaluated, expected["timesteps_evaluated"], strict=False):
        yield bundle.near(f"time {wanted:.3f}", got, wanted)
    yield bundle.close("x_t", torch.stack([x for x, _ in steps]), expected["x_t"])
    yield bundle.close("v_t", torch.stack([v for _, v in steps]), expected["v_t"])
    yield bundle.close("latent", tokens[0], expected["latent_tokens"])
    picture = decode_tokens(bundle.checkpoint, tokens, grid_of(bundle.checkpoint, size))[0]
    yield bundle.close("picture", picture, expected["image_u8"])


@torch.no_grad()
def velocity(bundle: Bundle, case: dict[str, Any]) -> Measures:
    conversation = _converse(bundle, bundle.cases[referred(case["inputs"]["contexts"])], None)
    contexts = {"gen": conversation.gen, "cfg_text": conversation.cfg_text, "cfg_img": conversation.cfg_image}
    grid = grid_of(bundle.checkpoint, tuple(case["settings"]["image_shape_hw"]))
    model, markers = bundle.checkpoint.model, bundle.checkpoint.tokenizer.image_markers
    of_all = Velocity(model, markers, list(contexts.values()), grid)
    x_t = bundle.tensors[case["inputs"]["x_t"]].expand(len(contexts), -1, -1)
    for row in case["expected"]["rows"]:
        v = dict(zip(contexts, of_all(x_t, torch.tensor(row["t"])), strict=True))
        guided = combine(v[row["context"]], v["cfg_text"], v["cfg_img"], _sampler(row))
        yield bundle.close(row["tensor"], guided, row["tensor"])


def understanding(bundle: Bundle, case: dict[str, Any]) -> Measures:
    c, settings, expected = bundle.checkpoint, case["settings"], case["expected"]
    conversation = _converse(bundle, case, None)
    if "context" in expected:
        yield from _compare(bundle, "context", conversation.gen, _latent_blocks(case), expected["context"])
    logits: list[Tensor] = []
    end, limit = settings["end_token_id"], settings["max_length"]
    ids = write(c.model, [conversation.gen], c.tokenizer.start, end, limit, watch=lambda x: logits.append(x[0]))[0]
    yield bundle.same("ids", ids, expected["ids"])
    if "logits" in expected:
        yield bundle.close("logits", torch.stack(logits), expected["logits"])
    if "text" in expected:
        yield bundle.same("text", c.tokenizer.answer(ids), expected["text"])


def _converse(bundle: Bundle, case: dict[str, Any], eps: Tensor | None) -> Conversation:
    conversation = Conversation(bundle.checkpoint)
    draw = None if eps is None else (lambda shape: eps)
    for item in case["inputs"]["sequence"]:
        if "image" in item:
            conversation = conversation.picture(_picture(bundle, item["image"]), item["vae"], item["vit"], draw)
        elif item.get("role") == "system":
            conversation = conversation.system(item["text"])
        elif "generated" in item:
            conversation = conversation.thought(conversation.write(case["settings"]["max_think_token_n"]))
        else:
            conversation = conversation.text(item["text"])
    return conversation


def _compare_thought(bundle: Bundle, case: dict[str, Any]) -> Measures:
    """The thought alone, on the context before it."""
    c, spoken = bundle.checkpoint, [item for item in case["inputs"]["sequence"] if "generated" not in item]
    before = _converse(bundle, case | {"inputs": {"sequence": spoken}}, None)
    limit = case["settings"]["max_think_token_n"]
    ids = write(c.model, [before.gen], c.tokenizer.start, c.tokenizer.end, limit)[0]
    yield bundle.same("thought ids", ids, case["expected"]["think_ids"])
    yield bundle.same("thought", c.tokenizer.answer(ids), case["expected"]["think_text"])


def _latent_blocks(case: dict[str, Any]) -> list[bool]:
    """Whether each block of the full context is a picture as latents."""
    blocks: list[bool] = []
    for item in case["inputs"]["sequence"]:
        blocks += [True] * bool(item.get("vae")) + [False] * bool(item.get("vit")) if "image" in item else [False]
    return blocks


def _compare(bundle: Bundle, what: str, context: Context, latent: list[bool], expected: dict[str, Any]) -> Measures:
    """A context against the stored keys and values [T, G, K], which have the end marker behind the latents."""
    yield bundle.same(f"{what} rows", [len(context)], expected["kv_lens"])
    yield bundle.same(f"{what} position", [context.position], expected["ropes"])
    parts = []
    for number, segment in enumerate(context.segments):
        if number < len(latent) and latent[number]:
            start, end, tokens = segment.split([1, 1, segment.shape[3] - 2], dim=3)
            segment = torch.cat((start, tokens, end), dim=3)
        parts.append(segment)
    if parts:
        rows = rearrange(torch.cat(parts, dim=3), "l n g t k -> l n t g k")
        for layer, (keys, values) in enumerate(rows):
            if f"layer{layer}" in expected:
                yield bundle.close(f"{what} keys {layer}", keys, expected[f"layer{layer}"]["k"])
                yield bundle.close(f"{what} values {layer}", values, expected[f"layer{layer}"]["v"])


def _picture(bundle: Bundle, name: str) -> Image.Image:
    return Image.fromarray(bundle.tensors[name].numpy())


def _sampler(settings: dict[str, Any]) -> SamplerConfig:
    """The published names of a case as ours: they differ in the image scale's."""
    names = ("num_timesteps", "timestep_shift", "cfg_text_scale", "cfg_renorm_type", "cfg_renorm_min")
    chosen = {name: settings[name] for name in names if name in settings}
    interval = tuple(settings.get("cfg_interval", (0.0, 1.0)))
    return SamplerConfig(**chosen, cfg_image_scale=settings["cfg_img_scale"], cfg_interval=interval)


_BY_NAME: dict[str, Case] = {
    "tokenizer": tokenizer,
    "resize_table": resize_table,
    "pixels": pixels,
    "vae": vae,
    "latent_patchify": latent_patchify,
    "vit": vit,
    "time_embed": time_embed,
    "velocity": velocity,
    "train": train,
    "train_dropout_packing": train_packing,
}
