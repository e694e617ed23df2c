"""The folder of a model with adapters: PEFT's two files, in which the heads are whole, and the model's config."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers.utils.hub import cached_file

from hf_mtl._names import listed
from hf_mtl.configuration import MultiTaskConfig
from hf_mtl.encoder import check_finite
from hf_mtl.model._adapter_base import AdapterBase, load_base, mark_of
from hf_mtl.model._adapters import SET_HERE, base_parameters, config_class, inject, make_adapter_config
from hf_mtl_light.errors import MissingExtraError, UserError

__all__ = ["adapter_config_of", "check_not_base", "load_adapted", "load_adapter_weights", "save_adapted"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
#: What PEFT puts before the names of weights.
_PREFIX = "base_model.model."
_BASE = "hf_mtl_base"


def save_adapted(model: Any, folder: str | Path, state_dict: Mapping[str, torch.Tensor] | None = None) -> None:
    """Write a model with adapters, without the encoder's own weights.

    Args:
        model: The model.
        folder: The folder.
        state_dict: Its weights, where they are not all in the model: those of sharded training.

    Raises:
        ValueError: If the encoder lies in that folder, and would be replaced.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    config.architectures = [type(model).__name__]
    config.dtype = model.dtype
    config.save_pretrained(folder)
    made = model.peft_config["default"]
    was, made.inference_mode = made.inference_mode, True
    try:
        made.save_pretrained(folder)
    finally:
        made.inference_mode = was
    tensors = {name: value.detach().contiguous().clone() for name, value in _saved(model, state_dict)[0].items()}
    save_file(tensors, folder / WEIGHTS, {"format": "pt", _BASE: model.adapter_base.mark})


def check_not_base(model: Any, folder: str | Path) -> None:
    """Check that saving a model with adapters does not remove the encoder that they need.

    Raises:
        ValueError: If the encoder lies in the folder.
    """
    if model.has_adapters and Path(folder).resolve() == Path(model.adapter_base.name).resolve():
        raise UserError(
            f"{str(folder)!r} holds the encoder that the adapter was trained on, which saving the adapter there would "
            "remove. Name another folder."
        )


def _saved(
    model: Any, state_dict: Mapping[str, torch.Tensor] | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return what is saved, by its name in the file, and for each of these the name in the model."""
    from_peft = _state_dict_function()
    state = dict(model.state_dict() if state_dict is None else state_dict)
    adapters = from_peft(model, state_dict=state, adapter_name="default", save_embedding_layers=False)
    names = {id(value): name for name, value in state.items()}
    found = {_PREFIX + name: value for name, value in adapters.items()}
    found |= {_PREFIX + name: value for name, value in state.items() if name.startswith("heads.")}
    return found, {name: names[id(value)] for name, value in found.items()}


def adapter_config_of(name: str, options: Mapping[str, Any]) -> Path | None:
    """Return the path of a model's ``adapter_config.json``; ``None``: the model is a whole one.

    Args:
        name: Its folder, or its id on the Hub.
        options: How it is found: ``revision``, ``token`` and others.
    """
    found = {key: value for key, value in options.items() if value is not None}
    if Path(name).is_dir() and "subfolder" not in found:
        file = Path(name) / CONFIG
        return file if file.is_file() else None
    path = cached_file(
        name,
        CONFIG,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **found,
    )
    return None if path is None else Path(path)


def load_adapted(cls: Any, name: str, config_file: Path, finding: Mapping[str, Any], **kwargs: Any) -> Any:
    """Load a model with adapters, and the encoder under them.

    Args:
        cls: The class of multi-task models.
        name: The folder, or the id on the Hub.
        config_file: Its ``adapter_config.json``.
        finding: How it is found: ``revision``, ``token`` and others.
        kwargs: ``heads``, ``unpad``, and arguments of ``from_pretrained`` for the encoder.

    Raises:
        OSError: If a file is missing or cut.
        ValueError: If the files do not fit one another, or the encoder is another one.
    """
    try:
        values = json.loads(config_file.read_text(encoding="utf-8"))
        kind = str(values["peft_type"])
        where = str(values["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{name!r}: {CONFIG} does not describe an adapter: {error!r}.") from error
    of_class = {key: kwargs.pop(key) for key in ("heads", "unpad") if key in kwargs}
    given = kwargs.pop("config", None)
    config = given if isinstance(given, MultiTaskConfig) else MultiTaskConfig.from_pretrained(given or name, **finding)
    weights = cached_file(name, WEIGHTS, **finding)
    tensors, mark = _read(weights, name)
    base = AdapterBase(where, values.get("revision"), mark)
    kwargs.setdefault("dtype", config.dtype if config.dtype is not None else "auto")
    elsewhere = {key: value for key, value in finding.items() if key not in ("revision", "subfolder")}
    encoder, branches = load_base(base, config, cls, **elsewhere, **kwargs)
    attention = encoder.config._attn_implementation
    config.encoder_config = encoder.config
    config._attn_implementation = {"": attention, "encoder_config": attention}
    with torch.random.fork_rng(devices=[]):
        model = cls(config, encoder=encoder, **of_class)
    model.heads.to(device=encoder.device, dtype=encoder.dtype)
    if branches is not None:
        try:
            model.branches.load_state_dict(branches.state_dict())
        except RuntimeError as error:
            raise UserError(f"{name!r}: its branches are not those of {where!r}: {error}") from error
    model.branches.to(device=encoder.device, dtype=encoder.dtype)
    found = mark_of(base_parameters(model))
    if mark and mark.split(":")[0] == found.split(":")[0] and mark != found:
        raise UserError(
            f"{name!r}: its encoder, {where!r}, has other weights now than those that the adapter was trained on. "
            "Bring the former encoder back, or train again."
        )
    known = {key: value for key, value in values.items() if value is not None}
    made = make_adapter_config({"type": kind, **_fields(kind, known)})
    made.base_model_name_or_path, made.revision = where, values.get("revision")
    inject(model, made, without_memory=True)
    base = AdapterBase(where, values.get("revision"), found)
    _fill(model, tensors, name, assign=True)
    model._begin_adapted(base)
    check_finite(model.state_dict().items(), f"{name!r}")
    config._name_or_path = name
    for head in model.task_heads.values():
        head.is_new = False
    model.eval()
    return model


def _read(file: str | Path | None, name: str) -> tuple[dict[str, torch.Tensor], str]:
    """Return the weights of a file, and the mark of the encoder that they were trained on; empty: it says none.

    Raises:
        OSError: If the file is cut.
    """
    try:
        with safe_open(file, "pt") as opened:
            mark = (opened.metadata() or {}).get(_BASE, "")
            return {key: opened.get_tensor(key) for key in opened.keys()}, mark  # noqa: SIM118  # no mapping
    except SafetensorError as error:
        raise OSError(f"{name!r}: {WEIGHTS} is cut, or no safetensors file: {error}.") from error


def _fields(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a saved config that its type has, so that one of a later PEFT loads, too."""
    known = {f.name for f in dataclasses.fields(config_class(kind)) if f.init} - {*SET_HERE}
    return {key: value for key, value in values.items() if key in known}


def load_adapter_weights(model: Any, folder: str | Path) -> None:
    """Load adapters and heads of a checkpoint into a model that has the same.

    Raises:
        OSError: If the file is cut.
        ValueError: If they are not the same.
    """
    tensors, mark = _read(Path(folder) / WEIGHTS, str(folder))
    if mark and mark != model.adapter_base.mark:
        raise UserError(
            f"{str(folder)!r}: its adapter was trained on another encoder than this model's, "
            f"{model.adapter_base.name!r}. Start from the same encoder, or train from the start."
        )
    _fill(model, tensors, str(folder))


@torch.no_grad()
def _fill(model: Any, tensors: dict[str, torch.Tensor], name: str, assign: bool = False) -> None:
    """Put saved weights into a model's adapters and heads.

    Raises:
        ValueError: If some are missing, unknown, or of another shape.
    """
    wanted, names = _saved(model)
    if missing := sorted(wanted.keys() - tensors.keys()):
        raise UserError(
            f"{name!r}: its files lack weights that its config describes: {listed(missing, 3)}. Get the whole model "
            "again."
        )
    if unknown := sorted(tensors.keys() - wanted.keys()):
        raise UserError(
            f"{name!r}: its files hold weights that its config does not describe: {listed(unknown, 3)}. Config and "
            "weights come from different models: get both again from one."
        )
    for key, value in wanted.items():
        if tensors[key].shape != value.shape:
            raise UserError(
                f"{name!r}: {key!r} is {list(tensors[key].shape)} in its files and {list(value.shape)} by its config. "
                "Get both from one model."
            )
    if not assign:
        for key, value in wanted.items():
            value.copy_(tensors[key])
        return
    device, dtype = model.encoder.device, model.encoder.dtype
    parameters = dict(model.named_parameters())
    for key, full in names.items():
        holder, _, leaf = full.rpartition(".")
        if full not in parameters:  # a buffer
            wanted[key].copy_(tensors[key])
        elif parameters[full].is_meta:
            made = nn.Parameter(tensors[key].to(device, dtype, copy=True))
            setattr(model.get_submodule(holder), leaf, made)
        else:
            parameters[full].copy_(tensors[key])


def _state_dict_function() -> Any:
    try:
        from peft import get_peft_model_state_dict
    except ImportError as error:
        raise MissingExtraError("Adapters need peft: pip install 'hf-mtl[peft]'.") from error
    return get_peft_model_state_dict
