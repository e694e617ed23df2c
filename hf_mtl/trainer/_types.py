"""Whether what a trainer is given has the types that it is to have: said when it is built, argument by argument."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase, TrainerCallback

from hf_mtl.arguments import shown
from hf_mtl_light.errors import UserTypeError

__all__ = ["check_types"]


def _is_callback(value: Any) -> bool:
    kind = value if inspect.isclass(value) else type(value)
    return issubclass(kind, TrainerCallback)


def _are_callbacks(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_callback, value))


def _is_path_or_bool(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike, bool, np.bool_))


def _are_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(text, str) for text in value)


def _are_one_or_more_texts(value: Any) -> bool:
    return isinstance(value, str) or _are_texts(value)


def _are_one_or_more_numbers(value: Any) -> bool:
    return isinstance(value, Real) or (isinstance(value, (list, tuple)) and all(isinstance(x, Real) for x in value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts_by_name(value: Any) -> bool:
    return isinstance(value, Mapping) and _are_texts([*value, *value.values()])


def _are_optimizers(value: Any) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return False
    optimizer, scheduler = value
    is_scheduler = (
        optimizer is None or scheduler is None or (hasattr(scheduler, "step") and not inspect.isclass(scheduler))
    )
    return (optimizer is None or isinstance(optimizer, torch.optim.Optimizer)) and is_scheduler


def _is_class_with_options(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and len(value) == 2
        and inspect.isclass(value[0])
        and issubclass(value[0], torch.optim.Optimizer)
        and isinstance(value[1], Mapping)
    )


def _is_image_processor(value: Any) -> bool:
    return callable(value) and hasattr(value, "save_pretrained")


#: Argument of the trainer or one of its methods -> whether a value is of its type, and what is.
_EXPECTED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "model": (
        lambda value: isinstance(value, nn.Module),
        "a MultiTaskModel, from_pretrained(...) or from_encoder(...)",
    ),
    "processing_class": (
        lambda value: isinstance(value, PreTrainedTokenizerBase),
        "the encoder's tokenizer, AutoTokenizer.from_pretrained(...)",
    ),
    "image_processor": (_is_image_processor, "an image processor, AutoImageProcessor.from_pretrained(...)"),
    "model_init": (callable, "a function that returns a MultiTaskModel"),
    "callbacks": (_are_callbacks, "a list of TrainerCallback, objects or classes, such as [EarlyStoppingCallback()]"),
    "optimizers": (_are_optimizers, "two, an optimizer and a scheduler of torch, or None for each"),
    "optimizer_cls_and_kwargs": (_is_class_with_options, "two, such as (torch.optim.SGD, {'lr': 0.1})"),
    "check_data": (lambda value: isinstance(value, bool), "True or False"),
    "hp_space": (callable, "a function from a trial to values of arguments"),
    "compute_objective": (callable, "a function from metrics to a number"),
    "callback": (_is_callback, "a TrainerCallback, an object or a class, such as EarlyStoppingCallback()"),
    "resume_from_checkpoint": (_is_path_or_bool, "a checkpoint's folder, or True for the newest one"),
    "tasks": (_are_texts, "a list of names of tasks, such as ['mood']"),
    "coverage": (_are_one_or_more_numbers, "a number such as 0.9, or a list of them"),
    "output_dir": (lambda value: isinstance(value, (str, os.PathLike)), "a folder"),
    "language": (_are_one_or_more_texts, "a code such as 'en', or a list of them"),
    "tags": (_are_one_or_more_texts, "a text, or a list of texts"),
    "license": (_is_text, "the id of a licence, such as 'apache-2.0'"),
    "model_name": (_is_text, "a text"),
    "finetuned_from": (_is_text, "the encoder's id on the Hub"),
    "dataset_ids": (_are_texts_by_name, "a mapping such as {'name of the dataset': 'owner/id'}"),
}


def check_types(*, needed: Collection[str] = ("optimizers",), **given: Any) -> None:
    """Check arguments of a trainer or one of its methods; ``None`` stands for one that is not given.

    Args:
        needed: Names of those that may not be ``None``.
        given: The arguments by name.

    Raises:
        TypeError: If one is of another type; the message says what is expected.
    """
    for name, value in given.items():
        fits, expected = _EXPECTED[name]
        if (value is not None or name in needed) and not fits(value):
            raise UserTypeError(f"{name} must be {expected}; found {shown(value)}.")
