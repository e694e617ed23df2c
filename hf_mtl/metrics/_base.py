"""What every built-in metric shares: `evaluate`'s interface over a small running state."""

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import evaluate
import numpy.typing as npt

from hf_mtl._contracts import missing_methods
from hf_mtl.metrics._input_kinds import INPUT_KINDS, InputKind
from hf_mtl.metrics._row_statistics import RowStatistic
from hf_mtl_light.errors import UserError, UserTypeError


class _Description(str):
    """Text that can be appended to a missing docstring.

    ``EvaluationModule.__init__`` runs ``method.__doc__ += info.inputs_description``, which fails under
    ``python -OO`` because docstrings are None there (evaluate 0.4.6, module.py). Remove this class when evaluate
    guards that line.
    """

    def __radd__(self, docstring: str | None) -> str:
        """Append to ``docstring``, read as empty where it is None."""
        return (docstring or "") + str(self)


class StreamingMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Score predictions against references from a running state, without files, locks or a network.

    `evaluate` stores every prediction until ``compute``. Here ``add_batch`` folds each batch into sufficient
    statistics at once, so memory depends on the number of classes or types, not on the number of rows (`Spearman` is
    the exception and says so). The calls are `evaluate`'s own: ``add``, ``add_batch``, ``compute``, `evaluate.combine`.

    A subclass writes three methods: ``_reset`` empties the state, ``_update`` folds one batch into it and returns its
    number of rows (and changes nothing if it raises), ``_result`` reads the score off it. It sets ``input_kind`` and
    ``summary_keys``, and where they do not follow from these the other attributes. For an interval beside a score it
    says by `row_statistic` what single rows add to it. That is all that the library asks of a metric.

    Attributes:
        input_kind: What one row is. ``"classes"``: a class id. ``"multilabel"``: C flags of 0 or 1. ``"values"``: a
            number. ``"targets"``: C numbers, see `PerTarget`. ``"tags"``: a list with one tag string per word.
            ``"tokens"``: a list with one id per masked token. ``"answers"``: a text, and as reference a list of right
            ones. ``"probabilities"``: C probabilities of an item.
        greater_is_better: Whether a model selector should look for the maximum.
        summary_keys: Keys of the result that sum it up, in the order of tables; empty: all do.
        headline_keys: Those of them that a table of many tasks shows; empty: all.
        detail_keys: What the result says of single labels, entity types or targets, each as ``<label>_<key>``.

    Args:
        keep_in_memory: Accepted because `evaluate.load` takes it. No value writes a file: the state is always held in
            memory.

    >>> from hf_mtl.metrics import Accuracy
    >>> metric = Accuracy()
    >>> metric.add_batch(predictions=[0, 1], references=[0, 1])
    >>> metric.add_batch(predictions=[2, 2], references=[0, 1])
    >>> metric.compute()
    {'accuracy': 0.5}
    """

    input_kind: ClassVar[InputKind]
    greater_is_better: ClassVar[bool] = True
    summary_keys: ClassVar[tuple[str, ...]] = ()
    headline_keys: ClassVar[tuple[str, ...]] = ()
    detail_keys: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, keep_in_memory: bool = True) -> None:
        if missing := missing_methods(type(self), StreamingMetric, [("_reset",), ("_update",), ("_result",)]):
            raise UserTypeError(
                f"Metric {type(self).__name__} lacks {', '.join(missing)}. Write these methods: a metric sets its "
                "counts to nothing, folds a batch into them, and returns its scores by name."
            )
        super().__init__(keep_in_memory=keep_in_memory)
        # evaluate gives each instance copies of these methods, only to edit their docstrings. The copies would tie
        # the instance into a reference cycle.
        for method in ("add", "add_batch", "compute"):
            self.__dict__.pop(method, None)
        self._rows = 0
        self._reset()

    def __len__(self) -> int:
        """Return the number of rows added since the last ``compute``."""
        return self._rows

    def add(
        self,
        *,
        prediction: npt.ArrayLike | None = None,
        reference: npt.ArrayLike | None = None,
        predictions: npt.ArrayLike | None = None,
        references: npt.ArrayLike | None = None,
    ) -> None:
        """Add one row.

        Args:
            prediction: What the model said of the row.
            reference: What is true of the row.
            predictions: The same as ``prediction``; `evaluate.combine` uses this name for it.
            references: The same as ``reference``.

        Raises:
            ValueError: If the row is incomplete or does not fit ``input_kind``.
        """
        prediction = predictions if prediction is None else prediction
        reference = references if reference is None else reference
        if prediction is None or reference is None:
            raise UserError(self._incomplete("add", prediction=prediction, reference=reference))
        # numpy's ArrayLike does not count a list of ArrayLike as one.
        self.add_batch(predictions=[prediction], references=[reference])  # type: ignore[arg-type]

    def add_batch(self, *, predictions: npt.ArrayLike | None = None, references: npt.ArrayLike | None = None) -> None:
        """Fold a batch into the state.

        Args:
            predictions: One entry per row, as ``input_kind`` says: a list, a numpy array or a CPU tensor.
            references: The same for what is true.

        Raises:
            ValueError: If either is missing, the two differ in length, or a row does not fit ``input_kind``. The
                state is then as it was before the call.
        """
        if predictions is None or references is None:
            raise UserError(self._incomplete("add_batch", predictions=predictions, references=references))
        self._rows += self._update(predictions, references)

    def compute(
        self, *, predictions: npt.ArrayLike | None = None, references: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """Return the scores of all rows added since the last call, and start from no rows.

        Args:
            predictions: A last batch to add first. Optional.
            references: What is true of that batch.

        Returns:
            Plain Python floats by name.

        Raises:
            ValueError: If no rows were added, or the last batch does not fit.
        """
        if predictions is not None or references is not None:
            # add_batch names the one that is missing.
            self.add_batch(predictions=predictions, references=references)
        if self._rows == 0:
            raise UserError(
                f"Metric {self.name!r} has no data: expected at least one row, found 0 since it was made or last "
                "computed. Call add_batch(predictions=..., references=...) first, or pass both to compute."
            )
        try:
            return self._result()
        finally:
            self._rows = 0
            self._reset()

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score, for its interval; ``None`` if it is no function of sums over rows.

        Args:
            key: A key of the result.
            num_classes: C; ``None`` where it is not known.
        """
        return None

    def example_rows(self, labels: Sequence[str]) -> list[Any]:
        """Return rows that serve as predictions and references, so that the result has all its keys.

        Args:
            labels: The task's labels; none where it has no list of them.
        """
        return INPUT_KINDS[self.input_kind].examples(labels)

    def _reset(self) -> None:
        raise NotImplementedError

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        raise NotImplementedError

    def _result(self) -> dict[str, float]:
        raise NotImplementedError

    def _incomplete(self, method: str, **inputs: object) -> str:
        missing = [name for name, value in inputs.items() if value is None]
        return (
            f"Metric {self.name!r}: {method} expects {' and '.join(inputs)}, found no {' and no '.join(missing)}. "
            "Pass both by name."
        )

    def _info(self) -> evaluate.MetricInfo:
        row = INPUT_KINDS[self.input_kind].feature
        return evaluate.MetricInfo(
            description=(type(self).__doc__ or "").partition("\n")[0],
            citation="",
            inputs_description=_Description(""),
            features=datasets.Features({"predictions": row, "references": row}),
        )

    def _build_data_dir(self) -> str:
        # evaluate would create this folder; nothing here is ever written.
        return os.path.join(self._data_dir_root, self.name, self.config_name)
