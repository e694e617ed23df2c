"""Running the encoder: over all tokens end to end, or padded where that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from transformers import PreTrainedModel
from transformers.utils import logging

from hf_mtl.encoder import (
    FlatLayout,
    FlatStates,
    PaddedStates,
    States,
    is_decoder_only,
    learned_positions,
    set_fast_dropout,
    state_size,
)
from hf_mtl.encoder.unpadding import (
    can_end_in_first_tokens,
    can_unpad,
    encode_flat,
    first_tokens_alone,
    is_ready,
    make_ready,
)
from hf_mtl.heads import Head
from hf_mtl_light.errors import UserError, UserTypeError

__all__ = ["PaddingFreeModel"]

logger = logging.get_logger(__name__)

_WANTED = "An encoder must return last_hidden_state [B, L, H] with H = config.hidden_size, a state for each token."


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
        supports padded attention only.
        """
        return self._unpad

    @unpad.setter
    def unpad(self, value: bool | Literal["auto"]) -> None:
        if value not in (True, False, "auto"):
            raise UserError(f"unpad must be True, False or 'auto', found {value!r}.")
        if value and not can_unpad(self.encoder):
            why = (
                f"Encoders of the family {self.encoder.config.model_type!r} are not known to give the same states "
                "without padding: their layers look across tokens elsewhere than in attention, or their attention "
                "does not go through Transformers' attention interface."
            )
            if value is True:
                raise UserError(f"{why} Leave unpad at 'auto' to run them padded.")
            logger.info(f"{why} Running padded.")
        make_ready(self.encoder, value is not False and can_unpad(self.encoder))
        if value is True and not is_ready(self.encoder):
            raise UserError(
                f"The attention implementation {self.encoder.config._attn_implementation!r} supports padded "
                "inputs only. Choose 'sdpa', or leave unpad at 'auto' to run them padded."
            )
        self._unpad = value

    @property
    def fast_dropout(self) -> bool:
        """Whether dropout draws its random numbers by `hf_mtl.encoder.fast_dropout` on a CPU."""
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
            and not _holds_tensor(kwargs)
            and not _is_recorded()
        )

    @cached_property
    def _learned_positions(self) -> int | None:
        return learned_positions(self.encoder)

    def _check_length(self, length: int) -> None:
        longest = self._learned_positions
        if longest is not None and length > longest:
            raise UserError(
                f"A batch of {length} tokens a text: encoders of the family {self.encoder.config.model_type!r} like "
                f"this one have positions for {longest}. Truncate: tokenizer(..., truncation=True, "
                f"max_length={longest})."
            )

    def encode(
        self,
        inputs: dict[str, torch.Tensor],
        attention_mask: torch.Tensor | None,
        layers: bool = False,
        encoder: PreTrainedModel | None = None,
        **kwargs: Any,
    ) -> tuple[States, Sequence[torch.Tensor], Any]:
        """Run the encoder.

        Args:
            inputs: ``input_ids`` [B, L] or ``inputs_embeds`` [B, L, H], and any of ``token_type_ids`` and
                ``position_ids`` [B, L].
            attention_mask: [B, L], nonzero at real tokens; ``None``: all are real.
            layers: Whether the states of the embeddings and of each layer are wanted, too.
            encoder: The encoder with the layers of a branch; ``None``: with its own.
            kwargs: Passed to the encoder.

        Returns:
            The last layer's states, without padding where the encoder ran so; those of the embeddings and of each
            layer, each [N, H] as the last, or nothing; and all that the encoder returned, padded.

        Raises:
            ValueError: If the mask has another shape, or the texts are longer than the encoder has positions.
            TypeError: If the encoder returns no state a token.
        """
        encoder = self.encoder if encoder is None else encoder
        mask = _mask(inputs, attention_mask)
        # As any model of Transformers: what a call leaves out is as the config says, the model's or its encoder's.
        for name in ("output_hidden_states", "output_attentions"):
            if kwargs.get(name) is None:
                kwargs.pop(name, None)
                for config in (self.config, self.encoder.config):
                    if value := getattr(config, name, False):
                        kwargs[name] = value
        asked = kwargs.get("output_hidden_states", False)
        kwargs = self._arguments(inputs, layers, kwargs)
        states: States
        if self._runs_flat(kwargs):
            layout = FlatLayout.from_mask(mask)
            states, of_layers, encoded = self._encode_flat(encoder, inputs, layout, layers, kwargs)
            encoded.last_hidden_state = layout.pad(states.values)
            if asked:
                count = len(layout.index)
                # Where single layers are asked for, there is nothing of the others.
                encoded.hidden_states = tuple(
                    None if values is None else layout.pad(values[0, :count]) for values in encoded.hidden_states
                )
        else:
            encoded = self._encode_padded(encoder, inputs, attention_mask, layers, kwargs)
            states = PaddedStates(encoded.last_hidden_state.flatten(0, 1), mask)
            of_layers = [values.flatten(0, 1) for values in encoded.hidden_states] if layers else []
        if layers and not asked:
            encoded.hidden_states = None  # of a ModelOutput the attribute, not the item
        elif layers and asked is not True:
            # Some layers by number, as Transformers' models take them: the others are None.
            count = len(encoded.hidden_states)
            chosen = {number % count for number in ([asked] if isinstance(asked, int) else asked)}
            encoded.hidden_states = tuple(v if i in chosen else None for i, v in enumerate(encoded.hidden_states))
        return states, of_layers, encoded

    def encode_states(
        self,
        inputs: dict[str, torch.Tensor],
        attention_mask: torch.Tensor | None,
        layers: bool = False,
        first_tokens: bool = False,
        encoder: PreTrainedModel | None = None,
    ) -> tuple[FlatStates, Sequence[torch.Tensor]]:
        """Run the encoder for its states alone, which stay flat: see `encode`.

        Args:
            inputs: As for `encode`.
            attention_mask: [B, L], nonzero at real tokens; ``None``: all are real.
            layers: Whether the states of the embeddings and of each layer are wanted, too.
            first_tokens: Whether each text's first token is all that is wanted: where the encoder can do that, the
                states are those of B texts of one token.
            encoder: The encoder with the layers of a branch; ``None``: with its own.
        """
        encoder = self.encoder if encoder is None else encoder
        layout = FlatLayout.from_mask(_mask(inputs, attention_mask))
        kwargs = self._arguments(inputs, layers, {})
        # A text alone: there is no padding to spare, nor a mask to look at.
        is_whole = layout.rows == 1 and len(layout.index) == layout.length
        if not is_whole and self._runs_flat(kwargs):
            if first_tokens and not layers and can_end_in_first_tokens(self.encoder):
                with first_tokens_alone(encoder, layout.offsets[:-1]):
                    encoded = encode_flat(encoder, layout, inputs, self._fast_dropout, **kwargs)
                self._check_states(encoded, (1, layout.rows), layers)
                return FlatStates(encoded.last_hidden_state[0], FlatLayout.of_single_tokens(layout.offsets)), []
            flat, of_layers, _ = self._encode_flat(encoder, inputs, layout, layers, kwargs)
            return flat, of_layers
        encoded = self._encode_padded(encoder, inputs, None if is_whole else attention_mask, layers, kwargs)
        of_layers = [layout.flatten(values) for values in encoded.hidden_states] if layers else []
        return FlatStates(layout.flatten(encoded.last_hidden_state), layout), of_layers

    def can_leave_tokens_out(self, heads: Iterable[Head]) -> bool:
        """Return whether a pass for these heads, with a backward pass or without, can compute first tokens alone."""
        return (
            all(head.reads_first_tokens for head in heads)
            and can_end_in_first_tokens(self.encoder)
            and self._runs_flat({})
            and not torch.compiler.is_compiling()
            # Layers that run again for the backward pass would compute all tokens.
            and not any(getattr(module, "gradient_checkpointing", False) for module in self.encoder.modules())
        )

    def _arguments(self, inputs: dict[str, torch.Tensor], layers: bool, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Check the length of a batch and return what the encoder is called with besides."""
        if "position_ids" not in inputs and not _is_recorded():
            self._check_length(_tokens(inputs).shape[1])
        if is_decoder_only(self.encoder.config):
            kwargs = {"use_cache": False, **kwargs}  # no text is continued
        return {**kwargs, "output_hidden_states": True} if layers else kwargs

    def _encode_flat(
        self,
        encoder: PreTrainedModel,
        inputs: dict[str, torch.Tensor],
        layout: FlatLayout,
        layers: bool,
        kwargs: dict[str, Any],
    ) -> tuple[FlatStates, Sequence[torch.Tensor], Any]:
        encoded = encode_flat(encoder, layout, inputs, self._fast_dropout, **kwargs)
        self._check_states(encoded, encoded.last_hidden_state.shape[:2], layers)
        count = len(layout.index)
        of_layers = [values[0, :count] for values in encoded.hidden_states] if layers else []
        return FlatStates(encoded.last_hidden_state[0, :count], layout), of_layers, encoded

    def _encode_padded(
        self,
        encoder: PreTrainedModel,
        inputs: dict[str, torch.Tensor],
        attention_mask: torch.Tensor | None,
        layers: bool,
        kwargs: dict[str, Any],
    ) -> Any:
        shape = _tokens(inputs).shape[:2]
        if attention_mask is not None:
            inputs = {**inputs, "attention_mask": attention_mask}
        encoded = encoder(**inputs, return_dict=True, **kwargs)
        if not _is_recorded():
            self._check_states(encoded, shape, layers)
        return encoded

    def _check_states(self, encoded: Any, shape: tuple[int, ...], layers: bool) -> None:
        """Check that an encoder returned what heads read: families that were never tried may do otherwise."""
        name = type(self.encoder).__name__
        states = getattr(encoded, "last_hidden_state", None)
        if states is None:
            raise UserTypeError(f"{name} returned no last_hidden_state; found {type(encoded).__name__}. {_WANTED}")
        wanted = (*shape, state_size(self.encoder.config))
        if tuple(states.shape) != wanted:
            raise UserTypeError(
                f"{name} returned a last_hidden_state of the shape {tuple(states.shape)} where {wanted} was expected. "
                f"{_WANTED}"
            )
        if layers:
            count = int(self.encoder.config.num_hidden_layers) + 1
            found = getattr(encoded, "hidden_states", None)
            if found is None or len(found) != count:
                raise UserTypeError(
                    f"{name} returned {'no' if found is None else len(found)} hidden_states where {count} were "
                    "expected: the embeddings and each layer. Leave out the tasks' field layers to read the last."
                )


def _holds_tensor(value: Any) -> bool:
    """Return whether a value is a tensor, or a list, tuple or mapping that holds one."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return any(map(_holds_tensor, value))
    return isinstance(value, torch.Tensor)


def _tokens(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return inputs["input_ids"] if "input_ids" in inputs else inputs["inputs_embeds"]


def _mask(inputs: dict[str, torch.Tensor], attention_mask: torch.Tensor | None) -> torch.Tensor:
    tokens = _tokens(inputs)
    mask = torch.ones(tokens.shape[:2], device=tokens.device) if attention_mask is None else attention_mask
    if mask.dim() != 2:
        raise UserError(f"attention_mask must be [B, L], found the shape {tuple(mask.shape)}.")
    return mask


def _is_recorded() -> bool:
    """Return whether a pass is traced or exported, where a length is no number yet."""
    return torch.compiler.is_exporting() or torch.jit.is_tracing()  # type: ignore[attr-defined]  # torch forgot to export it
