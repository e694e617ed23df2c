"""Training with adapters of PEFT: put on when the trainer is built, loaded from checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hf_mtl.model import MultiTaskModel, load_adapter_weights
from hf_mtl_light.errors import UserError

__all__ = ["adapted", "check_kind", "loaded_adapters"]


def adapted(model: Any, peft_config: Any, args: Any) -> Any:
    """Return a model with the adapters that are asked for, drawn from the seed alone.

    Args:
        model: The model, which gets them; ``None`` is returned as it is.
        peft_config: What the trainer was given.
        args: The training arguments.

    Raises:
        ValueError: If the model cannot have them, or the encoder is to be frozen whole.
    """
    if peft_config is not None and isinstance(model, MultiTaskModel):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.seed)
            model.add_adapter(peft_config)
    if isinstance(model, MultiTaskModel) and model.has_adapters:
        if args.fsdp or args.deepspeed:
            raise UserError(
                "Adapters are not supported with FSDP or DeepSpeed, which split the weights that are saved. Leave "
                "peft_config or them out."
            )
        if args.freeze_encoder or model.frozen["encoder"]:
            raise UserError(
                "freeze_encoder would freeze the adapters with the encoder, so that they learn nothing. With adapters "
                "the encoder's own weights are frozen anyway: leave freeze_encoder out, or the adapters."
            )
        if str(Path(args.output_dir or "").resolve()) == str(Path(model.adapter_base.name).resolve()):
            raise UserError(
                f"output_dir={args.output_dir!r} holds the encoder that is adapted, which the saved adapter needs. "
                "Name another folder."
            )
    return model


def loaded_adapters(model: MultiTaskModel, checkpoint: str | None) -> bool:
    """Load the adapters and heads of a checkpoint, on the encoder that is there.

    Args:
        model: The model.
        checkpoint: The checkpoint's folder; ``None``: there is none.

    Returns:
        Whether they were loaded; not where the model has no adapters.
    """
    if not model.has_adapters or checkpoint is None or not Path(checkpoint).is_dir():
        return False
    load_adapter_weights(model, checkpoint)
    return True


def check_kind(model: MultiTaskModel, checkpoint: str) -> None:
    """Check that a checkpoint holds adapters if the model has some, and a whole model if not.

    Raises:
        ValueError: If not.
    """
    holds_adapter = (Path(checkpoint) / "adapter_config.json").is_file()
    if model.has_adapters != holds_adapter:
        holds = "an adapter" if holds_adapter else "a whole model"
        raise UserError(
            f"{checkpoint!r} holds {holds}, and peft_config asks for "
            f"{'an adapter' if model.has_adapters else 'none'}. Resume with the peft_config of that training."
        )
