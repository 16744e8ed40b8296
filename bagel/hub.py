"""Checkpoints from a hub by name, through the hub's own client, which resumes what was cut off.

`OWNER/NAME` is Hugging Face, `modelscope:OWNER/NAME` ModelScope. Before anything is fetched a person learns how much
it is, under what licence, and whether the disk has room.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from bagel.store import PICKLES
from world.errors import ModelError

# What a checkpoint directory is made of; the rest of a repository (demos, pictures, other formats) stays there.
WANTED = ("*.json", "*.safetensors", "merges.txt", "README.md", "LICENSE*")

_NAME = re.compile(r"(?:(hf|modelscope):)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)")
Say = Callable[[str], object]


@dataclass(frozen=True)
class Offer:
    """What a hub has: (name, bytes) of the files that are wanted, and the licence."""

    files: tuple[tuple[str, int], ...]
    licence: str


def is_hub(address: str) -> bool:
    """Whether an address that is no path has the form of a hub's name."""
    return _NAME.fullmatch(address) is not None and not address.startswith(("./", "../"))


def download(address: str, say: Say) -> Path:
    """The directory of a hub's checkpoint, fetched where it is not there yet; `say` receives lines for a person.

    Raises ModelError where the client is missing, the name unknown, the hub out of reach, or the disk too full.
    """
    found = _NAME.fullmatch(address)
    if found is None:
        raise ModelError(f"{address!r} is no hub's name: OWNER/NAME or modelscope:OWNER/NAME")
    return (_modelscope if found[1] == "modelscope" else _hugging_face)(found[2], say)


def _hugging_face(name: str, say: Say) -> Path:
    try:
        from huggingface_hub import HfApi, constants, snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise ModelError(f"{name!r} is on Hugging Face and needs its client: pip install huggingface_hub") from None
    try:
        info = HfApi().model_info(name, files_metadata=True)
        files = tuple((s.rfilename, s.size or 0) for s in info.siblings or [] if _wanted(s.rfilename))
        card = info.card_data.get("license") if info.card_data else None
        tag = next((t.removeprefix("license:") for t in info.tags or [] if t.startswith("license:")), None)
        cache = Path(constants.HF_HUB_CACHE)
        kept = cache / f"models--{name.replace('/', '--')}" / "snapshots" / str(info.sha)
        _announce(name, Offer(files, str(card or tag or "not stated")), kept, cache, say)
        return Path(snapshot_download(name, revision=info.sha, allow_patterns=list(WANTED)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise _unreachable(name, "Hugging Face", error) from None


def _modelscope(name: str, say: Say) -> Path:
    try:
        from modelscope_hub import HubApi
        from modelscope_hub.config import get_default_config
        from modelscope_hub.errors import HubError
    except ImportError:
        raise ModelError(f"{name!r} on ModelScope needs its client: pip install modelscope-hub") from None
    try:
        api = HubApi()
        info = api.get_repo(name, "model")
        files = tuple((f.path, f.size) for f in api.list_repo_files(name, "model") if _wanted(f.path))
        cache = Path(get_default_config().cache_dir)
        kept = cache / "models" / name.replace("/", "--") / "snapshots" / "master"
        _announce(name, Offer(files, str(getattr(info, "license", None) or "not stated")), kept, cache, say)
        return Path(api.download_repo(name, "model", allow_patterns=list(WANTED)))
    except (HubError, OSError, ValueError) as error:
        raise _unreachable(name, "ModelScope", error) from None


def _announce(name: str, offer: Offer, kept: Path, cache: Path, say: Say) -> None:
    """Says what will be fetched; ModelError where the repository holds no checkpoint or the disk has no room."""
    names = {file for file, _ in offer.files}
    if not any(file.endswith(".safetensors") for file in names):
        raise ModelError(f"{name} holds no safetensors: pickled weights are not read, choose another repository")
    missing = sum(size for file, size in offer.files if not (kept / file).exists())
    if not missing:
        return
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    total = sum(size for _, size in offer.files)
    say(f"{name}: {total / 1e9:.2f} GB, licence {offer.licence}; {missing / 1e9:.2f} GB to fetch into {cache}")
    say(f"{free / 1e9:.1f} GB free there")
    if missing > free:
        raise ModelError(f"{name} needs {missing / 1e9:.1f} GB, {cache} has {free / 1e9:.1f} GB free: make room there")


def _wanted(file: str) -> bool:
    return any(fnmatch(file, pattern) for pattern in WANTED) and not file.endswith(PICKLES) and "/" not in file


def _unreachable(name: str, hub: str, error: Exception) -> ModelError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ModelError(
        f"{name} is no directory and cannot be had from {hub} ({first}): check the name and the connection, run again"
    )
