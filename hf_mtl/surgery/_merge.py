"""Several models made one: their heads on the encoder that they share."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence

import torch
from torch import nn

from hf_mtl._names import listed
from hf_mtl.configuration import check_task_names
from hf_mtl.model import MultiTaskModel, TaskModules, refuse_adapters
from hf_mtl.surgery._vocabularies import common_vocabulary
from hf_mtl_light.errors import UserError

__all__ = ["encoder_digest", "merge_models"]


def encoder_digest(model: MultiTaskModel) -> str:
    """Return the SHA-256 of an encoder: of its tensors' names, types, shapes and bytes, in the order of the names.

    It is that of both, where a model has an encoder of texts and one of pictures.
    """
    digest = hashlib.sha256()
    for name, value in sorted(_encoder_states(model).items()):
        digest.update(_described(name, value))
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _encoder_states(model: MultiTaskModel) -> dict[str, torch.Tensor]:
    """Return the tensors of all encoders by name; those of pictures beside texts begin with ``image_encoder.``."""
    beside = {} if model.image_encoder is None else model.image_encoder.state_dict()
    return {**model.encoder.state_dict(), **{f"image_encoder.{name}": value for name, value in beside.items()}}


def _described(name: str, value: torch.Tensor) -> bytes:
    return f"{name} {value.dtype} {list(value.shape)}\n".encode()


def merge_models(models: Sequence[MultiTaskModel]) -> MultiTaskModel:
    """Return a model with the heads of all, on the encoder that all share.

    Heads that different people trained on the same frozen encoder answer afterwards bit for bit as before; so do
    branches that were trained on the same frozen trunk (``freeze_trunk``), with their heads.

    Args:
        models: The models; they are not changed. The order of the heads is theirs, one model after the other.

    Raises:
        ValueError: If there are fewer than two, their encoders or the vocabularies of their tokenizers differ, or two
            have a task of the same name or different branches of the same name.
    """
    if len(models) < 2:
        raise UserError(f"A merge needs at least two models, found {len(models)}.")
    for model in models:
        refuse_adapters(model, "merge_models")
    first = models[0]
    for number, model in enumerate(models[1:], start=2):
        if encoder_digest(model) != encoder_digest(first):
            raise UserError(
                f"The encoders of model 1 and model {number} differ: {_difference(first, model)}. Heads fit only the "
                "encoder that they were trained on; train them with freeze_encoder=True on the same one."
            )
    vocabulary = common_vocabulary(models, [f"model {number}" for number in range(1, len(models) + 1)])
    branches = _joined_branches(models)
    owners: dict[str, int] = {}
    for number, model in enumerate(models, start=1):
        for name in model.task_heads:
            if name in owners:
                raise UserError(
                    f"Models {owners[name]} and {number} both have a task {name!r}. Rename or drop one: "
                    f"rename_head(model, {name!r}, ...), or --rename of hf-mtl merge."
                )
            owners[name] = number
    check_task_names(list(owners))
    merged = copy.deepcopy(first)
    merged.config.vocabulary = vocabulary
    merged.config.branches = {name: n for model in models for name, n in (model.config.branches or {}).items()} or None
    merged.branches = branches.to(dtype=first.encoder.dtype, device=first.device)
    # Those that are held: a head that tasks share is copied once.
    merged.heads = TaskModules({n: copy.deepcopy(head) for model in models for n, head in model.heads.items()})
    merged.config.tasks = [task for model in models for task in model.tasks]
    dtype, device = next(first.heads.parameters()).dtype, first.device
    merged.heads.to(dtype=dtype, device=device)
    merged.fast_dropout = first.fast_dropout
    merged._set_frozen({**first.frozen, "heads": sorted({n for model in models for n in model.frozen["heads"]})})
    merged.eval()
    return merged


def _joined_branches(models: Sequence[MultiTaskModel]) -> TaskModules:
    """Return copies of the branches of all models; those of one name must be equal.

    Raises:
        ValueError: If two models have different branches of one name.
    """
    found: dict[str, tuple[int, nn.Module]] = {}
    for number, model in enumerate(models, start=1):
        for name, top in model.branches.items():
            other, known = found.setdefault(name, (number, top))
            states = known.state_dict(), top.state_dict()
            if states[0].keys() != states[1].keys() or any(
                not torch.equal(states[0][k], states[1][k]) for k in states[0]
            ):
                raise UserError(
                    f"Models {other} and {number} have different branches {name!r}. Rename one: "
                    f"rename_branch(model, {name!r}, ...)."
                )
    return TaskModules({name: copy.deepcopy(top) for name, (_, top) in found.items()})


def _difference(one: MultiTaskModel, other: MultiTaskModel) -> str:
    """Describe where two encoders differ."""
    families = [" and ".join(e.config.model_type for e in model.encoders.values()) for model in (one, other)]
    if families[0] != families[1]:
        return f"families {families[0]!r} and {families[1]!r}"
    states = _encoder_states(one), _encoder_states(other)
    missing = sorted(states[0].keys() ^ states[1].keys())
    if missing:
        return f"only one has {listed(missing, 3)}"
    for name in states[0]:
        if _described(name, states[0][name]) != _described(name, states[1][name]):
            found = [f"{list(state[name].shape)} {state[name].dtype}" for state in states]
            return f"{name} is {found[0]} in one, {found[1]} in the other"
    unlike = [name for name in states[0] if not torch.equal(states[0][name].cpu(), states[1][name].cpu())]
    return f"{len(unlike)} of {len(states[0])} tensors have other values, the first is {unlike[0]}"
