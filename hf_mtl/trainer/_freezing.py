"""What the training arguments hold still, and from which step on it learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from hf_mtl._names import listed
from hf_mtl.data import LabelledDataset
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.errors import UserError

__all__ = ["FreezingCallback"]


class FreezingCallback(TrainerCallback):
    """Freezes what the arguments name, by the number of the step alone, so that resuming equals not stopping.

    The optimizer knows all parameters from the start: one without a gradient it passes over, weight decay and moments
    included. So the order of its parameters is the same before and after, and checkpoints fit both.

    Args:
        model: The model.
        datasets: The training datasets, each with the tasks that it labels.
    """

    def __init__(self, model: MultiTaskModel, datasets: Mapping[str, LabelledDataset]) -> None:
        self._model = model
        self._datasets = datasets
        self._own: dict[str, Any] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Freeze, and check that every dataset trains something."""
        # By names, as the optimizer is made: `model_init` makes a new model for each trial.
        model = kwargs.get("model")
        while model is not None and not isinstance(model, MultiTaskModel):
            model = getattr(model, "module", None)
        self._model = model if model is not None else self._model
        self._own = self._model.frozen
        self._set(args, state)
        if any(parameter.requires_grad for parameter in self._model.parameter_depths()):
            return
        for name, dataset in self._datasets.items():
            learning = [task for task in dataset.tasks if task not in self._model.frozen["heads"]]
            if not learning:
                self._model._set_frozen(self._own)
                raise UserError(
                    f"Dataset {name!r} labels {listed(dataset.tasks)}, and both the encoder and those heads are "
                    "frozen: its steps would train nothing. Leave the dataset out, or unfreeze one of them."
                )

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Unfreeze when it is time."""
        if args.unfreeze_at_step is not None:
            self._set(args, state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave the model frozen as it was given."""
        if self._own is not None:
            self._model._set_frozen(self._own)
            self._own = None

    def _set(self, args: Any, state: Any) -> None:
        assert self._own is not None
        wanted = dict(self._own)
        at = args.unfreeze_at_step
        # Below 1 it is a fraction of all steps.
        if at is None or state.global_step < (at * state.max_steps if at < 1 else at):
            wanted["encoder"] = wanted["encoder"] or args.freeze_encoder
            wanted["trunk"] = wanted["trunk"] or args.freeze_trunk
            wanted["layers"] = self._model._most_layers(wanted["layers"], args.frozen_layers)
            wanted["heads"] = sorted({*wanted["heads"], *(args.frozen_heads or ())})
        if wanted != self._model.frozen:
            self._model._set_frozen(wanted)
