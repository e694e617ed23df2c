"""Rows to answers, one way for all who ask.

Windows of like length share a pass (`plan_batches`), whose logits a `Runner` gives; the windows of a row are joined
(`merge_windows`) and its logits become answers (`answer_rows`). `Answerer` is all of it; `answer_inputs` and
`options_by_task` are the interface of those who answer for users.
"""

from __future__ import annotations

from hf_mtl_light.inference._answerer import BATCH_TOKENS, LOOK_AHEAD, Answerer, answer_rows
from hf_mtl_light.inference._asking import answer_inputs, options_by_task
from hf_mtl_light.inference._batches import plan_batches
from hf_mtl_light.inference._finite import NotFiniteError, check_finite
from hf_mtl_light.inference._levels import split_logits
from hf_mtl_light.inference._merge import merge_windows
from hf_mtl_light.inference._recent import RecentAnswerers
from hf_mtl_light.inference._runner import Runner, mask_id_for, pad_windows

__all__ = [
    "BATCH_TOKENS",
    "LOOK_AHEAD",
    "Answerer",
    "NotFiniteError",
    "RecentAnswerers",
    "Runner",
    "answer_inputs",
    "answer_rows",
    "check_finite",
    "mask_id_for",
    "merge_windows",
    "options_by_task",
    "pad_windows",
    "plan_batches",
    "split_logits",
]
