"""Rows to batches.

Columns are tasks: a dataset has its input (``text``, ``text`` and ``text_pair``, or ``tokens``, and with them maybe
``choices``) and a column for each task it labels, named after the task. `TaskColumns` reads rows of one dataset,
`TaskMixture` of several, `TaskBatchSampler` says which rows make up a batch, `MultiTaskCollator` tokenises and pads
them.
"""

from __future__ import annotations

from hf_mtl.data._encodings import check_tokenizer, encode_rows, padding_id, pieces_of, word_map_of
from hf_mtl.data._readings import ContextRow, Part, can_read, choice_words, encode_choices, encode_contexts
from hf_mtl.data.batch_sampler import BATCHINGS, DrawnRows, TaskBatchSampler
from hf_mtl.data.collator import EncodedBatch, MultiTaskCollator, longest_input
from hf_mtl.data.columns import Row, TaskColumns, class_label
from hf_mtl.data.mixture import TaskMixture
from hf_mtl.data.sources import SPLIT_NAMES, as_datasets

__all__ = [
    "BATCHINGS",
    "SPLIT_NAMES",
    "ContextRow",
    "DrawnRows",
    "EncodedBatch",
    "MultiTaskCollator",
    "Part",
    "Row",
    "TaskBatchSampler",
    "TaskColumns",
    "TaskMixture",
    "as_datasets",
    "can_read",
    "check_tokenizer",
    "choice_words",
    "class_label",
    "encode_choices",
    "encode_contexts",
    "encode_rows",
    "longest_input",
    "padding_id",
    "pieces_of",
    "word_map_of",
]
