"""A model's encoders: one of texts, one of pictures, or both, and which of them a batch runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from hf_mtl._names import listed
from hf_mtl.configuration import MODALITIES, Modality, MultiTaskConfig, TaskConfig, modality
from hf_mtl.encoder import build_encoder, load_encoder
from hf_mtl.heads import Head, head_class, reads_pooler
from hf_mtl.model._task_modules import TaskModules
from hf_mtl_light.errors import UserError

__all__ = ["build_heads", "load_encoders", "made_encoder"]


def load_encoders(
    given: Any, bidirectional: bool, **kwargs: Any
) -> tuple[dict[Modality, PreTrainedModel], nn.Module | None]:
    """Load the encoders of a new model.

    Args:
        given: Hub id, folder or loaded encoder; or a mapping of such, ``{"text": ..., "image": ...}``.
        bidirectional: Whether to open a decoder-only encoder both ways.
        kwargs: Arguments of ``from_pretrained``.

    Returns:
        The encoders, that of texts first; and the pooler in that one, if it has weights.

    Raises:
        ValueError: If a key of the mapping is neither, or an encoder does not read what its key says.
        TypeError: If one is no encoder.
    """
    named = given if isinstance(given, Mapping) else {"": given}
    if not named or not set(named) <= {"", *MODALITIES}:
        raise UserError(f"Encoders are named 'text' and 'image', found {listed(named) or 'none'}.")
    encoders: dict[Modality, PreTrainedModel] = {}
    pooler = None
    for name in sorted(named, reverse=True):  # the one of texts first
        loaded, has_pooler = load_encoder(named[name], bidirectional and name != "image", **kwargs)
        found = modality(loaded.config)
        if name and found != name:
            raise UserError(
                f"The encoder of {name!r}, {_shown(named[name])}, is of the family {loaded.config.model_type!r}, "
                f"which reads {MODALITIES[found]}."
            )
        encoders[found] = loaded
        if found == "text" and has_pooler:
            pooler = getattr(loaded, "pooler", None)
    return encoders, pooler


def _shown(encoder: Any) -> str:
    return repr(str(encoder)) if isinstance(encoder, (str, Path)) else type(encoder).__name__


def made_encoder(encoder: PreTrainedModel | None, config: Any) -> PreTrainedModel:
    """Return an encoder for a model, the given one or one that a config describes, without a pooler that no head reads.

    Heads of texts hold their own poolers: see `hf_mtl.heads.StockClassifier`.
    """
    if encoder is None:
        encoder = build_encoder(config)
    else:
        for module in encoder.modules():
            setattr(module, "_is_hf_initialized", True)  # noqa: B010  # Transformers' mark, unknown to torch's types
    is_read = modality(config) == "image" and reads_pooler(config)
    if getattr(encoder, "pooler", None) is not None and not is_read:
        setattr(encoder, "pooler", None)  # noqa: B010  # to torch's types it is a module
    return encoder


def build_heads(config: MultiTaskConfig, heads: Mapping[str, type[Head]] | None) -> TaskModules:
    """Return the head of each task that has its own.

    Args:
        config: The model's config.
        heads: Further task types and their heads.

    Raises:
        ValueError: If a task does not fit its type, or the model has no encoder of what it reads.
    """
    found = {}
    for task in config.tasks:
        if task.tied_to is None:
            kind = head_class(task, heads)
            if task.branch is not None and config.image_encoder_config is not None and kind.modality() == "image":
                raise UserError(
                    f"Task {task.name!r}: branch {task.branch!r} is one of the encoder of texts, and {task.type} reads "
                    "pictures. Leave branch out."
                )
            _check_encoders(config, task, kind)
            found[task.name] = kind.for_encoders(task, config.encoder_configs)
    return TaskModules(found)


def _check_encoders(config: MultiTaskConfig, task: TaskConfig, kind: type[Head]) -> None:
    """Check that a model has the encoders that a task reads.

    Args:
        config: The model's config.
        task: The task.
        kind: Its head.

    Raises:
        ValueError: If the model has no encoder of what the task reads.
    """
    for reads in kind.modalities():
        if reads not in config.encoder_configs:
            what = MODALITIES[reads]
            raise UserError(
                f"Task {task.name!r}: {task.type} reads {what}, and the model has no encoder of {what}. "
                f"Give it one: MultiTaskModel.from_encoder({{{reads!r}: name, ...}}, tasks)."
            )
