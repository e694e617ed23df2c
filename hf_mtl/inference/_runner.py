"""One pass of a model over a batch of windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl._names import listed
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.encoding import PairWindow, PictureWindow, Window
from hf_mtl_light.errors import UserError
from hf_mtl_light.inference import mask_id_for, pad_windows
from hf_mtl_light.numerics import PRECISIONS

__all__ = ["ModelRunner"]


class ModelRunner:
    """Runs a `MultiTaskModel`: an encoder once, of texts without padding, and the heads on its flat states.

    Args:
        model: The model; it is put into evaluation mode.
        tokenizer: Its tokenizer; ``None`` for a model of pictures alone.
        precision: ``"float32"``: in the precision of the model's weights; ``"bfloat16"``: with bfloat16 autocast, which
            is faster on some machines and changes scores in their third digit.

    Raises:
        ValueError: If the precision is neither.
    """

    def __init__(
        self, model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase | None, precision: str = "float32"
    ) -> None:
        if precision not in PRECISIONS:
            raise UserError(f"precision must be one of {listed(PRECISIONS)}, found {precision!r}.")
        self.model = model.eval()
        self.tokenizer: Any = tokenizer
        self.precision = precision
        self.mask_id = mask_id_for(model.task_heads, self.tokenizer)

    def __call__(self, windows: Sequence[Window], tasks: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the logits of some windows: see `Runner`."""
        device = self.model.device
        inputs: dict[str, torch.Tensor]
        if pairs := [window for window in windows if isinstance(window, PairWindow)]:
            inputs = {name: value.to(device) for name, value in self._joint(pairs).items()}
        elif pixels := [window.pixels for window in windows if isinstance(window, PictureWindow)]:
            inputs = {"pixel_values": torch.stack(pixels).to(device)}
        else:
            inputs = {n: torch.from_numpy(v).to(device) for n, v in pad_windows(windows, self.tokenizer).items()}
            if self.mask_id is not None:
                inputs["tokens"] = inputs["input_ids"].eq(self.mask_id)
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"),
        ):
            logits = self.model.flat_logits(tasks=tasks, **inputs)
        return {name: value.float().cpu().numpy() for name, value in logits.items()}

    def _joint(self, windows: Sequence[PairWindow]) -> dict[str, torch.Tensor]:
        """Return the inputs of texts with their pictures."""
        texts = [window for window in windows if window.ids]
        pixels = [window.pixels for window in windows if window.pixels is not None]
        inputs = (
            {name: torch.from_numpy(value) for name, value in pad_windows(texts, self.tokenizer).items()}
            if texts
            else {}
        )
        if pixels:
            inputs["pixel_values"] = torch.stack(pixels)
        of_text, of_picture = iter(range(len(texts))), iter(range(len(pixels)))
        inputs["pairs"] = torch.tensor(
            [[next(of_text) if w.ids else -1, -1 if w.pixels is None else next(of_picture)] for w in windows]
        )
        return inputs
