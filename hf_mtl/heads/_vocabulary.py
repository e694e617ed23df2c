"""A family's own last layer over its vocabulary, whose matrix is the encoder's input embeddings: used, never held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModelForMaskedLM, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from hf_mtl_light.errors import UserError

__all__ = ["TiedOutput", "embeddings_in_use", "fills_masks", "resize_parameters", "tie_output"]

_in_use: ContextVar[torch.Tensor] = ContextVar("embeddings in use")


@contextmanager
def embeddings_in_use(encoder: PreTrainedModel, dtype: torch.dtype) -> Iterator[None]:
    """Let each `TiedOutput` find an encoder's input embeddings, in this thread.

    Args:
        encoder: The encoder.
        dtype: The precision of the states.
    """
    embeddings: Any = encoder.get_input_embeddings().weight
    token = _in_use.set(embeddings.to(dtype))
    try:
        yield
    finally:
        _in_use.reset(token)


class TiedOutput(nn.Module):
    """Replaces a stock class's linear layer over the vocabulary, with that layer's bias and no matrix.

    So the embeddings are one parameter of one module: in files, optimizers, gradients, counts, and when they are
    frozen or resized.

    Args:
        bias: The layer's bias, [V], where it is the layer's own.
        owner: The module that holds the bias, where it is another.
    """

    def __init__(self, bias: nn.Parameter | None, owner: nn.Module | None) -> None:
        super().__init__()
        # In a tuple: not as a part of this module.
        self._owner = (owner,)
        if owner is None:
            self.register_parameter("bias", bias)

    def __getattr__(self, name: str) -> Any:
        owner = self.__dict__.get("_owner", (None,))[0]
        return owner.bias if name == "bias" and owner is not None else super().__getattr__(name)

    @property
    def weight(self) -> torch.Tensor:
        """The embeddings in use, [V, E]; without any nothing, where a family's rule would initialise a matrix."""
        return _in_use.get(torch.empty(0, 0))

    def reset(self) -> None:
        """Set the bias to zero, as every family does."""
        if self._parameters.get("bias") is not None:
            init.zeros_(self.bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return a logit for each token of the vocabulary: [..., V] for states [..., E]."""
        return functional.linear(states, self.weight, self.bias)


def fills_masks(config: PreTrainedConfig) -> bool:
    """Return whether Transformers has a class that fills masks with a family's encoder, and no decoder in it.

    >>> from transformers import BertConfig, GPT2Config
    >>> fills_masks(BertConfig()), fills_masks(GPT2Config())
    (True, False)
    """
    return type(config) in AutoModelForMaskedLM._model_mapping and not config.is_encoder_decoder


def tie_output(stock: PreTrainedModel) -> None:
    """Put a `TiedOutput` into a stock model whose class ties its last layer to the input embeddings.

    Args:
        stock: A ``...ForMaskedLM`` that still has its encoder; changed in place.

    Raises:
        ValueError: If the class does not tie them.
    """
    tied: dict[str, str] = dict(stock._tied_weights_keys or {})
    output: Any = stock.get_output_embeddings() if tied else None
    name = next((name for name, module in stock.named_modules() if module is output), "")
    if f"{name}.weight" in tied:
        source = tied.get(f"{name}.bias")
        owner = None if source is None else stock.get_submodule(source.rpartition(".")[0])
        parent, _, last = name.rpartition(".")
        setattr(stock.get_submodule(parent), last, TiedOutput(output.bias, owner))
    elif tied or not hasattr(stock, "lm_predictions"):  # newer DeBERTa's, which reads the embeddings by itself
        raise UserError(
            f"{type(stock).__name__} does not tie its last layer to the encoder's input embeddings. Choose an encoder "
            "of another family, such as BERT, RoBERTa or ModernBERT."
        )
    # What is left to tie there is tied.
    stock._tied_weights_keys = {}
    stock.all_tied_weights_keys = {}


@torch.no_grad()
def resize_parameters(module: nn.Module, make: Callable[..., nn.Module], *arguments: Any) -> None:
    """Give a module's parameters the shapes of a new one; what both have is kept, new places are zero.

    Args:
        module: The module; changed in place.
        make: Makes the new one.
        arguments: What it is made of.
    """
    with torch.device("meta"):
        wanted = {name: value.shape for name, value in make(*arguments).named_parameters()}
    for name, old in list(module.named_parameters()):
        if old.shape != wanted[name]:
            new = old.new_zeros(wanted[name])
            kept = tuple(slice(min(sizes)) for sizes in zip(old.shape, new.shape, strict=True))
            new[kept] = old[kept]
            owner, _, last = name.rpartition(".")
            setattr(module.get_submodule(owner), last, nn.Parameter(new, requires_grad=old.requires_grad))
