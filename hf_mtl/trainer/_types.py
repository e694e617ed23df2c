"""Whether what a trainer is given has the types that it is to have: said when it is built, argument by argument."""

from __future__ import annotations

import dataclasses
import inspect
import os
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from types import NoneType
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase, TrainerCallback, TrainingArguments

from hf_mtl_light.errors import UserTypeError

__all__ = ["check_field_types", "check_types", "described_kinds", "kinds_of_fields"]


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
            raise UserTypeError(f"{name} must be {expected}; found {_shown(value)}.")


def _shown(value: Any) -> str:
    """Return a value, or its type where it is long."""
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


@cache
def kinds_of_fields(cls: type[TrainingArguments]) -> dict[str, tuple[Any, ...]]:
    """Return for each field of training arguments the types that it takes."""
    hints = typing.get_type_hints(cls)
    return {field.name: _members(hints[field.name]) for field in dataclasses.fields(cls) if field.init}


def _members(hint: Any) -> tuple[Any, ...]:
    """Return the plain types that a union is made of."""
    if typing.get_origin(hint) in (list, dict):
        return (typing.get_origin(hint),)
    members = typing.get_args(hint)
    return tuple(plain for member in members for plain in _members(member)) if members else (hint,)


def described_kinds(kinds: Sequence[Any]) -> str:
    """Describe types.

    >>> described_kinds((int, NoneType))
    'a whole number or null'
    """
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}
    words |= {dict: "a mapping", NoneType: "null"}
    return " or ".join(dict.fromkeys(words.get(kind, "a text") for kind in kinds))


def check_field_types(args: TrainingArguments) -> None:
    """Check fields of training arguments that hold truth values or numbers.

    A text such as ``"no"`` would count as true. Texts, lists and mappings are checked where they are read.

    Raises:
        TypeError: If one is something else.
    """
    cls: Any = type(args)
    for name, kinds in kinds_of_fields(cls).items():
        value, plain = getattr(args, name), {kind for kind in kinds if kind is not NoneType}
        if value is None or not plain or not plain <= {bool, int, float}:
            continue
        if isinstance(value, (bool, np.bool_)):
            fits = bool in plain
        elif isinstance(value, Real):
            is_whole = isinstance(value, Integral) or float(value).is_integer()
            fits = float in plain or (int in plain and is_whole)
        else:
            fits = False
        if not fits:
            raise UserTypeError(f"{name} must be {described_kinds([*plain])}, found {_shown(value)}.")
