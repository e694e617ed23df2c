"""Branches: the top layers of an encoder once more, for one family of tasks; the trunk below them is everybody's.

A branch is a list of k layers that take the place of the encoder's own top k. `with_top` gives the encoder with a
branch's layers in that place: an object of the family's own class that shares every other module, so whatever runs an
encoder runs a branch. `TrunkPasses` has several of them run one batch with a single pass through their common layers.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from hf_mtl.compatibility import install_recorders
from hf_mtl_light.errors import UserError

__all__ = ["TrunkPasses", "copy_top", "layer_list", "num_layers", "with_top"]


def num_layers(encoder: PreTrainedModel) -> int:
    """Return L, the number of an encoder's layers; 0 where its config names none."""
    return int(getattr(encoder.config, "num_hidden_layers", 0))


def layer_list(encoder: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Return an encoder's list of layers and its name.

    Raises:
        ValueError: If the layers are no list: ALBERT's share their parameters.
    """
    count = num_layers(encoder)
    lists = [
        (name, module)
        for name, module in encoder.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    if not lists:
        raise UserError(
            f"Encoders of the family {encoder.config.model_type!r} cannot have branches: their {count} layers are not "
            "a list of modules. Leave branches out."
        )
    # T5 has lists within each layer, too.
    return min(lists, key=lambda found: found[0].count("."))


def copy_top(encoder: PreTrainedModel, count: int) -> nn.ModuleList:
    """Return copies of an encoder's top layers, with the values that they have now.

    Args:
        encoder: The encoder.
        count: k, the number of layers.

    Raises:
        ValueError: If the encoder has fewer layers, or they are no list.
    """
    _, layers = layer_list(encoder)
    if not 0 < count <= len(layers):
        raise UserError(f"A branch of {count} layers: the encoder has {len(layers)}. Choose from 1 to {len(layers)}.")
    # Transformers hooks up what records hidden states once for each model object; the copies then have the hooks, too.
    install_recorders(encoder)
    # Layers read their attention implementation from the encoder's config, which may change: it is not copied.
    configs = {id(config): config for module in encoder.modules() if (config := getattr(module, "config", None))}
    return nn.ModuleList(copy.deepcopy(layer, dict(configs)) for layer in layers[-count:])


def with_top(encoder: PreTrainedModel, top: Sequence[nn.Module]) -> PreTrainedModel:
    """Return an encoder with other top layers; all its other modules are those of the given one.

    It costs microseconds: make one whenever it is needed. Only the modules on the way to the layers are new objects,
    which take the state of the given ones (training or not) at this moment.

    Args:
        encoder: The encoder.
        top: The top k layers, k from 0.
    """
    path, layers = layer_list(encoder)
    return _with_layers(encoder, path, [*layers[: len(layers) - len(top)], *top])


def _with_layers(encoder: PreTrainedModel, path: str, layers: Sequence[nn.Module]) -> PreTrainedModel:
    *parents, last = path.split(".")
    found: PreTrainedModel = _shallow(encoder)
    holder: nn.Module = found
    for name in parents:
        child = _shallow(holder.get_submodule(name))
        holder._modules[name] = child
        holder = child
    held = nn.ModuleList(layers)
    held.training = encoder.training
    holder._modules[last] = held
    return found


def _shallow(module: Any) -> Any:
    """Return a new object with a module's parameters and submodules."""
    twin = copy.copy(module)
    twin.__dict__["_modules"] = module._modules.copy()
    return twin


class TrunkPasses:
    """Several branches over one batch: the first pass computes the layers that they have in common.

    Args:
        encoder: The encoder.
        reuse: Whether to reuse them. What records the hidden states of all layers must see them run.
    """

    def __init__(self, encoder: PreTrainedModel, reuse: bool = True) -> None:
        self._encoder = encoder
        self._outputs: dict[int, Any] | None = {} if reuse else None

    def through(self, top: Sequence[nn.Module]) -> PreTrainedModel:
        """Return the encoder with a branch's layers on top, for one pass.

        Args:
            top: The branch's layers; empty for the encoder's own.
        """
        if self._outputs is None:
            return with_top(self._encoder, top)
        path, layers = layer_list(self._encoder)
        common = len(layers) - len(top)
        once = [_Once(layer, number, self._outputs) for number, layer in enumerate(layers[:common])]
        return _with_layers(self._encoder, path, [*once, *top])


class _Once(nn.Module):
    """A layer that runs in the first pass that reaches it and gives the same output in the others."""

    def __init__(self, layer: nn.Module, number: int, outputs: dict[int, Any]) -> None:
        super().__init__()
        self.layer = layer
        self.number = number
        self.outputs = outputs

    def __getattr__(self, name: str) -> Any:
        # Encoders ask their layers what kind of attention they have, say.
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the layer's output, computed once."""
        if self.number not in self.outputs:
            self.outputs[self.number] = self.layer(*args, **kwargs)
        return self.outputs[self.number]
