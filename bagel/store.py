"""The files of a checkpoint directory: where each is found, what tensors they hold, and how new ones are written.

Nothing but safetensors is opened. `ema.safetensors` may be one file or shards with an index. A packed matrix has
siblings `<name>.scale` or `<name>.absmax` (see precision.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bagel.adapter import Adapter
from bagel.precision import NF4_BLOCK, unpack
from world.errors import ModelError
from world.files import atomic_path, atomic_write_text

MODEL_FILE, AUTOENCODER_FILE = "ema.safetensors", "ae.safetensors"
TRAINED_FILE = "model.safetensors"  # the training script's weights without averaging, where it wrote no averaged ones
SIBLINGS = ("scale", "absmax")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

_REMAP = 128 << 20  # bytes read from one mapping before it is made anew: mapped pages count as the process's memory
_SHARD = 2 << 30  # bytes of a shard that is written


class Store:
    """The tensors of one safetensors file, or of its shards, by name; nothing is read before it is asked for.

    `shapes` are those of the matrices that packed ones stand for; `siblings` are the tensors that belong to them.
    """

    def __init__(self, directory: Path, file: str) -> None:
        """Raises ModelError where no file is found or one is broken."""
        self.file = file
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        self.siblings: dict[str, tuple[int, ...]] = {}
        self.num_bytes = 0
        self.metadata: dict[str, str] = {}
        self.adapter: Adapter | None = None  # what is added to matrices as they are read
        self._owner: dict[str, Path] = {}
        self._open: dict[Path, safe_open] = {}
        self._mapped = 0
        for path in files_of(directory, file):
            self._read_header(path)
        for name in [n for n in self.shapes if n.endswith(SIBLINGS) and n.rpartition(".")[0] in self.shapes]:
            self.siblings[name] = self.shapes.pop(name)
        for name, shape in self.shapes.items():
            if f"{name}.absmax" in self.siblings and len(shape) == 2:
                self.shapes[name] = (shape[0], 2 * shape[1])

    def _read_header(self, path: Path) -> None:
        try:
            with safe_open(path, framework="pt") as stored:
                self.metadata |= stored.metadata() or {}
                for name in stored.keys():  # noqa: SIM118 - a safetensors file, not a dict
                    view = stored.get_slice(name)
                    self.shapes[name], self.dtypes[name] = tuple(view.get_shape()), view.get_dtype()
                    self._owner[name] = path
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} is broken or cut short ({error}): copy it again from its source") from None
        self.num_bytes += path.stat().st_size

    def pieces(self, name: str) -> dict[str, Tensor]:
        """The stored tensors of a matrix on the CPU under the names of `precision.pack`: "weight" alone if plain.

        An adapted matrix is plain, in float32, however it is stored.
        """
        found = {leaf: f"{name}.{leaf}" for leaf in SIBLINGS if f"{name}.{leaf}" in self.siblings}
        pieces = {leaf: self._stored(key) for leaf, key in ({"weight": name} | found).items()}
        if self.adapter is not None and name in self.adapter.pairs:
            return {"weight": self.adapter.onto(name, _whole(pieces))}
        return pieces

    def tensor(self, name: str) -> Tensor:
        """The tensor on the CPU as it is stored; a packed matrix comes unpacked, in float32."""
        return _whole(self.pieces(name))

    def _stored(self, key: str) -> Tensor:
        if self._mapped > _REMAP:
            self._open.clear()
            self._mapped = 0
        path = self._owner[key]
        if path not in self._open:
            self._open[path] = safe_open(path, framework="pt")
        tensor = self._open[path].get_tensor(key)
        self._mapped += tensor.nbytes
        return tensor

    def wrong_packing(self, name: str) -> str:
        """What a packed matrix lacks; "" where nothing is."""
        kind, shape = self.dtypes[name], self.shapes[name]
        if kind == "U8":
            wanted = (*shape[:-1], shape[-1] // NF4_BLOCK)
            if self.siblings.get(f"{name}.absmax") != wanted:
                return f"{name} is nf4 and needs {name}.absmax of shape {list(wanted)}"
        elif kind in ("I8", "F8_E4M3") and self.siblings.get(f"{name}.scale") != shape[:1]:
            return f"{name} is {'int8' if kind == 'I8' else 'fp8'} and needs {name}.scale of shape {list(shape[:1])}"
        return ""


def _whole(pieces: dict[str, Tensor]) -> Tensor:
    return unpack(pieces) if len(pieces) > 1 else pieces["weight"]


def model_file(directory: Path) -> str:
    """The name of the file that holds the model: the training script may have written model.safetensors alone."""
    for name in (MODEL_FILE, TRAINED_FILE):
        if (directory / name).is_file() or (directory / f"{name}.index.json").is_file():
            return name
    return MODEL_FILE


def files_of(directory: Path, file: str) -> list[Path]:
    """The file itself, or the shards that its index names. Raises ModelError where they are not all there."""
    if (directory / file).is_file():
        return [directory / file]
    index = directory / f"{file}.index.json"
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            raise ModelError(f"{index} is not an index of shards (no weight_map): copy it again") from None
        outside = [shard for shard in shards if not isinstance(shard, str) or Path(shard).name != shard]
        if outside:
            raise ModelError(f"{index} names {outside[0]!r}, which is no file beside it: copy the index again")
        missing = [shard for shard in shards if not (directory / shard).is_file()]
        if missing:
            raise ModelError(f"{directory} lacks the shards {', '.join(missing)}, named by {index.name}: copy them too")
        return [directory / shard for shard in shards]
    pickled = [p.name for p in sorted(directory.iterdir()) if p.suffix in PICKLES]
    if pickled:
        raise ModelError(
            f"{directory} has no {file} but {', '.join(pickled)}: pickled weights can run code and are not read here; "
            f"write them as {file} with safetensors.torch.save_file"
        )
    raise ModelError(f"{directory} has no {file} and no {file}.index.json: copy it from the release")


def write_shards(
    directory: Path, file: str, tensors: Iterable[tuple[str, Tensor]], metadata: dict[str, str], shard: int = _SHARD
) -> None:
    """Writes tensors as they come, a shard of memory at a time; all files take their places once the last is written.

    Raises ValueError where the directory already holds such a file: the old one would still be the one that is read.
    """
    if (directory / file).exists() or (directory / f"{file}.index.json").exists():
        raise ValueError(f"{directory} already holds {file}: give an empty folder")
    weight_map: dict[str, str] = {}
    with ExitStack() as stack:

        def write(batch: dict[str, Tensor]) -> None:
            name = f"{Path(file).stem}-{len(set(weight_map.values())) + 1:05}.safetensors"
            save_file(batch, stack.enter_context(atomic_path(directory / name)), metadata={"format": "pt"} | metadata)
            weight_map.update(dict.fromkeys(batch, name))

        batch: dict[str, Tensor] = {}
        for name, tensor in tensors:
            if batch and sum(t.nbytes for t in batch.values()) + tensor.nbytes > shard:
                write(batch)
                batch = {}
            batch[name] = tensor
        write(batch)
    total = {"total_size": sum(path.stat().st_size for path in {directory / s for s in weight_map.values()})}
    index = json.dumps({"metadata": total, "weight_map": weight_map}, indent=1)
    atomic_write_text(directory / f"{file}.index.json", index + "\n")


def copy_small(sources: Sequence[Path], target: Path, names: Iterable[str]) -> None:
    """Copies those of the named files that one of the source directories has, the first that has it."""
    for name in names:
        found = next((source / name for source in sources if (source / name).is_file()), None)
        if found is not None:
            with atomic_path(target / name) as partial:
                partial.write_bytes(found.read_bytes())
