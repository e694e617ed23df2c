"""One model from several of the same tasks: the mean of their weights."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hf_mtl._names import listed
from hf_mtl.configuration import TaskConfig
from hf_mtl.encoder import check_finite
from hf_mtl.model import MultiTaskModel, refuse_adapters
from hf_mtl.surgery._heads import change_labels, reorder_heads
from hf_mtl.surgery._vocabularies import common_vocabulary
from hf_mtl.trainer import with_temperature
from hf_mtl_light.errors import UserError

__all__ = ["aligned_models", "average_models", "mean_of_models"]

#: Fields of a task that say what its head computes or how its logits become answers.
_ANSWERING = ("type", "problem_type", "pooling", "layers", "tied_to", "branch", "options")
#: Numbers of a task that its answers are made with, averaged like weights, and what stands for none.
_AVERAGED = {"thresholds": 0.5, "target_mean": 0.0, "target_std": 1.0}
#: What of an encoder's config says nothing of what it computes when it answers.
_VOLATILE = (
    *("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "use_cache"),
    *("pad_token_id", "bos_token_id", "eos_token_id"),
)
#: How far the scales of regression labels may differ: ratio of standard deviations, means in standard deviations.
_RATIO, _DISTANCE = 2.0, 1.0


def average_models(
    models: Sequence[MultiTaskModel], weights: Sequence[float] | None = None, *, names: Sequence[str] | None = None
) -> MultiTaskModel:
    r"""Return a model whose weights are the weighted mean of those of models of the same tasks (a uniform soup).

    .. math:: \theta = \sum_i w_i \theta_i \,/\, \sum_i w_i

    Tasks and labels are matched by name and come in the order of the first model. The thresholds of multi-label tasks
    and the mean and standard deviation of regression labels are averaged as weights are, temperatures are dropped:
    tune thresholds and calibrate again. What remains of a task, such as its weight, is the first model's.

    Args:
        models: The models, fine-tuned from one encoder; they are not changed.
        weights: w, a number of at least 0 for each; ``None``: all the same.
        names: Names of the models for messages, such as their folders.

    Raises:
        ValueError: If tasks, labels, branches, vocabularies or encoders differ, weights of a model are not finite, or
            ``weights`` do not fit.

    Source: M. Wortsman et al., Model soups, ICML 2022, section 2, https://arxiv.org/abs/2203.05482.
    """
    if len(models) < 2:
        raise UserError(f"An average needs at least two models, found {len(models)}.")
    factors = list(weights) if weights is not None else [1.0] * len(models)
    if len(factors) != len(models) or any(not 0 <= w < float("inf") for w in factors) or sum(factors) == 0:
        raise UserError(f"weights must be {len(models)} numbers of at least 0, not all 0; found {factors}.")
    return mean_of_models(aligned_models(models, names), factors)


def aligned_models(models: Sequence[MultiTaskModel], names: Sequence[str] | None = None) -> list[MultiTaskModel]:
    """Return models whose weights mean the same at the same place: tasks and labels in the order of the first.

    Args:
        models: The models; they are not changed. One whose order differs is replaced by a copy.
        names: See `average_models`.

    Raises:
        ValueError: See `average_models`.
    """
    shown = [f"model {number}" for number in range(1, len(models) + 1)] if names is None else list(map(repr, names))
    if len(shown) != len(models):
        raise UserError(f"names must be {len(models)}, one for each model; found {len(shown)}.")
    for model, name in zip(models, shown, strict=True):
        refuse_adapters(model, f"An average of models, {name} among them,")
        check_finite(model.named_parameters(), name[0].upper() + name[1:])
    common_vocabulary(models, shown)
    aligned = [models[0]]
    for model, name in zip(models[1:], shown[1:], strict=True):
        both = f"{shown[0]} and {name}"
        _check_encoders(models[0], model, both)
        _check_tasks(models[0], model, (shown[0], name))
        aligned.append(_in_order_of(models[0], model, both))
        _check_shapes(models[0], aligned[-1], both)
    return aligned


@torch.no_grad()
def mean_of_models(models: Sequence[MultiTaskModel], weights: Sequence[float]) -> MultiTaskModel:
    """Return a copy of the first model with the weighted mean of the weights of all.

    Args:
        models: Models as `aligned_models` returns them.
        weights: A number of at least 0 for each, not all 0.
    """
    mean = copy.deepcopy(models[0])
    mean.config.vocabulary = next((m.config.vocabulary for m in models if m.config.vocabulary), None)
    states = [model.state_dict() for model in models]
    for name, value in mean.state_dict().items():
        if value.is_floating_point():
            # Summed in double precision: rounded once.
            total = sum(w * state[name].double().to(value.device) for w, state in zip(weights, states, strict=True))
            value.copy_(torch.as_tensor(total) / sum(weights))
    for task in mean.tasks:
        # A temperature fits one model's logits: none is the mean's.
        same = [with_temperature(model.config.task(task.name), None) for model in models]
        numbers = {name: _mean_numbers(same, name, empty, weights) for name, empty in _AVERAGED.items()}
        mean.replace_task(dataclasses.replace(same[0], **numbers))
    return mean


def _mean_numbers(tasks: Sequence[TaskConfig], field: str, empty: float, weights: Sequence[float]) -> Any:
    """Return the mean of a field that holds a number, or one for each label."""
    values = [getattr(task, field) for task in tasks]
    if all(value == values[0] for value in values):
        return values[0]
    rows = [_numbers(task, field, empty) for task in tasks]
    means = [
        math.fsum(w * number for w, number in zip(weights, numbers, strict=True)) / math.fsum(weights)
        for numbers in zip(*rows, strict=True)
    ]
    return means if any(isinstance(value, tuple) for value in values) else means[0]


def _numbers(task: TaskConfig, field: str, empty: float) -> list[float]:
    """Return a field's number for each label of a task."""
    value = getattr(task, field)
    numbers = value if isinstance(value, tuple) else (value,) * task.num_labels
    return [empty if number is None else float(number) for number in numbers]


# Checks


def _check_encoders(first: MultiTaskModel, model: MultiTaskModel, both: str) -> None:
    encoders = [[_computing(encoder.config.to_dict()) for encoder in m.encoders.values()] for m in (first, model)]
    if [*first.encoders] != [*model.encoders]:
        kinds = [" and ".join(m.encoders) for m in (first, model)]
        raise UserError(f"{_sentence(both)} have different encoders: of {kinds[0]}, and of {kinds[1]}.")
    for configs in zip(*encoders, strict=True):
        keys = dict.fromkeys([*configs[0], *configs[1]])
        unlike = [key for key in keys if configs[0].get(key) != configs[1].get(key)]
        if not unlike:
            continue
        key = "model_type" if "model_type" in unlike else unlike[0]
        raise UserError(
            f"{_sentence(both)} have different encoders: {key} is {configs[0].get(key)!r} and {configs[1].get(key)!r}. "
            "Average models that were fine-tuned from one encoder."
        )
    if (first.config.branches or {}) != (model.config.branches or {}):
        found = [dict(m.config.branches or {}) or "none" for m in (first, model)]
        raise UserError(f"{_sentence(both)} have different branches: {found[0]} and {found[1]}.")


def _computing(config: Mapping[str, Any]) -> dict[str, Any]:
    # Dropout acts in training alone.
    return {key: value for key, value in config.items() if key not in _VOLATILE and "drop" not in key}


def _check_tasks(first: MultiTaskModel, model: MultiTaskModel, names: tuple[str, str]) -> None:
    both = " and ".join(names)
    _check_names(f"{_sentence(both)} answer different tasks", names, (list(first.task_heads), list(model.task_heads)))
    for task, head in zip(first.tasks, first.task_heads.values(), strict=True):
        other, other_head = model.config.task(task.name), model.task_heads[task.name]
        for field in _ANSWERING:
            one, two = (getattr(t, field) for t in (task, other))
            if one != two:
                raise UserError(
                    f"Task {task.name!r}: {both} differ in {field}, which is {one!r} and {two!r}. An average needs "
                    "heads that compute the same."
                )
        if type(head) is not type(other_head):
            found = [f"{type(h).__module__}.{type(h).__qualname__}" for h in (head, other_head)]
            raise UserError(f"Task {task.name!r}: {both} have different heads, {found[0]} and {found[1]}.")
        _check_names(
            f"Task {task.name!r}: {both} have different labels", names, (task.labels or (), other.labels or ())
        )
        if head.is_regression:
            _check_scales(task, other, both)


def _check_names(problem: str, owners: tuple[str, str], found: tuple[Sequence[str], Sequence[str]]) -> None:
    """Refuse names that only one of two models has."""
    extra = [[name for name in own if name not in other] for own, other in (found, found[::-1])]
    only = [f"only {owner} has {listed(more)}" for owner, more in zip(owners, extra, strict=True) if more]
    if only:
        raise UserError(f"{problem}: {', '.join(only)}. An average needs the same, in any order.")


def _check_scales(task: TaskConfig, other: TaskConfig, both: str) -> None:
    """Refuse a regression whose labels were in another unit; folds and seeds differ by little."""
    order = [(other.labels or ("",)).index(label) for label in task.labels or ("",)]
    means, stds = (
        [(one, two[i]) for one, i in zip(_numbers(task, name, _AVERAGED[name]), order, strict=True)]
        for name in ("target_mean", "target_std")
        for two in [_numbers(other, name, _AVERAGED[name])]
    )
    for mean, std in zip(means, stds, strict=True):
        if max(std) > _RATIO * min(std) or abs(mean[0] - mean[1]) > _DISTANCE * min(std):
            raise UserError(
                f"Task {task.name!r}: {both} learned numbers of different scales: mean {mean[0]:g} and {mean[1]:g}, "
                f"standard deviation {std[0]:g} and {std[1]:g}. An average needs labels in one unit."
            )


def _in_order_of(first: MultiTaskModel, model: MultiTaskModel, both: str) -> MultiTaskModel:
    """Return a model with the tasks and labels of another in its order: itself, or a copy."""
    moved = [task for task in first.tasks if task.labels != model.config.task(task.name).labels]
    order = list(first.task_heads)
    if not moved and order == list(model.task_heads):
        return model
    model = copy.deepcopy(model)
    reorder_heads(model, order)
    with torch.random.fork_rng(devices=[]):  # new heads are initialised before they are filled
        for task in moved:
            if model.config.task(task.name).labels == task.labels:  # moved with a task that it is tied to
                continue
            try:
                change_labels(model, task.name, task.labels or ())
            except UserError:
                raise UserError(
                    f"Task {task.name!r}: the labels of {both} are in different orders, and a scale cannot be put in "
                    "another. Train them with one list of labels."
                ) from None
    return model


def _check_shapes(first: MultiTaskModel, model: MultiTaskModel, both: str) -> None:
    shapes = [{name: value.shape for name, value in each.state_dict().items()} for each in (first, model)]
    unlike = sorted(name for name in shapes[0].keys() | shapes[1].keys() if shapes[0].get(name) != shapes[1].get(name))
    if unlike:
        found = [list(s[unlike[0]]) if unlike[0] in s else "missing" for s in shapes]
        raise UserError(
            f"{_sentence(both)} have tensors of different shapes: {unlike[0]} is {found[0]} and {found[1]}."
        )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
