"""Which attention kernel runs: the best that is present, or the one asked for, and why the better ones do not.

B batch, H query heads, G key heads, T query rows, S key rows, K head size.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from bagel.attention import Kernel, attention
from bagel.config import LanguageConfig
from world.errors import ModelError

Condition = Callable[[torch.device, torch.dtype], str]  # why a kernel cannot be tried; "" when it can


@dataclass(frozen=True)
class Choice:
    """The kernel that runs, and the ones that would come before it with the reason why they do not."""

    name: str
    call: Kernel
    passed_over: dict[str, str]


def choose(name: str, device: torch.device, dtype: torch.dtype, c: LanguageConfig) -> Choice:
    """The kernel `name`, or with "auto" the first of KERNELS that works here for this model.

    Raises ValueError for an unknown name and ModelError where the one asked for does not work, saying why.
    """
    if name != "auto" and name not in KERNELS:
        raise ValueError(f"attention is auto, {', '.join(KERNELS)}, got {name!r}")
    passed_over: dict[str, str] = {}
    for candidate, (make, *conditions) in KERNELS.items():
        why = next((said for check in conditions if (said := check(device, dtype))), "")
        why = why or _trial(make, device, dtype, c)
        if name in ("auto", candidate):
            if not why:
                return Choice(candidate, make(), passed_over if name == "auto" else {})
            if name == candidate:
                raise ModelError(f"attention kernel {name} does not run here: {why}; --attention auto takes the best")
        passed_over[candidate] = why
    raise AssertionError("torch's own attention runs everywhere")


def _trial(make: Callable[[], Kernel], device: torch.device, dtype: torch.dtype, c: LanguageConfig) -> str:
    """Why a kernel fails on this model's heads, as the last line of its error; "" when it works."""
    q = torch.ones(1, c.num_attention_heads, 2, c.head_dim, device=device, dtype=dtype)
    k = torch.ones(1, c.num_key_value_heads, 3, c.head_dim, device=device, dtype=dtype)
    try:
        with torch.inference_mode():
            make()(q, k, k)
    except (RuntimeError, ImportError, TypeError, AttributeError, NotImplementedError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return lines[0] if lines else type(error).__name__
    return ""


def _on_cuda(device: torch.device, dtype: torch.dtype) -> str:
    return "" if device.type == "cuda" else f"it needs a CUDA device, this is {device.type}"


def _half(device: torch.device, dtype: torch.dtype) -> str:
    short = str(dtype).removeprefix("torch.")
    return "" if dtype in (torch.float16, torch.bfloat16) else f"it needs bfloat16 or float16, this is {short}"


def _capability(*wanted: int) -> Condition:
    def check(device: torch.device, dtype: torch.dtype) -> str:
        found = torch.cuda.get_device_capability(device)[0]
        numbers = " or ".join(f"{n}.x" for n in wanted)
        return "" if found in wanted else f"it needs compute capability {numbers}, this card has {found}.x"

    return check


def _package(module: str, command: str) -> Condition:
    def check(device: torch.device, dtype: torch.dtype) -> str:
        try:
            found = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:
            found = False
        return "" if found else f"{module} is not installed: {command}"

    return check


def _flash(module: str) -> Callable[[], Kernel]:
    """A flash_attn_func of rows before heads; versions 3 and 4 return more than the result."""

    def make() -> Kernel:
        function = importlib.import_module(module).flash_attn_func

        def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            out = function(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
            return (out[0] if isinstance(out, tuple) else out).transpose(1, 2)

        return call

    return make


def grouped(varlen_attn: Callable[..., Any]) -> Callable[..., Tensor]:
    """Torch's varlen_attn for heads that share keys: torch 2.10 needs not be told, later ones do."""
    if "enable_gqa" in signature(varlen_attn).parameters:
        return partial(varlen_attn, enable_gqa=True)
    return varlen_attn


def _varlen() -> Kernel:
    """Torch's own FlashAttention-2 for packed rows, all batch rows here being of one length."""
    from torch.nn.attention.varlen import varlen_attn

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        batch, num_q, num_k = q.shape[0], q.shape[2], k.shape[2]
        counts = torch.arange(batch + 1, dtype=torch.int32, device=q.device)
        queries, keys, values = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))
        out = grouped(varlen_attn)(queries, keys, values, counts * num_q, counts * num_k, num_q, num_k)
        return out.unflatten(0, (batch, num_q)).transpose(1, 2)

    return call


def _sdpa(backend: SDPBackend, grouped: bool = True) -> Callable[[], Kernel]:
    """One of the kernels behind scaled_dot_product_attention; without `grouped`, key heads are repeated for it."""

    def make() -> Kernel:
        def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if not grouped:
                k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v, enable_gqa=grouped)

        return call

    return make


def for_few_rows(kernel: Kernel, device: torch.device, dtype: torch.dtype) -> Kernel:
    """What takes the place of `kernel` for the two rows of a picture's markers: on a card torch's FlashAttention-2.

    It divides the keys among processors: of 13,100 keys 61 us on an H100, where cuDNN takes 187.
    """
    able = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return _sdpa(SDPBackend.FLASH_ATTENTION)() if able and not _half(device, dtype) else kernel


_CUTE = _package("flash_attn.cute", "pip install flash-attn-4")
_HOPPER = _package("flash_attn_interface", "build the folder hopper of github.com/Dao-AILab/flash-attention")
_FLASH2 = _package("flash_attn", "pip install flash-attn")

# Best first: a maker, then what must hold before it is tried at all.
KERNELS: dict[str, tuple[Callable[[], Kernel], *tuple[Condition, ...]]] = {
    "flash4": (_flash("flash_attn.cute"), _on_cuda, _half, _capability(9, 10), _CUTE),
    "flash3": (_flash("flash_attn_interface"), _on_cuda, _half, _capability(9), _HOPPER),
    "cudnn": (_sdpa(SDPBackend.CUDNN_ATTENTION), _on_cuda, _half, _capability(9, 10)),
    "flash2": (_flash("flash_attn"), _on_cuda, _half, _FLASH2),
    "varlen": (_varlen, _on_cuda, _half),
    "flash": (_sdpa(SDPBackend.FLASH_ATTENTION), _on_cuda, _half),
    "efficient": (_sdpa(SDPBackend.EFFICIENT_ATTENTION, grouped=False), _on_cuda),
    "sdpa": (lambda: attention,),
}
