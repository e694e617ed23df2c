"""All tasks' answers from one pass of an exported graph."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_mtl_light._entities import STRATEGIES, entities
from hf_mtl_light._rows import EncodedRow, RowTokenizer, read_row
from hf_mtl_light.description import GraphDescription, TaskDescription

__all__ = ["OnnxPredictor"]

Logits = NDArray[np.floating[Any]]


class OnnxPredictor:
    """Answers all tasks of a model that ``hf-mtl export --to onnx`` wrote.

    It needs onnxruntime, tokenizers and numpy, and neither torch nor transformers.

    Args:
        folder: The exported folder.
        threads: Threads of one operator; ``None`` leaves it to onnxruntime.
        providers: onnxruntime's execution providers, in order of preference; ``None`` is the CPU.
        max_length: The most tokens of a row, longer ones are cut; ``None`` is the most the model takes.

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
        self.description = GraphDescription.read(folder)
        longest = self.description.max_length
        if max_length is not None and not 3 <= max_length <= longest:
            raise ValueError(
                f"max_length must lie between 3 and {longest}, the most this model takes; found {max_length}."
            )
        runtime = _needed("onnxruntime")
        _needed("tokenizers")
        options = runtime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        self.session = runtime.InferenceSession(
            str(folder / self.description.model), options, providers=list(providers or ["CPUExecutionProvider"])
        )
        self.tokenizer = RowTokenizer(folder, self.description, max_length or longest)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in order."""
        return [task.name for task in self.description.tasks]

    def __call__(
        self,
        inputs: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]],
        *,
        tasks: Sequence[str] | None = None,
        batch_size: int = 32,
        aggregation_strategy: str = "simple",
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Answer one input, or a list of them.

        Args:
            inputs: A text, a mapping with ``text``, ``text`` and ``text_pair``, or ``tokens`` (words), or a list of
                these.
            tasks: Names of the tasks to answer; ``None`` answers all.
            batch_size: Inputs of one pass. They are sorted by length for it; answers come in the order of the inputs.
            aggregation_strategy: How tokens become entities: ``"simple"``, or word by word with ``"first"``,
                ``"average"`` or ``"max"``; ``"none"`` answers tokens. As in Transformers' token-classification
                pipeline.

        Returns:
            For each input a dict with an entry for each task: ``{"label", "score"}`` for sequence tasks, and for
            sentiment ``scores`` and ``polarity`` besides; a list of those above their thresholds, best first, for
            multi-label ones; a number for regression, or a dict of them by their names; for tagging a list of
            entities with ``entity_group``, ``score``, ``word``, ``start`` and ``end``.

        Raises:
            ValueError: If an input, a task's name or the strategy is wrong.
        """
        if aggregation_strategy not in STRATEGIES:
            raise ValueError(
                f"aggregation_strategy must be one of {', '.join(STRATEGIES)}, found {aggregation_strategy!r}."
            )
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}.")
        wanted = self._wanted(tasks)
        is_one = isinstance(inputs, str | Mapping)
        rows = self._encode([inputs] if is_one else inputs)
        answers: list[dict[str, Any]] = [{} for _ in rows]
        for chosen, logits in self._passes(rows, wanted, batch_size):
            for task in wanted:
                found = self._answers(task, logits[task.name], [rows[i] for i in chosen], aggregation_strategy)
                for number, answer in zip(chosen, found, strict=True):
                    answers[number][task.name] = answer
        return answers[0] if is_one else answers

    def logits(
        self, inputs: Sequence[str | Mapping[str, Any]], *, tasks: Sequence[str] | None = None, batch_size: int = 32
    ) -> list[dict[str, Logits]]:
        """Return each input's logits by task: [C], or [L, C] for tagging, with L the input's own tokens."""
        wanted = self._wanted(tasks)
        rows = self._encode(inputs)
        results: list[dict[str, Logits]] = [{} for _ in rows]
        for chosen, logits in self._passes(rows, wanted, batch_size):
            for task in wanted:
                for number, values in zip(chosen, logits[task.name], strict=True):
                    own = values[: len(rows[number])] if task.level == "token" else values
                    results[number][task.name] = own
        return results

    def _wanted(self, names: Sequence[str] | None) -> list[TaskDescription]:
        for name in names or ():
            if name not in self.tasks:
                close = difflib.get_close_matches(str(name), self.tasks, n=1, cutoff=0.6)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise ValueError(f"{name!r} is no task of this model.{hint} Tasks: {', '.join(map(repr, self.tasks))}.")
        return [task for task in self.description.tasks if names is None or task.name in names]

    def _encode(self, inputs: Any) -> list[EncodedRow]:
        return self.tokenizer.encode([read_row(value, number) for number, value in enumerate(inputs)])

    def _passes(self, rows: Sequence[EncodedRow], tasks: Sequence[TaskDescription], batch_size: int) -> Any:
        """Yield the numbers of each batch's rows, longest rows first, and their logits by task."""
        order = sorted(range(len(rows)), key=lambda number: -len(rows[number]))
        names = [task.name for task in tasks]
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            found = self.session.run(names, self.tokenizer.batch([rows[number] for number in chosen]))
            yield chosen, dict(zip(names, found, strict=True))

    def _answers(
        self, task: TaskDescription, logits: Logits, rows: Sequence[EncodedRow], strategy: str
    ) -> Sequence[Any]:
        if task.function == "none":
            numbers = (logits.astype(np.float64) * np.array(task.std) + np.array(task.mean)).tolist()
            return [dict(zip(task.labels, row, strict=True)) if task.labels else row[0] for row in numbers]
        if task.function == "sigmoid":
            return [_above(task, row) for row in (1 / (1 + np.exp(-logits.astype(np.float64)))).tolist()]
        scores = _softmax(logits)
        if task.level == "sequence":
            return [_best(task, row) for row in scores]
        return [
            entities(self.tokenizer.tokens(row), own, task.labels, strategy, self.tokenizer.join)
            for row, own in zip(rows, scores, strict=True)
        ]


def _softmax(logits: Logits) -> Logits:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def _above(task: TaskDescription, scores: Sequence[float]) -> list[dict[str, Any]]:
    columns = zip(task.labels, scores, task.thresholds, strict=True)
    found = [{"label": label, "score": score} for label, score, threshold in columns if score >= threshold]
    return sorted(found, key=lambda answer: -float(str(answer["score"])))


def _best(task: TaskDescription, scores: Logits) -> dict[str, Any]:
    best = int(scores.argmax())
    answer: dict[str, Any] = {"label": task.labels[best], "score": float(scores[best])}
    if task.type == "sentiment":
        answer["scores"] = dict(zip(task.labels, scores.tolist(), strict=True))
        answer["polarity"] = float(scores @ np.linspace(-1, 1, len(scores)))
    return answer


def _needed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"OnnxPredictor needs {name}: pip install 'hf-mtl[onnx]'") from error
