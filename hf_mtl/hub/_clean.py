"""What of a model's folder may be shared: nothing that describes the machine it was made on."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Mapping
from enum import Enum
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole

__all__ = ["ARGUMENTS_FILE", "clean_copy", "leads_out", "shareable_arguments"]

ARGUMENTS_FILE = "training_args.json"

#: What is shared; anything else in a folder stays: logs, pickles (``training_args.bin`` holds paths), notes.
_SHARED = (
    *("README.md", "LICENSE*", "NOTICE*", "config.json", ARGUMENTS_FILE, "*_results.json"),
    *("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json", "hf_mtl_*.py"),
    *("adapter_config.json", "adapter_model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.*", "merges.txt", "*.model", "chat_template.jinja"),
    *("preprocessor_config.json", "processor_config.json", "card_picture_*.png"),
)
#: What a checkpoint was trained on; of its settings those that name no file.
_TRAINED_ON = "trained_on.json"
#: Files of names that may be any text, so that no key of theirs says where something came from.
_OF_NAMES = (_TRAINED_ON, "parameter_names.json", "balancer.json")
#: What a training resumes from, besides. PyTorch's own pickles of numbers, which name no file.
_CHECKPOINT = (
    "trainer_state.json",
    "optimizer.pt",
    "scheduler.pt",
    "scaler.pt",
    "rng_state*.pth",
    "averaging.safetensors",
    "streams.json",
    "balancer.pt",
    *_OF_NAMES,
)
#: Fields of configs that name where something was loaded from.
_ORIGINS = frozenset({"_name_or_path", "name_or_path", "is_local", "local_files_only"})
#: Training arguments that name places, accounts or machines.
_PRIVATE_ARGUMENTS = re.compile(
    r"(^|_)(dir|folder|path|file|token|run_name|project|entity|space_id|resume_from_checkpoint|local_rank|deepspeed"
    r"|hub_model_id|hub_revision|fsdp_config|accelerator_config|report_to|disable_tqdm)($|_)"
)
_WINDOWS_DRIVE = re.compile(r"^[A-Za-z]:[\\/]")


def clean_copy(folder: str | Path, into: str | Path, *, with_training_state: bool = False) -> list[str]:
    """Copy what may be shared of a model's folder, without names of files and folders of this machine.

    Weights are linked, not copied, where the disk allows it: files that are replaced later leave the copy as it is.

    Args:
        folder: The folder of a model, or of a checkpoint.
        into: Where the copy goes; it is made.
        with_training_state: Whether what a training resumes from is included.

    Returns:
        The names of the files.

    Raises:
        ValueError: If the folder holds no model.
    """
    folder, into = Path(folder), Path(into)
    if not (folder / "config.json").is_file():
        raise UserError(f"{str(folder)!r} holds no model: there is no config.json.")
    patterns = _SHARED + (_CHECKPOINT if with_training_state else ())
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and any(fnmatch(p.name, q) for q in patterns))
    if not any(name.endswith(".safetensors") for name in names):
        raise UserError(f"{str(folder)!r} holds no weights in safetensors. Save the model there: save_pretrained.")
    for name in names:
        if leads_out(folder / name, folder):
            raise UserError(
                f"{str(folder / name)!r} is a link to a file outside of the folder, which is not sent. Put a copy of "
                "the file in its place."
            )
    if "adapter_config.json" in names:
        _check_base(folder / "adapter_config.json")
    into.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name.endswith(".json") and name not in ("tokenizer.json", "model.safetensors.index.json"):
            values = json.loads((folder / name).read_text(encoding="utf-8"))
            if name == _TRAINED_ON:
                settings = values.get("settings", {}).items()
                values["settings"] = {key: value for key, value in settings if not _names_a_path(value)}
            cleaned = values if name in _OF_NAMES else _without_origins(values)
            text = json.dumps(cleaned, indent=2, sort_keys=name == "config.json", ensure_ascii=False)
            write_text_whole(into / name, f"{text}\n")
        else:
            _link(folder / name, into / name)
    return names


def _check_base(adapter_config: Path) -> None:
    """Refuse an adapter whose encoder no other machine finds."""
    base = json.loads(adapter_config.read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not isinstance(base, str) or _is_path(base) or Path(base).is_dir():
        raise UserError(
            f"{str(adapter_config.parent)!r} holds an adapter of the encoder in {base!r}, a folder of this machine, "
            "without which it cannot be loaded elsewhere. Train on an encoder of the Hub, or share the whole model: "
            "MultiTaskModel.from_pretrained(folder).merge_and_unload().save_pretrained(other)."
        )


def leads_out(path: Path, folder: Path) -> bool:
    """Return whether a file of a folder is a link to one elsewhere; the Hub's own cache keeps files in ``blobs``."""
    target, root = path.resolve(), folder.resolve()
    return root not in target.parents and root.parent.parent / "blobs" != target.parent


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)  # not the link itself, which may be relative
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _without_origins(values: Any) -> Any:
    """Return JSON values without where they came from."""
    if isinstance(values, Mapping):
        kept = {}
        for key, value in values.items():
            is_file = str(key).endswith("_file") and isinstance(value, str) and _is_path(value)
            if key in _ORIGINS or is_file:
                continue
            if key == "best_model_checkpoint" and isinstance(value, str):
                value = Path(value).name
            kept[key] = _without_origins(value)
        return kept
    if isinstance(values, list):
        return [_without_origins(value) for value in values]
    return values


def shareable_arguments(args: Any) -> dict[str, Any]:
    """Return the training arguments that differ from their defaults, but for what names places or accounts.

    Args:
        args: The arguments, a dataclass such as `transformers.TrainingArguments`.

    >>> from transformers import TrainingArguments
    >>> shared = shareable_arguments(TrainingArguments("out", learning_rate=1e-4, seed=3))
    >>> shared["learning_rate"], shared["seed"], "output_dir" in shared
    (0.0001, 3, False)
    """
    shared: dict[str, Any] = {}
    for field in dataclasses.fields(args):
        value = getattr(args, field.name, None)
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        if not field.init or _PRIVATE_ARGUMENTS.search(field.name) or _plain(value) == _plain(default):
            continue
        if not value and not default:  # None, False and empty say the same
            continue
        if value is not None and not _names_a_path(_plain(value)):
            shared[field.name] = _plain(value)
    return shared


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it; ``None`` for what it does not."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool)) else None


def _names_a_path(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_names_a_path, value.values()))
    if isinstance(value, list):
        return any(map(_names_a_path, value))
    return isinstance(value, str) and _is_path(value)


def _is_path(value: str) -> bool:
    return os.path.isabs(value) or value.startswith(("~", ".")) or bool(_WINDOWS_DRIVE.match(value))
