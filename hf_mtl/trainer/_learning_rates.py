"""Learning rates by part: heads, trunk and branches, and the encoder's layers from top to bottom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from hf_mtl.configuration import task_of_key
from hf_mtl.encoder import num_layers
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments

__all__ = ["rate_factor", "set_learning_rates", "split_learning_rates"]


def rate_factor(depth: int, num_layers: int, layer_decay: float) -> float:
    r"""Return the factor of the learning rate of an encoder parameter.

    .. math:: \eta_l = \eta \, d^{\,L - l}

    for layer l of L (1 the lowest), and one step further for the embeddings.

    Args:
        depth: l, 0 for the embeddings.
        num_layers: L.
        layer_decay: d, in (0, 1].

    Source: J. Howard, S. Ruder, Universal Language Model Fine-tuning for Text Classification, ACL 2018, section 3.2.

    >>> rate_factor(12, 12, 0.9), rate_factor(0, 2, 0.5)
    (1.0, 0.25)
    """
    return float(layer_decay ** (num_layers - depth))


def set_learning_rates(
    optimizer: torch.optim.Optimizer, model: MultiTaskModel, args: MultiTaskTrainingArguments
) -> None:
    """Give heads and encoder layers the rates that the arguments say.

    Args:
        optimizer: A fresh optimizer of the model's parameters, without state.
        model: The model.
        args: The training arguments.
    """
    depths, count = model.parameter_depths(), num_layers(model.encoder)
    if model.image_encoder is not None:
        # Rates fall from the top, and its layers may be more or fewer.
        lifted = count - num_layers(model.image_encoder)
        depths.update({parameter: depths[parameter] + lifted for parameter in model.image_encoder.parameters()})
    trunk = [parameter for encoder in model.encoders.values() for parameter in encoder.parameters()]
    split_learning_rates(
        optimizer,
        depths,
        model.heads,
        num_layers=count,
        layer_decay=args.encoder_layer_decay,
        head_learning_rates=args.learning_rates_of_heads(model.tasks),
        trunk=() if args.trunk_learning_rate is None else trunk,
        trunk_learning_rate=args.trunk_learning_rate or 0.0,
    )


def split_learning_rates(
    optimizer: torch.optim.Optimizer,
    depths: Mapping[nn.Parameter, int],
    heads: nn.Module,
    num_layers: int,
    layer_decay: float,
    head_learning_rates: Mapping[str, float],
    trunk: Iterable[nn.Parameter] = (),
    trunk_learning_rate: float = 0.0,
) -> None:
    """Split the optimizer's groups so that heads and encoder layers have their own rates.

    Args:
        optimizer: A fresh optimizer, without state.
        depths: How deep each parameter of the encoder and its branches lies: see `hf_mtl.encoder.layer_depth`.
        heads: The heads, by task.
        num_layers: The encoder's layers.
        layer_decay: Factor from each layer to the one below, in (0, 1].
        head_learning_rates: Rate of each head's new layers, by task.
        trunk: Parameters with a rate of the trunk, before its factor by depth.
        trunk_learning_rate: That rate.
    """
    factors = {id(p): rate_factor(depth, num_layers, layer_decay) for p, depth in depths.items()}
    # Poolers start from the checkpoint, like the encoder, so they learn at its rate.
    rates = {
        id(p): head_learning_rates[task_of_key(name.partition(".")[0])]
        for name, p in heads.named_parameters()
        if ".classifier.pooler." not in name
    }
    rates |= {id(p): trunk_learning_rate * factors[id(p)] for p in trunk}
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        by_rate: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            rate = rates.get(id(parameter), group["lr"] * factors.get(id(parameter), 1.0))
            by_rate.setdefault(rate, []).append(parameter)
        groups.extend({**group, "params": params, "lr": rate} for rate, params in by_rate.items())
    # The trainer logs the rate of the first group: let it be the nominal one.
    nominal = optimizer.param_groups[0]["lr"]
    optimizer.param_groups[:] = sorted(groups, key=lambda group: abs(group["lr"] - nominal))
