"""Training with adapters of PEFT: put on when the trainer is built, loaded from checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hf_mtl.model import MultiTaskModel, load_adapter_weights, make_adapter_config
from hf_mtl.trainer._checkpoints import CheckpointingTrainer
from hf_mtl_light.errors import UserError

__all__ = ["AdaptingTrainer", "adapted"]


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


class AdaptingTrainer(CheckpointingTrainer):
    """A trainer whose model may have adapters: then checkpoints hold them and the heads."""

    #: What was given as ``peft_config``, checked; ``None``: no adapters are put on.
    _peft_config: Any = None

    def _take_peft_config(self, given: Any) -> None:
        """Note what adapters are asked for: models are made before `__init__` of Transformers' trainer is done."""
        self._peft_config = make_adapter_config(given)

    def call_model_init(self, trial: Any = None) -> Any:
        """Make a model for a trial: see ``transformers.Trainer.call_model_init``."""
        return adapted(super().call_model_init(trial), self._peft_config, self.args)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        plain = self._plain_model
        holds_adapter = (Path(resume_from_checkpoint) / "adapter_config.json").is_file()
        if plain.has_adapters != holds_adapter:
            holds = "an adapter" if holds_adapter else "a whole model"
            raise UserError(
                f"{resume_from_checkpoint!r} holds {holds}, and peft_config asks for "
                f"{'an adapter' if plain.has_adapters else 'none'}. Resume with the peft_config of that training."
            )
        if plain.has_adapters:
            load_adapter_weights(plain, resume_from_checkpoint)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        best, plain = self.state.best_model_checkpoint, self._plain_model
        if plain.has_adapters and best is not None and Path(best).is_dir():
            load_adapter_weights(plain, best)
        else:
            super()._load_best_model()
