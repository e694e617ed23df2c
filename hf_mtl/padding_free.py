"""The half of the model that runs the encoder: over all tokens end to end, or padded where that cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from transformers import PreTrainedModel
from transformers.utils import logging

from hf_mtl.dropout import set_fast_dropout
from hf_mtl.states import FlatStates, PaddedStates, RowLayout, States
from hf_mtl.unpadding import can_unpad, encode_flat, is_ready, make_ready

__all__ = ["PaddingFreeModel"]

logger = logging.get_logger(__name__)


class PaddingFreeModel(PreTrainedModel):
    """A model on an encoder, ``self.encoder``, whose states it takes without padding.

    A subclass sets `unpad` once it has its encoder.
    """

    encoder: PreTrainedModel
    _unpad: bool | Literal["auto"]
    _fast_dropout = False

    @property
    def unpad(self) -> bool | Literal["auto"]:
        """Whether the encoder computes the tokens alone and not the padding.

        ``"auto"`` does where the family allows it; ``True`` says so and is refused elsewhere. Padded runs give the same
        answers: with ``output_attentions``, while exporting, and with the ``eager`` attention implementation, which
        knows nothing but padded attention.
        """
        return self._unpad

    @unpad.setter
    def unpad(self, value: bool | Literal["auto"]) -> None:
        if value not in (True, False, "auto"):
            raise ValueError(f"unpad must be True, False or 'auto', found {value!r}.")
        if value and not can_unpad(self.encoder):
            why = (
                f"Encoders of the family {self.encoder.config.model_type!r} are not known to give the same states "
                "without padding: their layers look across tokens elsewhere than in attention, or their attention "
                "does not go through Transformers' attention interface."
            )
            if value is True:
                raise ValueError(f"{why} Leave unpad at 'auto' to run them padded.")
            logger.info(f"{why} Running padded.")
        make_ready(self.encoder, value is not False and can_unpad(self.encoder))
        if value is True and not is_ready(self.encoder):
            raise ValueError(
                f"The attention implementation {self.encoder.config._attn_implementation!r} knows nothing but padded "
                "texts. Choose 'sdpa', or leave unpad at 'auto' to run them padded."
            )
        self._unpad = value

    @property
    def fast_dropout(self) -> bool:
        """Whether dropout draws its random numbers by `hf_mtl.dropout.fast_dropout` on a CPU."""
        return self._fast_dropout

    @fast_dropout.setter
    def fast_dropout(self, value: bool) -> None:
        self._fast_dropout = value
        set_fast_dropout(self, value)

    def set_attn_implementation(self, *args: Any, **kwargs: Any) -> None:
        """Choose another attention implementation: see ``transformers.PreTrainedModel.set_attn_implementation``."""
        super().set_attn_implementation(*args, **kwargs)
        self.unpad = self._unpad

    def _runs_flat(self, kwargs: Mapping[str, Any]) -> bool:
        return (
            self._unpad is not False
            and can_unpad(self.encoder)
            and is_ready(self.encoder)
            and not kwargs.get("output_attentions", self.encoder.config.output_attentions)
            # A tensor that this class does not know may need the padded shape.
            and not any(isinstance(value, torch.Tensor) for value in kwargs.values())
            and not torch.compiler.is_exporting()
            and not torch.jit.is_tracing()  # type: ignore[attr-defined]  # torch forgot to export it
        )

    def encode(
        self, inputs: dict[str, torch.Tensor], attention_mask: torch.Tensor | None, **kwargs: Any
    ) -> tuple[States, Any]:
        """Run the encoder.

        Args:
            inputs: ``input_ids`` [B, L] or ``inputs_embeds`` [B, L, H], and any of ``token_type_ids`` and
                ``position_ids`` [B, L].
            attention_mask: [B, L], nonzero at real tokens; ``None``: all are real.
            kwargs: Passed to the encoder.

        Returns:
            The states, without padding where the encoder ran so, and all that the encoder returned, padded.

        Raises:
            ValueError: If the mask has another shape.
        """
        mask = _mask(inputs, attention_mask)
        if not self._runs_flat(kwargs):
            encoded = self._encode_padded(inputs, attention_mask, **kwargs)
            return PaddedStates(encoded.last_hidden_state.flatten(0, 1), mask), encoded
        layout = RowLayout.from_mask(mask)
        encoded = encode_flat(self.encoder, layout, inputs, self._fast_dropout, **kwargs)
        count = len(layout.index)
        flat = FlatStates(encoded.last_hidden_state[0, :count], layout)
        encoded.last_hidden_state = layout.pad(flat.values)
        if encoded.get("hidden_states") is not None:
            encoded.hidden_states = tuple(layout.pad(states[0, :count]) for states in encoded.hidden_states)
        return flat, encoded

    def encode_states(self, inputs: dict[str, torch.Tensor], attention_mask: torch.Tensor | None) -> FlatStates:
        """Run the encoder for its last states alone, which stay flat: see `encode`."""
        layout = RowLayout.from_mask(_mask(inputs, attention_mask))
        # A text alone: there is no padding to spare, nor a mask to look at.
        is_whole = layout.rows == 1 and len(layout.index) == layout.length
        if is_whole or not self._runs_flat({}):
            encoded = self._encode_padded(inputs, None if is_whole else attention_mask)
            return FlatStates(layout.flatten(encoded.last_hidden_state), layout)
        states = encode_flat(self.encoder, layout, inputs, self._fast_dropout).last_hidden_state
        return FlatStates(states[0, : len(layout.index)], layout)

    def _encode_padded(
        self, inputs: dict[str, torch.Tensor], attention_mask: torch.Tensor | None, **kwargs: Any
    ) -> Any:
        if attention_mask is not None:
            inputs = {**inputs, "attention_mask": attention_mask}
        return self.encoder(**inputs, return_dict=True, **kwargs)


def _mask(inputs: dict[str, torch.Tensor], attention_mask: torch.Tensor | None) -> torch.Tensor:
    tokens = inputs["input_ids"] if "input_ids" in inputs else inputs["inputs_embeds"]
    mask = torch.ones(tokens.shape[:2], device=tokens.device) if attention_mask is None else attention_mask
    if mask.dim() != 2:
        raise ValueError(f"attention_mask must be [B, L], found the shape {tuple(mask.shape)}.")
    return mask
