"""Between a head and the stock Transformers model of its family.

`to_stock` takes a task out of a multi-task model: a plain ``BertForSequenceClassification``, say, that needs no hf_mtl.
`read_stock` and `load_head` go the other way. A head's layers are those of the stock class (see
`hf_mtl.heads`), so both copy weights and compute nothing, but for regression's unit, which `to_stock` folds into the
last layer. `ExchangeableModel` is both, as part of the model.
"""

from __future__ import annotations

from hf_mtl.stock._from_stock import StockTask, load_head, plain_encoder, read_stock, same_encoder, stock_task
from hf_mtl.stock._model import ExchangeableModel
from hf_mtl.stock._to_stock import to_stock

__all__ = [
    "ExchangeableModel",
    "StockTask",
    "load_head",
    "plain_encoder",
    "read_stock",
    "same_encoder",
    "stock_task",
    "to_stock",
]
