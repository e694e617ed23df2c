"""An exported folder as a model of MLflow: ``loader_module="hf_mtl_light.mlflow"`` of its Python function flavour.

::

    mlflow.pyfunc.log_model(
        name="assistant",
        loader_module="hf_mtl_light.mlflow",
        data_path="assistant-onnx",  # written by hf-mtl export --to onnx
        pip_requirements=["hf-mtl-light[onnx]"],
    )

MLflow itself is not imported here: it imports this module where the model is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hf_mtl_light._predictor import OnnxPredictor
from hf_mtl_light.errors import UserError

__all__ = ["LoadedModel"]


class LoadedModel:
    """What MLflow calls.

    Args:
        path: The exported folder.
    """

    def __init__(self, path: str) -> None:
        self._predictor = OnnxPredictor(path)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the answers of rows, one dict by task each.

        Args:
            model_input: A frame of pandas with the columns ``text``, ``text`` and ``text_pair``, or ``tokens``, with or
                without ``choices``; a list of texts or mappings; or one of them.
            params: Arguments of `OnnxPredictor`, such as ``tasks`` and ``top_k``.

        Raises:
            UserError: If a row or an argument is wrong.
        """
        # A frame, as MLflow hands over what a server got; pandas itself need not be installed here.
        rows = _rows_of(model_input.to_dict("records")) if hasattr(model_input, "to_dict") else model_input
        given = rows if isinstance(rows, (list, tuple)) else [rows]
        found: list[dict[str, Any]] = self._predictor(list(given), **(params or {}))
        return found


def _rows_of(records: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """Return the rows of a frame: cells without a value are left out."""
    rows = [{name: _plain(cell) for name, cell in record.items() if not _is_missing(cell)} for record in records]
    for number, row in enumerate(rows):
        if not row:
            raise UserError(f"row {number}: all its cells are empty. Give a text, or drop the row.")
    return rows


def _plain(cell: Any) -> Any:
    """Return a list for an array of numpy, in which MLflow passes lists."""
    return cell.tolist() if hasattr(cell, "tolist") else cell


def _is_missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _load_pyfunc(path: str) -> LoadedModel:
    """Open the folder: the function that MLflow calls."""
    return LoadedModel(path)
