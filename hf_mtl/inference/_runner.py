"""One pass of a model over a batch of windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl._names import listed
from hf_mtl.data import padding_id
from hf_mtl.heads import Answering
from hf_mtl.inference._windows import Window
from hf_mtl.modeling import MultiTaskModel

__all__ = ["PRECISIONS", "ModelRunner", "Runner", "mask_id_for", "pad_windows"]

PRECISIONS = ("float32", "bfloat16")


class Runner(Protocol):
    """What answers need of a model: logits, from torch, from ONNX or from anywhere."""

    def __call__(self, windows: Sequence[Window], tasks: Sequence[str]) -> Mapping[str, np.ndarray]:
        """Return for each task the logits of some windows, float32.

        Args:
            windows: B windows with N tokens together.
            tasks: The tasks to run.

        Returns:
            [B, C], or for tagging [N, C]: the windows' tokens, special ones too, one window after the other; for
            masked tokens [m, V]: the windows' mask tokens alone.
        """
        ...


def pad_windows(windows: Sequence[Window], tokenizer: PreTrainedTokenizerBase) -> dict[str, np.ndarray]:
    """Return ``input_ids``, ``attention_mask`` and, if wanted, ``token_type_ids``, each [B, L] int64, on the right."""
    shape = len(windows), max(len(window.ids) for window in windows)
    ids = np.full(shape, padding_id(tokenizer), dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for row, window in enumerate(windows):
        ids[row, : len(window.ids)] = window.ids
        mask[row, : len(window.ids)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    if windows[0].type_ids is not None:
        types = np.full(shape, tokenizer.pad_token_type_id, dtype=np.int64)
        for row, window in enumerate(windows):
            types[row, : len(window.ids)] = window.type_ids or 0
        inputs["token_type_ids"] = types
    return inputs


def mask_id_for(heads: Mapping[str, Answering], tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the id of the tokens that tasks of masked tokens answer; ``None`` where there is no such task.

    Raises:
        ValueError: If there is one and the tokenizer has no mask token.
    """
    name = next((name for name, head in heads.items() if head.level == "mask"), None)
    if name is None:
        return None
    if tokenizer.mask_token_id is None:
        raise ValueError(
            f"Task {name!r} fills mask tokens, and {type(tokenizer).__name__} has none. Load the encoder's own "
            "tokenizer."
        )
    return int(tokenizer.mask_token_id)


class ModelRunner:
    """Runs a `MultiTaskModel`: the encoder once, without padding, and the heads on its flat states.

    Args:
        model: The model; it is put into evaluation mode.
        tokenizer: Its tokenizer.
        precision: ``"float32"``: in the precision of the model's weights; ``"bfloat16"``: with bfloat16 autocast, which
            is faster on some machines and changes scores in their third digit.

    Raises:
        ValueError: If the precision is neither.
    """

    def __init__(self, model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, precision: str = "float32") -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {listed(PRECISIONS)}, found {precision!r}.")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.precision = precision
        self.mask_id = mask_id_for(model.task_heads, tokenizer)

    def __call__(self, windows: Sequence[Window], tasks: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the logits of some windows: see `Runner`."""
        device = self.model.device
        inputs = {n: torch.from_numpy(v).to(device) for n, v in pad_windows(windows, self.tokenizer).items()}
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"),
        ):
            tokens = None if self.mask_id is None else inputs["input_ids"].eq(self.mask_id)
            logits = self.model.flat_logits(tasks=tasks, tokens=tokens, **inputs)
        return {name: value.float().cpu().numpy() for name, value in logits.items()}
