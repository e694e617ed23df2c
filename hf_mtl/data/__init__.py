"""Rows to batches.

Columns are tasks: a dataset has its input (``text``, ``text`` and ``text_pair``, or ``tokens``, and with them maybe
``choices``; or ``image``) and a column for each task it labels, named after the task. `LabelledDataset` reads rows of
one dataset, `DatasetMixture` of several, `MixtureBatchSampler` says which rows make up a batch, `MultiTaskCollator`
tokenises and pads them; `read_picture` brings pictures to one form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hf_mtl._later import later
from hf_mtl.data._processors import changed_pixels, check_processors, pixels_of
from hf_mtl.data._vocabulary import check_vocabulary, vocabulary_mark
from hf_mtl.data.batch_sampler import DrawnBatch, MixtureBatchSampler
from hf_mtl.data.collator import EncodedBatch, MultiTaskCollator, longest_input
from hf_mtl_light.encoding import (
    Row,
    check_tokenizer,
    encode_rows,
    padding_id,
    picture_of,
    raw_tokens_of,
    word_map_of,
)
from hf_mtl_light.pictures import PictureError, path_of_url, read_picture

if TYPE_CHECKING:
    from hf_mtl.data._remarks import MOST, remarks_on, remarks_on_texts
    from hf_mtl.data._task_rows import check_tasks_have_rows
    from hf_mtl.data.checks import MOST_CHARACTERS, LabelCounts, check_rows
    from hf_mtl.data.columns import DataError, LabelledDataset
    from hf_mtl.data.content import content_hashes
    from hf_mtl.data.labels import LabelReader, class_label
    from hf_mtl.data.look import SAMPLED_ROWS, DataLook, look_at, look_at_texts
    from hf_mtl.data.mixture import DatasetMixture
    from hf_mtl.data.predictions import Prediction, StoredPredictions, predictions_metadata, write_predictions
    from hf_mtl.data.sources import MOST_COLUMNS, SPLIT_NAMES, as_datasets
    from hf_mtl.data.streams import sample_of_stream, stream_of, written_stream
    from hf_mtl.data.tasks import InferenceError, infer_task, infer_tasks, infer_type, with_shared_labels

__all__ = [
    "MOST",
    "MOST_CHARACTERS",
    "MOST_COLUMNS",
    "SAMPLED_ROWS",
    "SPLIT_NAMES",
    "DataError",
    "DataLook",
    "DatasetMixture",
    "DrawnBatch",
    "EncodedBatch",
    "InferenceError",
    "LabelCounts",
    "LabelReader",
    "LabelledDataset",
    "MixtureBatchSampler",
    "MultiTaskCollator",
    "PictureError",
    "Prediction",
    "Row",
    "StoredPredictions",
    "as_datasets",
    "changed_pixels",
    "check_processors",
    "check_rows",
    "check_tasks_have_rows",
    "check_tokenizer",
    "check_vocabulary",
    "class_label",
    "content_hashes",
    "encode_rows",
    "infer_task",
    "infer_tasks",
    "infer_type",
    "longest_input",
    "look_at",
    "look_at_texts",
    "padding_id",
    "path_of_url",
    "picture_of",
    "pixels_of",
    "predictions_metadata",
    "raw_tokens_of",
    "read_picture",
    "remarks_on",
    "remarks_on_texts",
    "sample_of_stream",
    "stream_of",
    "vocabulary_mark",
    "with_shared_labels",
    "word_map_of",
    "write_predictions",
    "written_stream",
]

#: What reads `datasets`, and where it lies: answering needs neither it nor pandas.
_LATER = {
    "MOST": "_remarks",
    "MOST_CHARACTERS": "checks",
    "MOST_COLUMNS": "sources",
    "SAMPLED_ROWS": "look",
    "SPLIT_NAMES": "sources",
    "DataError": "columns",
    "DataLook": "look",
    "DatasetMixture": "mixture",
    "InferenceError": "tasks",
    "LabelCounts": "checks",
    "LabelReader": "labels",
    "LabelledDataset": "columns",
    "Prediction": "predictions",
    "StoredPredictions": "predictions",
    "as_datasets": "sources",
    "check_rows": "checks",
    "check_tasks_have_rows": "_task_rows",
    "class_label": "labels",
    "content_hashes": "content",
    "infer_task": "tasks",
    "infer_tasks": "tasks",
    "infer_type": "tasks",
    "look_at": "look",
    "look_at_texts": "look",
    "predictions_metadata": "predictions",
    "remarks_on": "_remarks",
    "remarks_on_texts": "_remarks",
    "sample_of_stream": "streams",
    "stream_of": "streams",
    "with_shared_labels": "tasks",
    "write_predictions": "predictions",
    "written_stream": "streams",
}


def __getattr__(name: str) -> Any:
    return later(name, __name__, _LATER)
