"""Adapters of peft that somebody put on a model by hand: saving would lose the heads, or the adapters."""

from __future__ import annotations

from typing import Any

from torch import nn

from hf_mtl_light.errors import UserError

__all__ = ["refuse_adapters"]


def refuse_adapters(model: Any) -> None:
    """Refuse a model that holds layers of peft, or is wrapped by it.

    Args:
        model: The model.

    Raises:
        ValueError: If it does; the message says how to merge the adapters.
    """
    modules = model.named_modules() if isinstance(model, nn.Module) else ()
    for name, module in modules:
        if type(module).__module__.split(".")[0] == "peft":
            where = f"its module {name!r} is" if name else "it is"
            raise UserError(
                f"Adapters of peft are not supported: {where} a {type(module).__name__}, and a saved folder would lack "
                "the adapters or the heads. Merge them first: encoder.merge_and_unload() of the PeftModel returns a "
                "plain encoder for MultiTaskModel.from_encoder. To train few weights, pass freeze_encoder=True or "
                "frozen_layers=N."
            )
