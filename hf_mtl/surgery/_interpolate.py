"""A model between its pretrained encoder and its trained one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from hf_mtl.encoder import check_finite, layer_list, load_encoder
from hf_mtl.model import MultiTaskModel, refuse_adapters
from hf_mtl.trainer import forget_calibration
from hf_mtl_light.errors import UserError

__all__ = ["FACTORS", "choose_factor", "interpolate_encoder"]

#: The factors that are tried by default.
FACTORS = tuple(tenths / 10 for tenths in range(11))


def interpolate_encoder(
    model: MultiTaskModel, pretrained: str | Path | PreTrainedModel, factor: float
) -> MultiTaskModel:
    r"""Return a model whose encoder lies between the pretrained and the trained one (WiSE-FT); its heads stay.

    .. math:: \theta = (1 - \alpha)\,\theta_{pretrained} + \alpha\,\theta_{trained}

    The layers of a branch are interpolated with the pretrained layers whose place they take.

    Args:
        model: The trained model; it is not changed.
        pretrained: The encoder that the training began with: a Hub id, a folder, or a loaded encoder.
        factor: alpha, in [0, 1]; 1 is the model as it is.

    Raises:
        ValueError: If the encoders' families or tensors differ, weights are not finite, or ``factor`` is out of range.

    Source: M. Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022, https://arxiv.org/abs/2109.01903.

    >>> from transformers import BertConfig, BertModel
    >>> from hf_mtl import TaskConfig
    >>> bert = BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=9))
    >>> model = MultiTaskModel.from_encoder(bert, [TaskConfig("polarity", "sentiment", labels=["bad", "good"])])
    >>> between = interpolate_encoder(model, bert, 0.5)
    """
    return _interpolated(model, _origins(model, _loaded(pretrained)), factor)


def choose_factor(
    model: MultiTaskModel,
    pretrained: str | Path | PreTrainedModel,
    score: Callable[[MultiTaskModel], float],
    factors: Sequence[float] = FACTORS,
) -> tuple[MultiTaskModel, float, dict[float, float]]:
    """Return the interpolation with the highest score; of equal ones that with the highest factor.

    Args:
        model: See `interpolate_encoder`.
        pretrained: Likewise.
        score: Returns a model's score on held-out rows, higher for better.
        factors: The factors to try, each in [0, 1].

    Returns:
        The model, its factor, and the score of each factor.

    Raises:
        ValueError: See `interpolate_encoder`; and if no score is a number.
    """
    origins = _origins(model, _loaded(pretrained))
    scores = {factor: score(_interpolated(model, origins, factor)) for factor in factors}
    numbers = {factor: value for factor, value in scores.items() if value == value}
    if not numbers:
        raise UserError(f"No factor of {len(scores)} has a score that is a number. Check the model and its data.")
    best = max(numbers, key=lambda factor: (numbers[factor], factor))
    return _interpolated(model, origins, best), best, scores


def _loaded(pretrained: str | Path | PreTrainedModel) -> PreTrainedModel:
    encoder, _ = load_encoder(pretrained)
    check_finite(encoder.named_parameters(), "The pretrained encoder")
    return encoder


def _modules(model: MultiTaskModel) -> Iterator[tuple[str, nn.Module]]:
    """Yield the encoder and its branches, by names."""
    yield "the encoder", model.encoder
    for name, top in model.branches.items():
        yield f"branch {name!r}", top


def _origins(model: MultiTaskModel, encoder: PreTrainedModel) -> list[dict[str, torch.Tensor]]:
    """Return for the encoder and each branch the pretrained tensors that it began with.

    Raises:
        ValueError: If they do not fit.
    """
    refuse_adapters(model, "interpolate_encoder")
    check_finite(model.named_parameters(), "The trained model")
    families = encoder.config.model_type, model.encoder.config.model_type
    if families[0] != families[1]:
        raise UserError(
            f"The pretrained encoder is of the family {families[0]!r}, the model's of the family {families[1]!r}. Name "
            "the encoder that its training began with."
        )
    found = []
    for name, trained in _modules(model):
        source: nn.Module = encoder
        if isinstance(trained, nn.ModuleList):
            source = nn.ModuleList(layer_list(encoder)[1][-len(trained) :])
        origin = source.state_dict()
        for key, value in trained.state_dict().items():
            if key not in origin or origin[key].shape != value.shape:
                there = list(origin[key].shape) if key in origin else "missing"
                raise UserError(
                    f"The pretrained encoder does not fit {name} of the model: {key} is {there}, and "
                    f"{list(value.shape)} in the model. Name the encoder that its training began with."
                )
        found.append(origin)
    return found


@torch.no_grad()
def _interpolated(model: MultiTaskModel, origins: Sequence[dict[str, torch.Tensor]], factor: float) -> MultiTaskModel:
    if isinstance(factor, bool) or not 0 <= factor <= 1:
        raise UserError(f"factor must lie in [0, 1], found {factor!r}: 0 is the pretrained encoder, 1 the trained one.")
    between = copy.deepcopy(model)
    for (_, module), (_, trained), origin in zip(_modules(between), _modules(model), origins, strict=True):
        after = trained.state_dict()
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                # In double precision: rounded once, and exact at 0 and 1. The trained values are the given model's:
                # a tensor that has two names is written twice.
                before = origin[key].to(device=value.device, dtype=torch.float64)
                value.copy_((1 - factor) * before + factor * after[key].double())
    if factor < 1:
        forget_calibration(between)
    return between
