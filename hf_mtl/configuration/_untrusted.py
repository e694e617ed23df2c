"""What a configuration and weights that strangers made may ask for, checked before anything is built or allocated."""

from __future__ import annotations

import contextvars
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn
from transformers.utils.hub import cached_file

from hf_mtl._names import listed
from hf_mtl.configuration._modalities import MODALITIES
from hf_mtl_light.errors import UserError

__all__ = ["MOST_MISSING", "check_built", "check_values", "checked_weights"]

#: Numbers that a model may hold besides those in its files: heads that are to be trained, say.
MOST_MISSING = 2**27
#: Bounds of an encoder's config: of any whole number, of a size of its tensors, of what it makes modules of.
_MOST, _MOST_SIZE, _MOST_MODULES = 2**62, 2**24, 1024
_SIZE = re.compile(
    r"(size|dim|positions|length|vocab|heads|channels|kernel|stride|width|window|hidden|d_model|d_ff|ffn)"
)
_MODULES = re.compile(r"(layers?|groups?|blocks?|experts|num_labels|inner_group_num)$")
_MOST_TASKS, _MOST_LABELS = 1000, 100_000
_MOST_DEPTH = 20
_LONGEST_HEADER = 100_000_000  # safetensors' own bound, bytes
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
#: Fields by which a config could have Transformers fetch or run something else.
_ELSEWHERE = ("auto_map", "custom_pipelines", "quantization_config", "fusion_config", "transformers_weights")
_ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention", "paged_attention")

_expected: contextvars.ContextVar[int | None] = contextvars.ContextVar("numbers in the files", default=None)


def check_values(values: Mapping[str, Any]) -> None:
    """Check a model's config, as read from JSON, for what no model needs.

    Args:
        values: The config.

    Raises:
        ValueError: Naming the field.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"config.json must hold a mapping, found {type(values).__name__}.")
    _check_depth(values, "config.json")
    encoders = ("encoder_config", "image_encoder_config")
    for where, config in (("", values), *((f"{name}.", values.get(name)) for name in encoders)):
        if config is None:
            continue
        if not isinstance(config, Mapping):
            if hasattr(config, "model_type"):
                continue  # a config object, not from a file
            raise UserError(f"{where.rstrip('.')} must be a mapping, found {type(config).__name__}.")
        for name in _ELSEWHERE:
            # The model's own auto_map names code beside it, which Transformers runs only on trust_remote_code=True.
            if config.get(name) is not None and not (name == "auto_map" and not where):
                raise UserError(f"{where}{name} asks for other files or code, which a multi-task model does not need.")
        for name in ("attn_implementation", "_attn_implementation", "_attn_implementation_internal"):
            if config.get(name) is not None and config[name] not in _ATTENTIONS:
                raise UserError(f"{where}{name} must be one of {listed(_ATTENTIONS)}, found {config[name]!r}.")
        for name, value in config.items():
            _check_number(f"{where}{name}", name, value)
    _check_tasks(values.get("tasks", ()))
    _check_frozen(values.get("frozen"), values.get("tasks", ()))
    branches = values.get("branches") or {}
    if isinstance(branches, Mapping) and len(branches) > _MOST_MODULES:
        raise UserError(f"branches: {len(branches)} of them; at most {_MOST_MODULES} are allowed.")


def _check_frozen(frozen: Any, tasks: Any) -> None:
    names = [str(task.get("name") if isinstance(task, Mapping) else getattr(task, "name", "")) for task in tasks]
    if frozen is None:
        return
    kinds: dict[str, Any] = {"encoder": bool, "trunk": bool, "layers": int, "heads": list}
    layers = frozen.get("layers", 0) if isinstance(frozen, Mapping) else 0
    by_encoder = layers if isinstance(layers, Mapping) else {"text": layers}
    plain = {**frozen, "layers": 0} if isinstance(frozen, Mapping) else {"encoder": frozen}
    if not (
        all(isinstance(plain.get(name, kind()), kind) for name, kind in kinds.items())
        and all(name in MODALITIES and isinstance(number, int) for name, number in by_encoder.items())
    ):
        raise UserError(f"frozen must be a mapping of encoder, trunk, layers and heads, found {frozen!r}.")
    if unknown := sorted({*frozen} - {*kinds}):
        raise UserError(f"frozen: unknown field {unknown[0]!r}. Valid fields: {listed(kinds)}.")
    for name in frozen.get("heads", ()):
        if name not in names:
            raise UserError(f"frozen.heads names {name!r}, which is no task of the model. Tasks: {listed(names)}.")


def _check_depth(value: Any, where: str, depth: int = 0) -> None:
    if depth > _MOST_DEPTH:
        raise UserError(f"{where} is nested more than {_MOST_DEPTH} deep.")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                continue
            _check_depth(item, key if depth == 0 else where, depth + 1)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, (list, dict)):
                _check_depth(item, where, depth + 1)


def _check_number(where: str, name: str, value: Any) -> None:
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, bool) or not isinstance(number, int):
            continue
        most = _MOST_MODULES if _MODULES.search(name) else _MOST_SIZE if _SIZE.search(name) else _MOST
        if abs(number) > most:
            raise UserError(f"{where} is {number}, beyond the {most:,} that a model may ask for.")


def _check_tasks(tasks: Any) -> None:
    if not isinstance(tasks, (list, tuple)):
        raise UserError(f"tasks must be a list, found {type(tasks).__name__}.")
    if len(tasks) > _MOST_TASKS:
        raise UserError(f"tasks: {len(tasks):,} tasks, beyond the {_MOST_TASKS:,} that a model may have.")
    for number, task in enumerate(tasks):
        labels = task.get("labels") if isinstance(task, Mapping) else getattr(task, "labels", None)
        if isinstance(labels, (list, tuple)) and len(labels) > _MOST_LABELS:
            raise UserError(f"tasks[{number}].labels: {len(labels):,} labels, beyond the {_MOST_LABELS:,} allowed.")


@contextmanager
def checked_weights(name: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Find a model's weights and have `check_built` hold the model to their size.

    Args:
        name: The folder, or the repository.
        options: How it is loaded: ``revision``, ``subfolder``, ``token``, ``cache_dir``, ...

    Raises:
        OSError: If there are no weights in safetensors, or a file is cut.
        ValueError: If an index names files elsewhere.
    """
    token = _expected.set(_numbers_in(name, options))
    try:
        yield
    finally:
        _expected.reset(token)


def check_built(model: nn.Module) -> None:
    """Check a model that was built without memory against the files that it is about to be filled from.

    Args:
        model: The model, on the meta device.

    Raises:
        ValueError: If it holds far more numbers than they do.
    """
    expected = _expected.get()
    if expected is None:
        return
    found = sum(parameter.numel() for parameter in model.parameters())
    found += sum(buffer.numel() for buffer in model.buffers())
    if found > expected + MOST_MISSING:
        raise UserError(
            f"config.json describes a model of {found:,} numbers, and the weights hold {expected:,}. A model may hold "
            f"{MOST_MISSING:,} more than its files, for new heads. Its encoder_config or tasks do not fit the weights."
        )


def _numbers_in(name: str, options: Mapping[str, Any]) -> int:
    kinds = ("revision", "subfolder", "token", "cache_dir", "force_download", "local_files_only", "proxies")
    found = {kind: options[kind] for kind in kinds if options.get(kind) is not None}
    variant = options.get("variant")
    names = [_WEIGHTS, _INDEX]
    if variant is not None:
        names = [f"model.{variant}.safetensors", f"model.safetensors.index.{variant}.json"]

    def find(file: str) -> Path | None:
        path = cached_file(name, file, _raise_exceptions_for_missing_entries=False, **found)
        return None if path is None else Path(path)

    single = find(names[0])
    if single is not None:
        return _numbers_of(single)
    index = find(names[1])
    if index is None:
        pickled = find("pytorch_model.bin") or find("pytorch_model.bin.index.json")
        more = " Its pytorch_model.bin is a pickle, which can run any code, and is not read." if pickled else ""
        raise OSError(
            f"{name!r} has no weights in safetensors ({names[0]} or {names[1]}).{more} Ask its author to save it with "
            "save_pretrained, which writes safetensors."
        )
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{name!r}: {names[1]} is no index of weights.") from None
    for shard in shards:
        if not isinstance(shard, str) or not re.fullmatch(r"[\w.-]+\.safetensors", shard) or shard.startswith("."):
            raise UserError(f"{name!r}: {names[1]} names {shard!r}, which is no file beside it.")
    paths = [find(shard) for shard in shards]
    for shard, path in zip(shards, paths, strict=True):
        if path is None:
            raise OSError(f"{name!r}: {names[1]} names {shard}, which is missing.")
    return sum(_numbers_of(path) for path in paths if path is not None)


def _numbers_of(path: Path) -> int:
    """Return how many numbers a file of weights holds, from its header: 8 bytes of length, then JSON.

    Raises:
        OSError: If it is cut or no such file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, _LONGEST_HEADER):
            raise OSError(f"{path.name} is cut, or no safetensors file: {size:,} bytes do not hold its header.")
        try:
            header = json.loads(file.read(length))
            spans = [entry["data_offsets"] for key, entry in header.items() if key != "__metadata__"]
            end = max((int(span[1]) for span in spans), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            raise OSError(f"{path.name} is no safetensors file: its header cannot be read.") from None
    if 8 + length + end != size:
        raise OSError(f"{path.name} is cut: {size:,} of {8 + length + end:,} bytes.")
    # The smallest types take less than a byte a number, but no model is trained in them: a byte is bound enough.
    return end
