"""Freezing: which of the encoder, its lower layers and the heads do not learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import by_encoder, owner_of, tied_tasks
from hf_mtl.encoder import num_layers
from hf_mtl.model._task_modules import TaskModules
from hf_mtl_light.errors import UserError

__all__ = ["FreezableModel", "apply_frozen"]

#: What is frozen of a model of which nothing is.
_NOTHING: Mapping[str, Any] = {"encoder": False, "trunk": False, "layers": 0, "heads": []}


class FreezableModel(PreTrainedModel):
    """A model whose encoder, layers or heads can be frozen.

    What is frozen takes no gradient, so an optimizer leaves it bit for bit as it is, weight decay included; and it runs
    without dropout. Nothing is computed backwards through an encoder that is frozen as a whole.
    """

    encoder: PreTrainedModel
    branches: TaskModules
    heads: nn.ModuleDict
    # The whole model has them.
    parameter_depths: Any
    encoders: Any
    image_encoder: Any
    has_adapters: Any
    adapter_weights: Any

    def freeze(
        self,
        *,
        encoder: bool = False,
        trunk: bool = False,
        layers: int | Mapping[str, int] = 0,
        heads: Iterable[str] = (),
    ) -> None:
        """Freeze parts; what was frozen before stays so. Saved models remember it.

        Args:
            encoder: Whether to freeze the whole encoder, its branches among it.
            trunk: Whether to freeze the encoder without its branches, to train a branch alone.
            layers: The encoder's lowest layers to freeze, with the embeddings; 0 for none. A number holds for each
                encoder; a mapping such as ``{"text": 2, "image": 8}`` for those that it names.
            heads: Names of the tasks whose heads are frozen; one that others share is frozen for all of them.

        Raises:
            ValueError: If a task or an encoder is unknown, or an encoder has fewer layers.
        """
        frozen = self.frozen
        state = {
            "encoder": encoder or frozen["encoder"],
            "trunk": trunk or frozen["trunk"],
            "layers": self._most_layers(layers, frozen["layers"]),
            "heads": sorted({*heads, *frozen["heads"]}),
        }
        self._set_frozen(state)

    def unfreeze(self) -> None:
        """Let all parts learn again."""
        self._set_frozen(_NOTHING)

    @property
    def frozen(self) -> dict[str, Any]:
        """What is frozen: ``encoder``, ``trunk``, ``layers`` and ``heads``, as `freeze` takes them."""
        return {**_NOTHING, **(self.config.frozen or {})}

    def _layers_by_encoder(self, layers: int | Mapping[str, int], argument: str = "layers") -> dict[str, int]:
        """Return how many of the lowest layers of each encoder a number or a mapping means.

        Args:
            layers: A number, at most the first encoder's layers, or numbers by what the encoders read.
            argument: What it is called, for messages.

        Raises:
            ValueError: If the model has no such encoder, or one has fewer layers.
        """
        deepest = {kind: num_layers(encoder) for kind, encoder in self.encoders.items()}
        if not isinstance(layers, Mapping):
            most = num_layers(self.encoder)
            if not 0 <= layers <= most:
                each = "" if len(deepest) == 1 else f" of texts; a mapping gives each encoder its own, as {deepest}"
                raise UserError(
                    f"{argument} must lie between 0 and {most}, the layers of the encoder{each}; found {layers}."
                )
            return {kind: min(layers, own) for kind, own in deepest.items()}
        found = by_encoder(argument, layers, deepest, 0)
        for kind, number in found.items():
            if not 0 <= number <= deepest[kind]:
                raise UserError(
                    f"{argument}: {kind!r} must lie between 0 and {deepest[kind]}, the layers of that encoder; found "
                    f"{number}."
                )
        return found

    def _most_layers(self, *layers: int | Mapping[str, int]) -> int | dict[str, int]:
        """Return the most layers of each encoder that one of several arguments means: a number where one does.

        Args:
            layers: Each as `freeze` takes it.
        """
        counted = [self._layers_by_encoder(given) for given in layers]
        found = {kind: max(numbers[kind] for numbers in counted) for kind in counted[0]}
        first = next(iter(found.values()))
        return first if self._layers_by_encoder(first) == found else found

    def _set_frozen(self, state: Mapping[str, Any]) -> None:
        state = {**state, "layers": self._most_layers(state["layers"])}
        names = [task.name for task in self.config.tasks]
        for name in state["heads"]:
            if name not in names:
                raise UserError(
                    f"No task {name!r} to freeze.{nearest(name, names)} Tasks of this model: {listed(names)}."
                )
        # A head that tasks share is frozen for all of them.
        shared = {other for name in state["heads"] for other in tied_tasks(self.config.tasks, name)}
        state = {**state, "heads": sorted(shared)}
        was_any = self.config.frozen is not None
        is_any = any(state.values())
        self.config.frozen = dict(state) if is_any else None
        if is_any or was_any:  # else what a user froze by hand stays so
            apply_frozen(self)

    def train(self, mode: bool = True) -> Any:
        """Set training mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        if mode and getattr(self, "heads", None) is not None:
            encoders = list(self.encoders.values())
            if self.frozen["encoder"] or self.frozen["trunk"]:
                for encoder in encoders:
                    encoder.eval()
            if self.frozen["encoder"]:
                self.branches.eval()
            elif self.frozen["layers"]:
                for module in [module for held in (*encoders, self.branches) for module in held.modules()]:
                    own = list(module.parameters())
                    if own and not any(parameter.requires_grad for parameter in own):
                        module.eval()
            for name in _held_frozen(self):
                self.heads[name].eval()
        return self


def apply_frozen(model: FreezableModel) -> None:
    """Bring a model's parameters to what its config says is frozen."""
    frozen = model.frozen
    layers, first = frozen["layers"], next(iter(model.encoders))
    in_branches = set(model.branches.parameters())
    of_pictures = set() if model.image_encoder is None else set(model.image_encoder.parameters())
    adapters = set(model.adapter_weights())
    for parameter, depth in model.parameter_depths().items():
        kind = "image" if parameter in of_pictures else first
        low = layers.get(kind, 0) if isinstance(layers, Mapping) else layers
        is_low = low > 0 and depth <= low
        is_held = frozen["encoder"] or (frozen["trunk"] and parameter not in in_branches)
        is_under = model.has_adapters and parameter not in adapters
        parameter.requires_grad_(parameter.is_floating_point() and not (is_held or is_low or is_under))
    held = _held_frozen(model)
    for name, head in model.heads.items():
        head.requires_grad_(name not in held)
    model.train(model.training)


def _held_frozen(model: FreezableModel) -> set[str]:
    """Return the tasks that hold a frozen head."""
    return {owner_of(model.config.tasks, name) for name in model.frozen["heads"]}
