"""Where the encoder under an adapter comes from, and whether what lies there is what was trained on."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedModel

from hf_mtl._names import listed
from hf_mtl.encoder import auto_class
from hf_mtl.model._branches import build_branches
from hf_mtl_light.errors import UserError
from hf_mtl_light.folders import finish_replacing

__all__ = ["AdapterBase", "base_of", "check_base", "load_base", "mark_of"]

#: How many numbers of each weight a mark is made of.
_SAMPLED = 256
_REMEDY = (
    "Save the model and load it from there, model.save_pretrained(folder) and MultiTaskModel.from_pretrained(folder), "
    "and keep the folder."
)


@dataclass(frozen=True)
class AdapterBase:
    """The encoder under an adapter.

    Args:
        name: Its folder, or its id on the Hub; or those of a multi-task model.
        revision: The commit on the Hub, where one was asked for.
        mark: What its weights are known by: see `mark_of`.
    """

    name: str
    revision: str | None
    mark: str


def mark_of(parameters: Iterable[tuple[str, nn.Parameter]]) -> str:
    """Return a mark of weights: their type, and a hash of their names, shapes and some numbers of each.

    Args:
        parameters: The weights by name.
    """
    digest = hashlib.sha256()
    dtype = None
    for name, parameter in sorted(parameters, key=lambda item: item[0]):
        flat = parameter.detach().reshape(-1)
        dtype = dtype or flat.dtype
        step = max(1, len(flat) // _SAMPLED)
        digest.update(f"{name} {list(parameter.shape)} ".encode())
        digest.update(flat[::step].to("cpu", torch.float64).numpy().tobytes())
    return f"{str(dtype).removeprefix('torch.')}:{digest.hexdigest()[:32]}"


def base_of(model: Any) -> AdapterBase:
    """Return where a model's encoder was loaded from.

    Args:
        model: The model, without adapters.

    Raises:
        ValueError: If it is not known, or the model has several encoders.
    """
    if model.image_encoder is not None:
        raise UserError(
            "peft: a model with an encoder of texts and one of pictures takes no adapters. Train it whole, or freeze "
            "an encoder: frozen_layers, freeze_encoder."
        )
    own, encoder = model.config, model.encoder.config
    name = str(own._name_or_path or encoder._name_or_path or "")
    if not name:
        raise UserError(
            "peft: the encoder was not loaded from a folder or the Hub, and only adapters and heads are saved, so the "
            f"saved model could not be loaded. {_REMEDY}"
        )
    source = own if own._name_or_path else encoder
    revision = getattr(source, "_commit_hash", None)
    if os.path.isdir(name):
        name, revision = os.path.abspath(name), None
    return AdapterBase(name, revision, mark_of(_own_parameters(model)))


def check_base(base: AdapterBase, model: Any) -> None:
    """Check that the encoder, loaded again, is the one in a model.

    Raises:
        ValueError: If it differs, or cannot be loaded.
    """
    with torch.random.fork_rng(devices=[]):  # a pooler that the files lack is drawn
        encoder, branches = load_base(base, model.config, type(model), dtype=model.dtype)
    if branches is None:  # copies of the encoder's top layers, until they are trained
        branches = build_branches(encoder, model.config)
    held = dict(_own_parameters(model))
    again = [(f"encoder.{name}", value) for name, value in encoder.named_parameters()]
    again += [(f"branches.{name}", value) for name, value in branches.named_parameters()]
    again = [(name, value) for name, value in again if name in held]  # without a pooler that is not used
    if mark_of(again) != base.mark:
        raise UserError(
            f"peft: the encoder has other weights than {base.name!r}, where it was loaded from: it was trained since, "
            f"say. Only adapters and heads are saved, so the saved model could not be loaded. {_REMEDY}"
        )


def _own_parameters(model: Any) -> list[tuple[str, nn.Parameter]]:
    return [(name, value) for name, value in model.named_parameters() if not name.startswith("heads.")]


def load_base(
    base: AdapterBase, config: Any, model_class: Any, **kwargs: Any
) -> tuple[PreTrainedModel, nn.Module | None]:
    """Load the encoder under an adapter.

    Args:
        base: Where it is.
        config: The config of the model with the adapter.
        model_class: The class of multi-task models.
        kwargs: Arguments of ``from_pretrained``.

    Returns:
        The encoder; and, if it is one of a multi-task model, its branches.

    Raises:
        ValueError: If it cannot be loaded, or is not the one that the adapter was trained on.
    """
    finish_replacing(Path(base.name))
    if base.revision is not None:
        kwargs["revision"] = base.revision
    try:
        found = AutoConfig.from_pretrained(base.name, **{k: v for k, v in kwargs.items() if k in _FINDING})
        if found.model_type == "multi-task":
            if os.path.exists(os.path.join(base.name, "adapter_config.json")):
                raise UserError(f"{base.name!r} is an adapter itself.")
            whole = model_class.from_pretrained(base.name, **kwargs)
            return whole.encoder, whole.branches
        wanted = copy.deepcopy(config.encoder_config)
        loaded, info = auto_class(wanted).from_pretrained(
            base.name, config=wanted, output_loading_info=True, use_safetensors=True, **kwargs
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"The encoder under the adapter, {base.name!r}, cannot be loaded: "
            f"{' '.join(str(error).split())} Where it lies is base_model_name_or_path in adapter_config.json."
        ) from error
    if missing := sorted(key for key in info["missing_keys"] if not key.startswith("pooler.")):
        raise UserError(f"{base.name!r}: its files lack weights of the encoder: {listed(missing, 3)}.")
    encoder: PreTrainedModel = loaded
    return encoder, None


#: How a model is found, of the arguments of ``from_pretrained``.
_FINDING = ("revision", "token", "cache_dir", "force_download", "local_files_only", "proxies")
