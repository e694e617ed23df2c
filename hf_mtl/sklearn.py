"""A model of one task or several as an estimator of scikit-learn.

>>> from hf_mtl.sklearn import MultiTaskEstimator
>>> estimator = MultiTaskEstimator(encoder, arguments={"max_steps": 2, "use_cpu": True})  # a Hub id or a folder
>>> estimator.fit(["a good film", "a bad film"] * 4, ["good", "bad"] * 4).classes_.tolist()
['bad', 'good']
>>> estimator.predict_proba(["not a good film"]).shape
(1, 2)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score, f1_score, r2_score
from sklearn.utils.validation import check_is_fitted
from transformers import AutoTokenizer, PrinterCallback, set_seed

from hf_mtl._names import listed
from hf_mtl.configuration import TaskConfig
from hf_mtl.inference import predict, probabilities
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer import MultiTaskTrainer, MultiTaskTrainingArguments
from hf_mtl_light.errors import UserError

__all__ = ["MultiTaskEstimator"]

#: The name of a task that is given as a column without a name.
_ONE = "label"
_NUMBER, _MULTI, _CLASS = "regression", "multi-label-classification", "sequence-classification"


class MultiTaskEstimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Fine-tune an encoder on texts and answer by it, in scikit-learn's words.

    ``X`` is a list of texts, or of pairs of texts. ``y`` is a list with a value for each, or a DataFrame with a column
    for each task. Floats are learned as numbers, lists of names as any number of labels, all else as classes. What the
    trainer, recipes and pipelines do besides (tags, several datasets, missing labels) has no form here.

    Args:
        encoder: A Hub id or a folder.
        num_train_epochs: Passes over the rows.
        learning_rate: The rate of the encoder.
        batch_size: Rows of a step.
        max_length: The most tokens of a text; ``None`` is the most that the encoder takes.
        random_state: The seed.
        arguments: Further `MultiTaskTrainingArguments`, which take precedence.

    Attributes:
        classes_: The classes, sorted: an array; of several tasks a mapping from their names.
        model_: The `MultiTaskModel`.
        tokenizer_: Its tokenizer.
    """

    def __init__(
        self,
        encoder: str = "sentence-transformers/all-MiniLM-L6-v2",
        *,
        num_train_epochs: float = 3.0,
        learning_rate: float = 5e-5,
        batch_size: int = 32,
        max_length: int | None = None,
        random_state: int = 42,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.encoder = encoder
        self.num_train_epochs = num_train_epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_length = max_length
        self.random_state = random_state
        self.arguments = arguments

    def fit(self, X: Sequence[Any], y: Any) -> MultiTaskEstimator:  # noqa: N803  # scikit-learn's name
        """Train a new model.

        Args:
            X: Texts, or pairs of texts.
            y: Values, or a DataFrame with a column for each task.

        Raises:
            ValueError: If texts and values differ in number, or are of no kind that can be learned.
        """
        rows = _texts(X)
        columns = _columns(y)
        for name, values in columns.items():
            if len(values) != len(X):
                raise UserError(f"Task {name!r}: {len(values)} values for {len(X)} texts. Give one for each.")
        self._is_one = not isinstance(y, pd.DataFrame)
        self._classes = {name: _classes(name, values) for name, values in columns.items()}
        tasks = [_task(name, columns[name], classes) for name, classes in self._classes.items()]
        for name, values in columns.items():
            rows[name] = _labels(values, self._classes[name])
        set_seed(self.random_state)
        self.tokenizer_ = AutoTokenizer.from_pretrained(self.encoder)
        model = MultiTaskModel.from_encoder(self.encoder, tasks)
        with TemporaryDirectory() as folder:
            given = {
                "num_train_epochs": self.num_train_epochs,
                "learning_rate": self.learning_rate,
                "per_device_train_batch_size": self.batch_size,
                "max_length": self.max_length,
                "seed": self.random_state,
                "save_strategy": "no",
                "eval_strategy": "no",
                "report_to": "none",
                "disable_tqdm": True,
                **(self.arguments or {}),
            }
            arguments = MultiTaskTrainingArguments(folder, **given)
            data = {"rows": Dataset.from_dict(rows)}
            trainer = MultiTaskTrainer(model, arguments, data, processing_class=self.tokenizer_)
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        self.model_ = model
        self.classes_ = self._classes[_ONE] if self._is_one else self._classes
        return self

    def predict(self, X: Sequence[Any]) -> Any:  # noqa: N803
        """Return what each text is answered: an array; of several tasks a DataFrame.

        Args:
            X: Texts, or pairs of texts.
        """
        check_is_fitted(self, "model_")
        answers = list(predict(self.model_, self.tokenizer_, _rows(X), max_length=self.max_length))
        found: dict[str, Any] = {}
        for task in self.model_.tasks:
            own = [answer[task.name] for answer in answers]
            classes = self._classes[task.name]
            if task.type == _NUMBER:
                found[task.name] = np.array([answer["value"] for answer in own])
            elif task.type == _MULTI:
                named = [sorted(label["label"] for label in answer) for answer in own]
                found[task.name] = np.fromiter(named, dtype=object, count=len(named))
            else:
                places = {label: place for place, label in enumerate(task.labels or ())}
                found[task.name] = classes[[places[answer["label"]] for answer in own]]
        return found[_ONE] if self._is_one else pd.DataFrame(found)

    def predict_proba(self, X: Sequence[Any]) -> Any:  # noqa: N803
        """Return the probability of each class, [n, C], in the order of ``classes_``; of several tasks a mapping.

        Args:
            X: Texts, or pairs of texts.

        Raises:
            ValueError: If no task has probabilities.
        """
        check_is_fitted(self, "model_")
        names = [task.name for task in self.model_.tasks if task.type != _NUMBER]
        if not names:
            raise UserError("Numbers have no probabilities. Call predict.")
        found: list[dict[str, Any]] = list(
            probabilities(self.model_, self.tokenizer_, _rows(X), tasks=names, max_length=self.max_length)
        )
        tables = {
            name: np.array([row[name][0] for row in found if row[name] is not None]).reshape(
                len(found), len(self._classes[name])
            )
            for name in names
        }
        return tables[_ONE] if self._is_one else tables

    def score(self, X: Sequence[Any], y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """Return the accuracy; of numbers R squared, of any number of labels micro F1; the mean of several tasks.

        Args:
            X: Texts, or pairs of texts.
            y: As `fit` takes them.
            sample_weight: A weight for each row.
        """
        scores = self.task_scores(X, y, sample_weight)
        return float(np.mean(list(scores.values())))

    def task_scores(self, X: Sequence[Any], y: Any, sample_weight: Any = None) -> dict[str, float]:  # noqa: N803
        """Return the score of each task by itself; the arguments are those of `score`."""
        found, columns = self.predict(X), _columns(y)
        scores = {}
        for task in self.model_.tasks:
            if task.name not in columns:
                raise UserError(f"y lacks the column {task.name!r}. Tasks: {listed(columns)}.")
            true, predicted = columns[task.name], found if self._is_one else found[task.name]
            if task.type == _MULTI:
                flags = [[[label in row for label in task.labels or ()] for row in side] for side in (true, predicted)]
                scores[task.name] = f1_score(*flags, average="micro", sample_weight=sample_weight, zero_division=0.0)
            else:
                metric = r2_score if task.type == _NUMBER else accuracy_score
                scores[task.name] = metric(true, predicted, sample_weight=sample_weight)
        return {name: float(score) for name, score in scores.items()}

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks of an estimator: texts are taken, arrays of numbers are not."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.target_tags.multi_output = True
        return tags


def _rows(texts: Sequence[Any]) -> list[Any]:
    """Return texts and pairs as `hf_mtl.predict` takes them.

    Raises:
        ValueError: If one is neither.
    """
    if isinstance(texts, str) or getattr(texts, "ndim", 1) != 1:
        raise UserError("X must be a list of texts, or of pairs of texts.")
    rows = [tuple(map(str, text)) if isinstance(text, (list, tuple)) else text for text in texts]
    for number, row in enumerate(rows):
        if not isinstance(row, str) and not (isinstance(row, tuple) and len(row) == 2):
            raise UserError(f"X, row {number}: found {type(row).__name__}, expected a text or a pair of texts.")
    return [str(row) if isinstance(row, str) else row for row in rows]


def _texts(texts: Sequence[Any]) -> dict[str, list[Any]]:
    rows = _rows(texts)
    if not any(isinstance(row, tuple) for row in rows):
        return {"text": rows}
    pairs = [row if isinstance(row, tuple) else (row, None) for row in rows]
    return {"text": [one for one, _ in pairs], "text_pair": [two for _, two in pairs]}


def _columns(y: Any) -> dict[str, list[Any]]:
    if isinstance(y, pd.DataFrame):
        return {str(name): y[name].tolist() for name in y.columns}
    if y is None:
        raise UserError("y is missing: a value for each text, or a DataFrame with a column for each task.")
    values = y.tolist() if hasattr(y, "tolist") else list(y)
    return {_ONE: values}


def _classes(name: str, values: Sequence[Any]) -> Any:
    """Return the sorted classes of a column, as an array; empty for numbers."""
    if any(isinstance(value, (list, tuple, set)) for value in values):
        return np.array(sorted({str(label) for value in values for label in value}))
    if values and all(isinstance(value, float) for value in values):
        return np.array([])
    classes = np.unique(np.array(values))
    if len(classes) < 2:
        raise UserError(f"Task {name!r}: found the class {listed(map(str, classes))} alone. Give at least two.")
    return classes


def _task(name: str, values: Sequence[Any], classes: Any) -> TaskConfig:
    if not len(classes):
        return TaskConfig(name, _NUMBER)
    is_multi = any(isinstance(value, (list, tuple, set)) for value in values)
    return TaskConfig(name, _MULTI if is_multi else _CLASS, labels=[str(label) for label in classes])


def _labels(values: Sequence[Any], classes: Any) -> list[Any]:
    """Return values as the model's labels: classes by their texts."""
    if not len(classes):
        return [float(value) for value in values]
    return [
        [str(label) for label in value] if isinstance(value, (list, tuple, set)) else str(value) for value in values
    ]
