"""All parts together, for a model in torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from hf_mtl.data import check_processors
from hf_mtl.inference._collate import checked_length
from hf_mtl.inference._pictures import make_row_encoder
from hf_mtl.inference._runner import ModelRunner
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.answering import AnswerOptions
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError
from hf_mtl_light.inference import BATCH_TOKENS, LOOK_AHEAD, Answerer

__all__ = ["make_answerer", "predict"]

#: `LOOK_AHEAD` where rows may have pictures, whose pixels take much more memory than texts and are all of one size.
_PICTURES_AHEAD = 64


def make_answerer(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase | None,
    *,
    tasks: Sequence[str] | None = None,
    options: AnswerOptions | Mapping[str, AnswerOptions] | None = None,
    max_length: int | None = None,
    stride: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    batch_size: int | None = None,
    look_ahead: int | None = None,
    precision: str = "float32",
    defaults: Collection[str] = (),
    image_processor: Any = None,
) -> Answerer:
    """Return what answers rows with a model; the arguments are those of `predict`.

    ``defaults`` names options that hold where a task reads them; each other must be read by a task that is asked.
    """
    if image_processor is not None and "image" not in model.encoders:
        raise UserError("image_processor is not supported: the model has no encoder of pictures. Leave it out.")
    chosen = [task for task in model.tasks if tasks is None or task.name in tasks]
    if tasks is None and image_processor is None and tokenizer is not None:
        # Texts are what is asked: tasks of pictures are answered ``None``, as is any whose input a row lacks.
        chosen = [task for task in chosen if "image" not in model.task_heads[task.name].modalities()]
    check_processors(tokenizer, image_processor, chosen, {n: type(h) for n, h in model.task_heads.items()})
    if look_ahead is None:
        look_ahead = LOOK_AHEAD if image_processor is None else _PICTURES_AHEAD
    length = 0 if tokenizer is None else checked_length(model, tokenizer, max_length)
    return Answerer(
        ModelRunner(model, tokenizer, precision),
        make_row_encoder(tokenizer, image_processor, length, stride),
        model.tasks,
        {name: head.answering(tokenizer) for name, head in model.task_heads.items()},
        chosen=tasks,
        options=options,
        batch_tokens=batch_tokens,
        batch_size=batch_size,
        look_ahead=look_ahead,
        defaults=defaults,
    )


def predict(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase | None,
    rows: Iterable[str | tuple[str, str] | Mapping[str, Any] | Row],
    *,
    tasks: Sequence[str] | None = None,
    options: AnswerOptions | Mapping[str, AnswerOptions] | None = None,
    max_length: int | None = None,
    stride: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    batch_size: int | None = None,
    look_ahead: int | None = None,
    precision: str = "float32",
    image_processor: Any = None,
) -> Iterator[dict[str, Any]]:
    """Answer every task for every row, in the order of the rows.

    Args:
        model: The model; it is put into evaluation mode.
        tokenizer: Its tokenizer; ``None`` for a model of pictures alone.
        rows: Texts, pairs as tuples, pictures, path objects of them, or mappings with ``text``, ``text`` and
            ``text_pair``, ``tokens``, or ``image``, alone or beside a text; for a model of pictures alone strings are
            paths. Read as they are needed.
        tasks: Names of the tasks to answer; ``None`` answers all.
        options: What is asked of all tasks, or of each by name.
        max_length: The most tokens of a window; ``None`` is the most the model takes.
        stride: Tokens that the windows of a long row share; ``None`` cuts off what does not fit into one.
        batch_tokens: The most tokens of one pass.
        batch_size: The most windows of one pass; ``None``: any number.
        look_ahead: Rows that are read before the first of them is answered; ``None``: 512, with an image processor 64.
        precision: ``"float32"``, or ``"bfloat16"`` for autocast.
        image_processor: The image processor, for rows with pictures; without one tasks of pictures are answered
            ``None``.

    Yields:
        For each row one answer by task, of plain Python values.

    Raises:
        ValueError: If a row has no input, a task is unknown, none that is asked reads an option, or a value is out of
            its range.

    >>> from hf_mtl import MultiTaskModel, TaskConfig, predict
    >>> task = TaskConfig("mood", "sequence-classification", labels=["bad", "good"])
    >>> model = MultiTaskModel.from_encoder(encoder, [task])  # a Hub id or a folder; it was not trained
    >>> [answer] = predict(model, tokenizer, ["a good film"])
    >>> answer
    {'mood': {'label': '...', 'score': 0...}}
    """
    answerer = make_answerer(
        model,
        tokenizer,
        tasks=tasks,
        options=options,
        max_length=max_length,
        stride=stride,
        batch_tokens=batch_tokens,
        batch_size=batch_size,
        look_ahead=look_ahead,
        precision=precision,
        image_processor=image_processor,
    )
    return answerer(rows)
