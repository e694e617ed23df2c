"""All tasks' answers from one pass of an exported graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import EllipsisType
from typing import Any, Literal

import numpy as np

from hf_mtl_light.answering import answers_of
from hf_mtl_light.description import GraphDescription
from hf_mtl_light.encoding import FileTokenizer, PictureWindow, RowEncoder, Window, can_read, vocabulary_digest
from hf_mtl_light.errors import MissingExtraError, UserError, library_errors_name
from hf_mtl_light.inference import (
    BATCH_TOKENS,
    LOOK_AHEAD,
    Answerer,
    RecentAnswerers,
    answer_inputs,
    check_finite,
    options_by_task,
    pad_windows,
    plan_batches,
    split_logits,
)

__all__ = ["OnnxPredictor"]

#: What makes a graph slower on CPUs: onnxruntime (1.31) takes four times as long for a residual with its normalisation
#: as for one after the other.
_SLOWER = ["SkipLayerNormFusion"]


class OnnxPredictor:
    """Answers all tasks of a model that ``hf-mtl export --to onnx`` wrote, as `hf_mtl.MultiTaskPipeline` does.

    It needs onnxruntime, tokenizers and numpy, Pillow for pictures, and neither torch nor transformers. The answers are
    made by the code that makes those of the model itself. Threads may share it.

    Args:
        folder: The exported folder.
        threads: Threads of one operator; ``None`` leaves it to onnxruntime.
        providers: onnxruntime's execution providers, in order of preference; ``None`` is the CPU.
        max_length: The most tokens of a window; ``None`` is the most the model takes.

    Raises:
        ValueError: If the folder holds no exported model, or ``max_length`` is more than it takes.
        ImportError: If onnxruntime or tokenizers is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        max_length: int | None = None,
    ) -> None:
        folder = Path(folder)
        description = self.description = GraphDescription.read(folder)
        self._recent = RecentAnswerers()
        self._answers = {task.name: answers_of(task) for task in description.tasks}
        self._max_length = self._checked(max_length, description.max_length)
        self._options = _needed("onnxruntime").SessionOptions()
        if threads is not None:
            self._options.intra_op_num_threads = threads
        self._providers = list(providers or ["CPUExecutionProvider"])
        self._folder = folder
        #: The graph of the tasks of texts, and that of the tasks of pictures; ``None`` where there is no such task.
        self.session = self._opened(description.model) if description.inputs else None
        self.picture_session = self._opened(description.picture_model) if description.picture_model else None
        self.tokenizer = self._read_tokenizer() if description.inputs else None

    def _opened(self, file: str) -> Any:
        if file.endswith(".pb"):
            raise UserError(
                f"{str(self._folder)!r} holds a SavedModel of TensorFlow, and answers are made of an ONNX graph. Write "
                "one with hf-mtl export MODEL OUT --to onnx."
            )
        with library_errors_name(str(self._folder / file)):
            return _needed("onnxruntime").InferenceSession(
                str(self._folder / file),
                self._options,
                providers=self._providers,
                disabled_optimizers=_SLOWER if self._providers == ["CPUExecutionProvider"] else None,
            )

    def _read_tokenizer(self) -> FileTokenizer:
        _needed("tokenizers")
        description, folder = self.description, self._folder
        tokenizer = FileTokenizer(
            folder / description.tokenizer,
            description.inputs,
            description.pad_token_id,
            description.pad_token_type_id,
            description.unk_token_id,
            description.truncation_side,
        )
        expected, found = description.vocabulary, vocabulary_digest(tokenizer.backend_tokenizer)
        if expected is not None and found != expected:
            was, now = (str(mark).partition(":")[0] for mark in (expected, found))
            raise UserError(
                f"{str(folder / description.tokenizer)!r} ({now} tokens) has another vocabulary than the one that the "
                f"graph was exported with ({was} tokens), so it would give it other words' ids. Export the model again."
            )
        return tokenizer

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in order."""
        return [task.name for task in self.description.tasks]

    def __call__(
        self,
        inputs: Any,
        *,
        tasks: Sequence[str] | None = None,
        top_k: int | Literal["all"] | EllipsisType | None = ...,
        thresholds: float | Mapping[str, Any] | None = None,
        aggregation_strategy: str | None = None,
        ignore_labels: Sequence[str] | None = None,
        coverage: float | None = None,
        stride: int | None = None,
        max_length: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
        batch_size: int | None = None,
        look_ahead: int = LOOK_AHEAD,
    ) -> Any:
        """Answer texts; the arguments are those of `hf_mtl.MultiTaskPipeline`, and so are the answers.

        Args:
            inputs: A text; a pair, as ``{"text": ..., "text_pair": ...}`` or a tuple of two; words, as ``{"tokens":
                [...]}``; a picture, as the pipeline takes them; a list of any of them; or what yields them.
            tasks: Names of the tasks to answer; ``None`` answers all.
            top_k: How many labels to name, best first: ``None`` names all. Left out, a single-label task gives its one
                answer and a multi-label task the labels above their thresholds.
            thresholds: From which score on a multi-label task names a label: a number, or ``{task: number}``, or
                ``{task: {label: number}}``. Left out: the task's own.
            aggregation_strategy: How tokens become entities: ``"none"``, ``"simple"``, ``"first"``, ``"average"`` or
                ``"max"``, as in Transformers' token-classification pipeline. ``None`` tags whole words and joins them
                by the task's own tag scheme.
            ignore_labels: With a strategy: tags, or entity types, that are left out; ``None``: ``["O"]``.
            coverage: Adds the ``set`` of labels that holds the truth in such a part of rows, to tasks with one label.
            stride: Tokens that the windows of a long text share; ``None`` cuts off what does not fit into one.
            max_length: The most tokens of a window; ``None`` is that of the predictor.
            batch_tokens: The most tokens of one pass, padding counted.
            batch_size: The most windows of one pass; ``None``: any number.
            look_ahead: Texts that are read before the first of them is answered.

        Returns:
            A dict with one entry a task. For a list, a list of them. For all else an iterator, which reads
            ``look_ahead`` texts at a time and keeps no more.

        Raises:
            ValueError: If an input, the name of a task or a value is wrong.
        """
        answerer = self.answerer(
            tasks=tasks,
            top_k=top_k,
            thresholds=thresholds,
            aggregation_strategy=aggregation_strategy,
            ignore_labels=ignore_labels,
            coverage=coverage,
            stride=stride,
            max_length=max_length,
            batch_tokens=batch_tokens,
            batch_size=batch_size,
            look_ahead=look_ahead,
        )
        return answer_inputs(answerer, inputs)

    def answerer(
        self,
        *,
        tasks: Sequence[str] | None = None,
        top_k: int | Literal["all"] | EllipsisType | None = ...,
        thresholds: float | Mapping[str, Any] | None = None,
        aggregation_strategy: str | None = None,
        ignore_labels: Sequence[str] | None = None,
        coverage: float | None = None,
        stride: int | None = None,
        max_length: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
        batch_size: int | None = None,
        look_ahead: int = LOOK_AHEAD,
    ) -> Answerer:
        """Return what answers rows with these arguments, those of a call."""
        asked: dict[str, Any] = {
            "top_k": top_k,
            "thresholds": thresholds,
            "aggregation_strategy": aggregation_strategy,
            "ignore_labels": ignore_labels,
            "coverage": coverage,
        }
        running: dict[str, Any] = {
            "max_length": max_length,
            "stride": stride,
            "chosen": tasks if tasks is None or isinstance(tasks, str) else list(tasks),
            "batch_tokens": batch_tokens,
            "batch_size": batch_size,
            "look_ahead": look_ahead,
        }
        return self._recent.get(
            {**asked, **running}, lambda: self._answerer(options=options_by_task(self.tasks, **asked), **running)
        )

    def logits(
        self,
        inputs: Sequence[str | tuple[str, str] | Mapping[str, Any]],
        *,
        tasks: Sequence[str] | None = None,
        batch_tokens: int = BATCH_TOKENS,
        batch_size: int | None = None,
    ) -> list[dict[str, np.ndarray]]:
        """Return each input's logits by task: [C], or [L, C] for tagging, with L the input's own tokens.

        Args:
            inputs: Texts, pairs, words and pictures; what does not fit into one window is cut off. Tasks whose input a
                row lacks are left out of its logits.
            tasks: Names of the tasks; ``None``: all.
            batch_tokens: The most tokens of one pass, padding counted.
            batch_size: The most inputs of one pass; ``None``: any number.

        Raises:
            ValueError: If some are infinite or not a number; the message names input and task.
        """
        answerer = self._answerer(chosen=tasks, batch_tokens=batch_tokens, batch_size=batch_size)
        read = [answerer.read(value, number) for number, value in enumerate(inputs)]
        results: list[dict[str, np.ndarray]] = [{} for _ in read]
        for reading in dict.fromkeys(self._answers[name].reads for name in answerer.names):
            names = [name for name in answerer.names if self._answers[name].reads == reading]
            numbers = [number for number, row in enumerate(read) if can_read(row, reading)]
            rows = answerer.encoder.encode([read[i] for i in numbers], reading=reading)
            windows = [row.windows[0] for row in rows]
            for batch in plan_batches([len(window.ids) for window in windows], batch_tokens, batch_size):
                chosen = [windows[i] for i in batch]
                for name, values in self._run(chosen, names).items():
                    of_rows = split_logits(self._answers[name].level, values, chosen, None)
                    check_finite(name, of_rows, [read[numbers[i]] for i in batch])
                    for i, own in zip(batch, of_rows, strict=True):
                        results[numbers[i]][name] = own
        return results

    def _answerer(self, max_length: int | None = None, stride: int | None = None, **how: Any) -> Answerer:
        pixels = None if self.description.pixels is None else self.description.pixels.pixels
        encoder = RowEncoder(self.tokenizer, pixels, self._checked(max_length, self._max_length), stride)
        return Answerer(self._run, encoder, self.description.tasks, self._answers, **how)

    def _checked(self, max_length: int | None, default: int) -> int:
        longest = self.description.max_length
        if max_length is not None and not self.description.inputs:
            raise UserError("max_length is for texts, and no task reads them. Leave it out.")
        if max_length is not None and not 3 <= max_length <= longest:
            raise UserError(
                f"max_length must lie between 3 and {longest}, the most this model takes; found {max_length}."
            )
        return max_length or default

    def _run(self, windows: Sequence[Window], tasks: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the logits of some windows: see `hf_mtl_light.inference.Runner`."""
        if pixels := [window.pixels for window in windows if isinstance(window, PictureWindow)]:
            assert self.picture_session is not None, "no task reads pictures"
            found = self.picture_session.run(list(tasks), {"pixel_values": np.stack(pixels)})
            return dict(zip(tasks, found, strict=True))
        assert self.session is not None, "no task reads texts"
        assert self.tokenizer is not None, "no task reads texts"
        padded = pad_windows(windows, self.tokenizer)
        found = self.session.run(list(tasks), {name: padded[name] for name in self.description.inputs})
        real = padded["attention_mask"] != 0
        return {
            name: values[real] if self._answers[name].level == "token" else values
            for name, values in zip(tasks, found, strict=True)
        }


def _needed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"OnnxPredictor needs {name}: pip install 'hf-mtl-light[onnx]'") from error
