"""An OpenAI-style engine (vLLM-Omni with BAGEL, say) as a world model: a step is one edit of the newest picture.

Routes as vLLM-Omni documents them (docs/serving/image_edit_api.md, examples/online_serving/bagel): POST
/v1/images/edits, a form with a PNG, answers {"data": [{"b64_json": ...}]}; POST /v1/chat/completions with a data URL
among the message's content answers with one again, or with words. Such an engine keeps nothing between requests and
sees one picture, so a state has one frame, and any replica of the engine can make any step.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast
from urllib.parse import parse_qsl

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from world.errors import ModelError
from world.instructions import instruction
from world.posting import Patience, Poster
from world.settings import PRESETS, SamplerConfig
from world.types import Action, Frame, Scene, State, WorldSpec

SCHEMES = ("http://", "https://")
TOKEN = "BAGEL_API_KEY"  # the environment variable that holds a bearer token
STRIDE = 16  # pixels, of BAGEL's latents: sides that are no multiple would be cut by the engine

_CONCURRENT = 32  # requests of one batch under way at once
_log = logging.getLogger(__name__)

Route = Literal["edits", "chat"]


@dataclass(frozen=True)
class EngineAddress:
    """What "http://HOST:PORT[,http://HOST:PORT...][?model=NAME&route=edits&timeout=SECONDS&tries=N]" says."""

    bases: tuple[str, ...]
    model: str = ""  # as the engine calls it; "" is the first that it serves
    route: Route = "edits"  # by which pictures are asked for
    patience: Patience = field(default_factory=Patience)


def read_address(address: str) -> EngineAddress:
    """Raises ValueError where `address` is none."""
    urls, _, query = address.partition("?")
    bases = tuple(url.rstrip("/").removesuffix("/v1") for url in urls.split(","))
    if not all(base.startswith(SCHEMES) and base.partition("://")[2] for base in bases):
        raise ValueError(f"{address!r}: expected http://HOST:PORT, or several with commas between them")
    options = dict(parse_qsl(query, keep_blank_values=True))
    route = options.pop("route", "edits")
    if route not in ("edits", "chat"):
        raise ValueError(f"{address!r}: route is edits or chat, got {route!r}")
    model = options.pop("model", "")
    try:
        patience = Patience(float(options.pop("timeout", 300.0)), int(options.pop("tries", 4)))
    except ValueError as error:
        raise ValueError(f"{address!r}: {error}") from None
    if options:
        raise ValueError(f"{address!r} has {', '.join(options)}: after the ? there are model, route, timeout and tries")
    return EngineAddress(bases, model, route, patience)


def load(address: str, *, sampler: SamplerConfig | None = None, device: str | None = None) -> EngineWorldModel:
    """The engine at `address`, under the protocol of world.models."""
    if device is not None:
        raise ModelError(f"{address} runs where it was started: leave out --device")
    if sampler is not None and replace(sampler, num_timesteps=PRESETS["edit"].num_timesteps) != PRESETS["edit"]:
        raise ModelError(
            f"{address} can be told --num-timesteps alone: the other settings are those it was started with"
        )
    try:
        return EngineWorldModel(read_address(address), sampler.num_timesteps if sampler else None)
    except ValueError as error:
        raise ModelError(str(error)) from None


class EngineWorldModel:
    """Each row of a batch is a request of its own; the engine merges what it likes.

    The seed of a step is a hash of (seed, step); a picture of another size than was asked for is fitted, and said once.
    Every verb raises LinkError when the patience is over, ModelError with the engine's words where it refuses.
    """

    def __init__(self, address: EngineAddress, num_timesteps: int | None = None) -> None:
        self._address = address
        self._steps = num_timesteps
        self._poster = Poster(address.bases, address.patience, os.environ.get(TOKEN, ""))
        self._threads = ThreadPoolExecutor(_CONCURRENT, thread_name_prefix="engine")
        self._warned = False
        try:
            name = address.model or self._poster.get("/v1/models", _first_model)
        except BaseException:
            self.close()
            raise
        self._spec = WorldSpec(name, frozenset({"free_text", "ask"}), "engine", "unknown")

    @property
    def spec(self) -> WorldSpec:
        return self._spec

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        """States at the scenes' first starts; frames are scaled to sides that are multiples of STRIDE."""
        if len(scenes) != len(seeds):
            raise ValueError(f"one seed for each scene: got {len(scenes)} scenes and {len(seeds)} seeds")
        starts = [scene.starts[0] for scene in scenes]
        return [
            State(scene, (_aligned(start.frame),), (), start.pose, seed)
            for scene, start, seed in zip(scenes, starts, seeds, strict=True)
        ]

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        """The states after one action each, put as an instruction to an editor (world.instructions)."""
        if len(states) != len(actions):
            raise ValueError(f"one action for each state: got {len(states)} states and {len(actions)} actions")
        return list(self._threads.map(self._after, states, actions))

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        """Answers about the newest frames."""
        return list(self._threads.map(lambda state: self._answer(state, question), states))

    def close(self) -> None:
        self._threads.shutdown()
        self._poster.close()

    def _after(self, state: State, action: Action) -> State:
        prompt = instruction(action)
        key = _key(state, prompt)
        edit = self._edit_by_form if self._address.route == "edits" else self._edit_by_chat
        frame = self._fitted(edit(state, prompt, key), state.frame)
        return replace(
            state,
            frames=(frame,),
            actions=(),
            memory=(),
            origins=(),
            pose=state.pose.moved(action),
            step=state.step + 1,
        )

    def _edit_by_form(self, state: State, prompt: str, key: str) -> Frame:
        height, width = state.frame.shape[:2]
        fields: dict[str, str | tuple[str, bytes, str]] = {
            "image": ("frame.png", _to_png(state.frame), "image/png"),
            "prompt": prompt,
            "model": self._spec.model,
            "n": "1",
            "size": f"{width}x{height}",
            "seed": str(step_seed(state)),
            "response_format": "b64_json",
            "output_format": "png",
        }
        if self._steps is not None:
            fields["num_inference_steps"] = str(self._steps)
        return self._poster.post_form("/v1/images/edits", fields, key, _reader(_picture_of_edit))

    def _edit_by_chat(self, state: State, prompt: str, key: str) -> Frame:
        height, width = state.frame.shape[:2]
        settings: dict[str, Any] = {"height": height, "width": width, "seed": step_seed(state)}
        if self._steps is not None:
            settings["num_inference_steps"] = self._steps
        words = f"<|im_start|>{prompt}<|im_end|>" if self._is_bagel else prompt
        content = self._message(state, words) | {"modalities": ["image"]} | settings
        return self._poster.post_json("/v1/chat/completions", content, key, _reader(_picture_of_chat))

    def _answer(self, state: State, question: str) -> str:
        words = question
        if self._is_bagel:  # its route takes the prompt as the model reads it
            words = f"<|im_start|>user\n<|image_pad|>\n{question}<|im_end|>\n<|im_start|>assistant\n"
        content = self._message(state, words) | ({"modalities": ["text"]} if self._is_bagel else {})
        return self._poster.post_json("/v1/chat/completions", content, _key(state, words), _reader(_words_of_chat))

    @property
    def _is_bagel(self) -> bool:
        return "bagel" in self._spec.model.lower()

    def _message(self, state: State, words: str) -> dict[str, Any]:
        url = "data:image/png;base64," + base64.b64encode(_to_png(state.frame)).decode()
        content = [{"type": "text", "text": words}, {"type": "image_url", "image_url": {"url": url}}]
        return {"model": self._spec.model, "messages": [{"role": "user", "content": content}]}

    def _fitted(self, frame: Frame, asked: Frame) -> Frame:
        """`frame` at the size of `asked`: the middle of it where the proportions differ."""
        if frame.shape == asked.shape:
            return frame
        height, width = asked.shape[:2]
        if not self._warned:
            self._warned = True
            came = f"{frame.shape[1]} x {frame.shape[0]}"
            _log.warning("%s draws %s where %d x %d was asked for: fitted", self._spec.model, came, width, height)
        return np.array(ImageOps.fit(Image.fromarray(frame), (width, height), Image.Resampling.LANCZOS))


def step_seed(state: State) -> int:
    """The seed of the next step, 31 bits: one fixed seed, fed back picture after picture, would wreck a walk."""
    digest = hashlib.blake2b(f"{state.seed} {state.step}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


def _key(state: State, words: str) -> str:
    """Equal requests have equal keys, so that an engine that knows them need not work twice."""
    return hashlib.blake2b(state.digest() + words.encode(), digest_size=16).hexdigest()


def _aligned(frame: Frame) -> Frame:
    height, width = (max(STRIDE, side // STRIDE * STRIDE) for side in frame.shape[:2])
    if frame.shape[:2] == (height, width):
        return frame
    return np.array(ImageOps.fit(Image.fromarray(frame), (width, height), Image.Resampling.LANCZOS))


def _to_png(frame: Frame) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="PNG")
    return buffer.getvalue()


def _to_frame(text: str) -> Frame:
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
            return np.array(image.convert("RGB"))
    except (binascii.Error, UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"it holds no picture ({error})") from None


def _reader(find: Callable[[Any], Any]) -> Callable[[bytes], Any]:
    """Reads JSON and finds something in it; every way in which that can fail becomes a ValueError."""

    def read(content: bytes) -> Any:
        try:
            return find(json.loads(content))
        except (LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"it lacks what was asked for ({type(error).__name__}: {error})") from None

    return read


def _picture_of_edit(told: Any) -> Frame:
    return _to_frame(told["data"][0]["b64_json"])


def _picture_of_chat(told: Any) -> Frame:
    """The first picture among the choices: words may come before it."""
    for choice in told["choices"]:
        content = choice["message"]["content"]
        for part in content if isinstance(content, list) else ():
            if part.get("type") == "image_url":
                return _to_frame(part["image_url"]["url"].partition(",")[2])
    raise ValueError("it holds no picture")


def _words_of_chat(told: Any) -> str:
    contents = [choice["message"]["content"] for choice in told["choices"]]
    words = [content for content in contents if isinstance(content, str)]
    if not words:
        raise ValueError("it holds no words")
    return words[0].strip()


def _first_model(content: bytes) -> str:
    return cast(str, _reader(lambda told: str(told["data"][0]["id"]))(content))
