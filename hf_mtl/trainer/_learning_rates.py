"""Learning rates by part: heads, trunk and branches, and the encoder's layers from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hf_mtl.configuration import by_encoder, task_of_key
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
    depths = model.parameter_depths()
    # Whatever was given, arguments hold numbers, or mappings to numbers, once they are made.
    decays: dict[str, Any] = by_encoder("encoder_layer_decay", args.encoder_layer_decay, model.encoders, 1.0)
    trunk_rates: dict[str, Any] = by_encoder("trunk_learning_rate", args.trunk_learning_rate, model.encoders, None)
    factors: dict[nn.Parameter, float] = {}
    rates: dict[nn.Parameter, float] = {}
    for kind, encoder in model.encoders.items():
        # Rates fall from the top of each encoder.
        decay, count = decays[kind], num_layers(encoder)
        branches = model.branches.parameters() if encoder is model.encoder else ()
        factors |= {p: rate_factor(depths[p], count, decay) for p in (*encoder.parameters(), *branches)}
        if (rate := trunk_rates[kind]) is not None:
            rates |= {p: rate * factors[p] for p in encoder.parameters()}
    split_learning_rates(optimizer, factors, rates, model.heads, args.learning_rates_of_heads(model.tasks))


def split_learning_rates(
    optimizer: torch.optim.Optimizer,
    factors: Mapping[nn.Parameter, float],
    rates: Mapping[nn.Parameter, float],
    heads: nn.Module,
    head_learning_rates: Mapping[str, float],
) -> None:
    """Split the optimizer's groups so that heads and encoder layers have their own rates.

    Args:
        optimizer: A fresh optimizer, without state.
        factors: Factor of the optimizer's rate for parameters of encoders and branches.
        rates: Rates of parameters that do not follow the optimizer's.
        heads: The heads, by task.
        head_learning_rates: Rate of each head's new layers, by task.
    """
    # Poolers start from the checkpoint, like the encoder, so they learn at its rate.
    of_heads = {
        p: head_learning_rates[task_of_key(name.partition(".")[0])]
        for name, p in heads.named_parameters()
        if ".classifier.pooler." not in name
    }
    own = {**rates, **of_heads}
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        by_rate: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            rate = own.get(parameter, group["lr"] * factors.get(parameter, 1.0))
            by_rate.setdefault(rate, []).append(parameter)
        groups.extend({**group, "params": params, "lr": rate} for rate, params in by_rate.items())
    # The trainer logs the rate of the first group: let it be the nominal one.
    nominal = optimizer.param_groups[0]["lr"]
    optimizer.param_groups[:] = sorted(groups, key=lambda group: abs(group["lr"] - nominal))
