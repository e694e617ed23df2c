"""Rows to answers, one way for all who ask: the pipeline, ``hf-mtl predict``, the trainer, and models without torch.

Rows (`as_row`) are tokenised and cut into windows (`WindowEncoder`); windows of like length share a pass
(`plan_batches`), whose logits a `Runner` gives; the windows of a row are joined (`merge_windows`) and its logits become
answers (`answer_rows`, which asks each task's head class). `Answerer` is all of it; only `ModelRunner` needs a torch
model. What needs none lies in `hf_mtl_light`.
"""

from __future__ import annotations

from hf_mtl.inference._collate import InferenceBatch, InferenceCollator, make_collator
from hf_mtl.inference._packed_weights import pack_weights
from hf_mtl.inference._predict import make_answerer, predict
from hf_mtl.inference._probabilities import gives_probabilities, probabilities
from hf_mtl.inference._ray import AnsweredRows, RayAnswerers, answered_rows, ray_predict
from hf_mtl.inference._runner import ModelRunner
from hf_mtl_light.encoding import EncodedRow, Window, WindowEncoder, as_row
from hf_mtl_light.inference import (
    BATCH_TOKENS,
    LOOK_AHEAD,
    Answerer,
    Runner,
    answer_rows,
    merge_windows,
    pad_windows,
    plan_batches,
)

__all__ = [
    "BATCH_TOKENS",
    "LOOK_AHEAD",
    "AnsweredRows",
    "Answerer",
    "EncodedRow",
    "InferenceBatch",
    "InferenceCollator",
    "ModelRunner",
    "RayAnswerers",
    "Runner",
    "Window",
    "WindowEncoder",
    "answer_rows",
    "answered_rows",
    "as_row",
    "gives_probabilities",
    "make_answerer",
    "make_collator",
    "merge_windows",
    "pack_weights",
    "pad_windows",
    "plan_batches",
    "predict",
    "probabilities",
    "ray_predict",
]
