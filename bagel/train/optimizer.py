"""Muon for matrices, Adam for the rest, with master weights and an average, as one step that a CUDA graph can hold.

The model's own parameters may be bf16: the masters, moments and average are float32. Matrices of one shape are kept
stacked, so that Muon's Newton-Schulz iteration (Jordan et al. 2024) is a few batched products.
"""

# pyright: reportPrivateImportUsage=false, reportAttributeAccessIssue=false
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class OptimizerConfig:
    """Rates before the schedule's scale; `ema` is the share of the average kept at each step."""

    muon_lr: float = 1e-2
    adam_lr: float = 1e-3
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    ema: float = 0.998


class Optimizer:
    """Steps `model`'s trainable parameters from their gradients; `ema_state()` is the averaged model."""

    def __init__(self, model: nn.Module, config: OptimizerConfig, matrices: set[str]) -> None:
        """`matrices` names the parameters that Muon takes; a fused pair of maps of equal shape is one stacked pair."""
        self.config = config
        named = {n: p for n, p in model.named_parameters() if p.requires_grad}
        groups: dict[tuple[int, int], list[str]] = defaultdict(list)
        for name in named:
            if name in matrices:
                groups[named[name].shape[0], named[name].flatten(1).shape[1]].append(name)
        self.groups = list(groups.values())
        self.rest = [n for n in named if n not in matrices]
        self.named = named
        first = next(iter(named.values()))
        self.device = first.device
        self.tensors: dict[str, Tensor] = {"steps": torch.zeros((), device=self.device)}
        for i, names in enumerate(self.groups):
            weights = torch.stack([named[n].detach().float().flatten(1) for n in names])
            self.tensors |= {f"muon{i}": weights, f"muon{i}.momentum": torch.zeros_like(weights)}
            self.tensors[f"muon{i}.ema"] = weights.clone()
        for n in self.rest:
            weight = named[n].detach().float().clone()
            self.tensors |= {n: weight, f"{n}.ema": weight.clone()}
            self.tensors |= {f"{n}.m": torch.zeros_like(weight), f"{n}.v": torch.zeros_like(weight)}

    @torch.no_grad()
    def step(self, scale: Tensor) -> Tensor:
        """One update with rates times `scale` (a 0-dim tensor on the device). Returns the gradients' norm."""
        grads = [p.grad for p in self.named.values() if p.grad is not None]
        norm = torch.stack(torch._foreach_norm(grads)).float().norm()
        torch._foreach_mul_(grads, (self.config.clip / (norm + 1e-6)).clamp(max=1.0).to(grads[0].dtype))
        steps = self.tensors["steps"].add_(1)
        keep = torch.minimum((steps + 1) / (steps + 10), torch.full_like(steps, self.config.ema))
        for i, names in enumerate(self.groups):
            self._muon(i, names, scale)
            self.tensors[f"muon{i}.ema"].lerp_(self.tensors[f"muon{i}"], 1 - keep)
        self._adam(scale, steps)
        averages, weights = [self.tensors[f"{n}.ema"] for n in self.rest], [self.tensors[n] for n in self.rest]
        difference = torch._foreach_sub(weights, averages)
        torch._foreach_mul_(difference, 1 - keep)
        torch._foreach_add_(averages, difference)
        self._write("")
        return norm

    def _muon(self, i: int, names: list[str], scale: Tensor) -> None:
        grad = torch.stack([_grad(self.named[n]).float().flatten(1) for n in names])
        momentum = self.tensors[f"muon{i}.momentum"]
        momentum.lerp_(grad, 1 - self.config.momentum)
        update = orthogonal(grad.lerp_(momentum, self.config.momentum))
        rows, columns = update.shape[-2:]
        self.tensors[f"muon{i}"].sub_(update.float() * (scale * self.config.muon_lr * max(1.0, rows / columns) ** 0.5))

    def _adam(self, scale: Tensor, steps: Tensor) -> None:
        b1, b2 = self.config.betas
        grads = [_grad(self.named[n]).float() for n in self.rest]
        m, v = [self.tensors[f"{n}.m"] for n in self.rest], [self.tensors[f"{n}.v"] for n in self.rest]
        torch._foreach_lerp_(m, grads, 1 - b1)
        torch._foreach_mul_(v, b2)
        torch._foreach_addcmul_(v, grads, grads, 1 - b2)
        denominator = torch._foreach_sqrt(v)
        torch._foreach_div_(denominator, (1 - b2**steps).sqrt())
        torch._foreach_add_(denominator, 1e-8)
        update = torch._foreach_div(m, denominator)
        torch._foreach_mul_(update, scale * self.config.adam_lr / (1 - b1**steps))
        torch._foreach_sub_([self.tensors[n] for n in self.rest], update)

    @torch.no_grad()
    def _write(self, suffix: str) -> None:
        """The masters ("") or the average (".ema") into the model's parameters."""
        for i, names in enumerate(self.groups):
            for name, weight in zip(names, self.tensors[f"muon{i}{suffix}"], strict=True):
                self.named[name].copy_(weight.view_as(self.named[name]))
        torch._foreach_copy_([self.named[n] for n in self.rest], [self.tensors[f"{n}{suffix}"] for n in self.rest])

    def ema_state(self) -> dict[str, Tensor]:
        """The average's parameters by name, float32."""
        state = {n: self.tensors[f"{n}.ema"] for n in self.rest}
        for i, names in enumerate(self.groups):
            stacked = self.tensors[f"muon{i}.ema"]
            state |= {n: w.view(self.named[n].shape) for n, w in zip(names, stacked, strict=True)}
        return state

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Goes on from `self.tensors` of an earlier run."""
        if tensors.keys() != self.tensors.keys():
            raise ValueError("the training state belongs to another model: start with a new --out, or the same config")
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])
        self._write("")


def add_gradient_(parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
    """Adds the gradient of `loss` to the parameters' own, or nothing where a number of it is not finite: one bad batch
    must not end a run. Returns whether it was added, a bool on the device, as a CUDA graph can hold it."""
    parameters = list(parameters)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    pairs = [(p, g) for p, g in zip(parameters, found, strict=True) if g is not None]
    sound = torch.stack(torch._foreach_norm([g for _, g in pairs])).isfinite().all() & loss.isfinite()
    for parameter, gradient in pairs:
        gradient = torch.where(sound, gradient, 0)
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
    return sound.detach()


def _grad(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        raise ValueError("a trainable parameter took no part in the loss")
    return parameter.grad


def orthogonal(x: Tensor) -> Tensor:
    """The nearest matrix with equal singular values, roughly: five Newton-Schulz steps in bf16. [n, rows, columns]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[-2] > x.shape[-1]
    x = x.bfloat16()
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
