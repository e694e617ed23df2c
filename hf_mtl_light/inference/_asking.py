"""The interface that the pipeline and `hf_mtl_light.OnnxPredictor` share: what may be given, and what may be asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from types import EllipsisType
from typing import Any, Literal

from hf_mtl_light.answering import AnswerOptions
from hf_mtl_light.encoding import is_picture
from hf_mtl_light.errors import UserError
from hf_mtl_light.inference._answerer import Answerer
from hf_mtl_light.names import listed, nearest

__all__ = ["answer_inputs", "options_by_task"]


def options_by_task(
    tasks: Sequence[str],
    *,
    top_k: int | Literal["all"] | EllipsisType | None = ...,
    thresholds: float | Mapping[str, Any] | None = None,
    aggregation_strategy: Any = None,
    ignore_labels: Sequence[str] | None = None,
    coverage: float | None = None,
) -> dict[str, AnswerOptions]:
    """Return what is asked of each task, see `AnswerOptions`.

    Args:
        tasks: Names of the model's tasks.
        top_k: ``None`` names all labels, as in Transformers' text-classification pipeline; ``...`` stands for left out.
        thresholds: A number, or ``{task: number}``, or ``{task: {label: number}}``.
        aggregation_strategy: A strategy, or Transformers' own enumeration of them.
        ignore_labels: With a strategy: tags, or entity types, that are left out; ``None``: ``["O"]``.
        coverage: See `AnswerOptions`.

    Raises:
        ValueError: If ``thresholds`` names no task of the model, or a value is out of its range.

    >>> options_by_task(["a", "b"], thresholds={"b": 0.2})["b"].thresholds
    0.2
    """
    if isinstance(thresholds, Mapping):
        for name in thresholds:
            if name not in tasks:
                raise UserError(
                    f"thresholds names {name!r}, which is no task of this model.{nearest(name, tasks)} "
                    f"Tasks: {listed(tasks)}. Write {{task: {{label: number}}}}."
                )
    shared: dict[str, Any] = {}
    if top_k is not ...:
        shared["top_k"] = "all" if top_k is None else top_k
    if aggregation_strategy is not None:
        shared["aggregation_strategy"] = str(getattr(aggregation_strategy, "value", aggregation_strategy))
    if ignore_labels is not None:
        shared["ignore_labels"] = ignore_labels
    if coverage is not None:
        shared["coverage"] = coverage
    return {
        name: AnswerOptions(
            thresholds=thresholds.get(name) if isinstance(thresholds, Mapping) else thresholds, **shared
        )
        for name in tasks
    }


def answer_inputs(answerer: Answerer, inputs: Any) -> Any:
    """Answer inputs of any kind.

    Args:
        answerer: What answers rows.
        inputs: A text, a pair, words or a picture, as `as_row` takes them; a list of them, or a frame of pandas whose
            columns are named as the fields of a row; or what yields them.

    Returns:
        A dict with one entry a task. For a list or a frame, a list of them. For all else an iterator, which reads as
        many inputs ahead as the answerer does.

    Raises:
        ValueError: If an input is none of these; the message names its number.
    """
    if isinstance(inputs, (str, tuple, Mapping)) or is_picture(inputs):
        return answerer.answer([answerer.read(inputs, 0)])[0]
    if isinstance(inputs, (bytes, bytearray)) and answerer.reads_paths:
        return answerer.answer([answerer.read(inputs, 0)])[0]
    if isinstance(inputs, (bytes, bytearray, Set)):
        remedy = (
            "A set has no order: give a list."
            if isinstance(inputs, Set)
            else ("Decode it: inputs.decode('utf-8'); the bytes of a picture's file are {'image': inputs}.")
        )
        raise UserError(f"Expected texts, found {type(inputs).__name__}. {remedy}")
    if hasattr(inputs, "iterrows"):  # a frame of pandas, whose columns name what a row holds
        inputs = inputs.to_dict("records")
    if hasattr(inputs, "tolist") and hasattr(inputs, "__array__"):  # of pandas or numpy, indexed by labels perhaps
        inputs = inputs.tolist()
    if isinstance(inputs, list):
        return list(answerer(inputs))
    if hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"):
        # Datasets of torch need not know when iteration ends.
        return answerer(inputs[i] for i in range(len(inputs)))
    if isinstance(inputs, Iterable):
        return answerer(inputs)
    raise UserError(
        f"Expected a text, a pair, a dict with 'text', 'tokens' or 'image', a list or an iterable of them; found a "
        f"{type(inputs).__name__}."
    )
