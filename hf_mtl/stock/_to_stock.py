"""From an encoder and one of its heads to a stock model."""

from __future__ import annotations

import copy
import math
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from hf_mtl.encoder import PaddedStates, encode_images, is_decoder_only
from hf_mtl.heads import Head, RegressionHead, encoder_name, stock_encoder, stock_logits, whole_config
from hf_mtl_light.errors import UserError

__all__ = ["to_stock"]

#: What families call the dropout before their last layer.
_DROPOUTS = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "cls_dropout")


def to_stock(encoder: PreTrainedModel, head: Head) -> PreTrainedModel:
    """Build the stock model of a task, with its own parameters.

    Its logits equal those of the head after a padded run of the encoder bit for bit. Regression is the exception:
    the unit of the labels is folded into the last layer, which rounds once more; so is the temperature of a calibrated
    task.

    Args:
        encoder: The encoder.
        head: The task's head.

    Returns:
        A model of the family's stock class, in evaluation mode, on the encoder's device and in its precision.

    Raises:
        ValueError: If the stock class cannot express the head; the message says why and what to train instead.
    """
    task, classifier = head.task, head.classifier
    problem_type = head.stock_problem_type(task)
    if head.reads == "joint":
        raise UserError(
            f"Task {task.name!r}: it reads a text and a picture together, and has no stock form: Transformers has no "
            "class for it with two encoders. Export the other tasks."
        )
    if head.beyond_stock is not None:
        raise UserError(
            f"Task {task.name!r}: its head of {task.type} on an encoder of the family {encoder.config.model_type!r} "
            f"has no stock form: {head.beyond_stock}. Export to ONNX, which takes any layers; or train the task with "
            "pooling and layers left out, if they are why."
        )
    assert isinstance(classifier.stock, PreTrainedModel)
    stock_class = type(classifier.stock)
    config = _config(encoder, head, stock_class, problem_type)
    with torch.random.fork_rng(devices=[]):  # the first weights are random and will be replaced
        model = stock_class(config)
    prefix = encoder_name(model)
    weights = {f"{prefix}.{name}": value for name, value in encoder.state_dict().items()}
    weights |= classifier.stock.state_dict()
    # What the class ties to the embeddings, and to itself, has its own names.
    tied = model.all_tied_weights_keys.items()
    weights |= {to: weights[source] for to, source in tied if to not in weights and source in weights}
    if classifier.pooler is not None:
        weights |= {f"{prefix}.pooler.{name}": value for name, value in classifier.pooler.state_dict().items()}
    nn.Module.to(model, device=encoder.device, dtype=encoder.dtype)  # Transformers' own, wrapped, hides its types
    model.load_state_dict(weights)
    model.eval()
    _check(model, head)
    if isinstance(head, RegressionHead):
        _fold(model, head)
    elif (head.task.calibration_temperature or 1) != 1:
        _fold_temperature(model, head)
    return model


def _config(encoder: PreTrainedModel, head: Head, stock_class: type, problem_type: str | None) -> Any:
    task = head.task
    config: Any = copy.deepcopy(encoder.config)
    if head.classifier.kind == "image":
        config = whole_config(config)
    # Its choice is left to whoever loads the model; ours would know the rows of an unpadded batch.
    config._attn_implementation = None
    names = head.output_names(task)
    if names is not None:
        config.id2label = dict(enumerate(names))
        config.label2id = {name: number for number, name in enumerate(names)}
    config.problem_type = problem_type
    if head.classifier.kind == "mask":
        config.tie_word_embeddings = True
    config.architectures = [stock_class.__name__]
    if task.pooling is not None and hasattr(config, "classifier_pooling"):  # ModernBERT can do either
        config.classifier_pooling = {"first": "cls", "mean": "mean"}[task.pooling]
    if is_decoder_only(config) and config.pad_token_id is None:
        # Their classes look for the last token before the padding. Texts are padded with their end here.
        ends = config.eos_token_id
        config.pad_token_id = ends[0] if isinstance(ends, list) else ends
    if task.dropout is not None:
        for name in _DROPOUTS:
            if hasattr(config, name):
                setattr(config, name, task.dropout)
    return config


@torch.no_grad()
def _check(model: PreTrainedModel, head: Head) -> None:
    """Compare the stock model with the head on a small batch: heads may pool, or compute, what stock classes do not."""
    if head.classifier.kind == "image":
        _check_images(model, head)
        return
    ids, mask = _small_batch(model)
    states = model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
    padded = PaddedStates(states.flatten(0, 1), mask)
    still = copy.deepcopy(head).eval()
    expected = still.flat_logits(padded, cast(PreTrainedModel, model.base_model))
    if head.reads == "choices":
        ids, mask = ids[:, None], mask[:, None]
    found = stock_logits(model(input_ids=ids, attention_mask=mask))
    found = found.flatten() if head.reads == "choices" else found.view(-1, found.shape[-1])
    found = found.view(expected.shape) if found.numel() == expected.numel() else found
    scale = float(expected.abs().max())
    if not torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * scale):
        what = f"pooling={head.task.pooling!r}" if head.task.pooling else f"what {type(head).__name__} computes"
        raise UserError(
            f"Task {head.task.name!r}: {type(model).__name__} gives other logits than the head, since it has no form "
            f"of {what}. Train the task with pooling left out, the family's own, and a head that keeps the family's "
            "layers, or export to ONNX, which takes any layers."
        )


def _check_images(model: PreTrainedModel, head: Head) -> None:
    """Compare the stock model with the head on two pictures: see `_check`."""
    encoder = stock_encoder(model)
    pixels = _small_pictures(model)["pixel_values"]
    states, _, _ = encode_images(encoder, pixels)
    expected = copy.deepcopy(head).eval().flat_logits(states, encoder)
    found = model(pixel_values=pixels).logits
    if not torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())):
        raise UserError(
            f"Task {head.task.name!r}: {type(model).__name__} gives other logits than the head, since it has no form "
            f"of what {type(head).__name__} computes."
        )


@torch.no_grad()
def _fold(model: PreTrainedModel, head: RegressionHead) -> None:
    r"""Have the last layer answer in the labels' unit: with weights :math:`\sigma W` and :math:`\sigma b + \mu`.

    Raises:
        ValueError: If no last layer has a bias.
    """
    mean, std = (torch.from_numpy(values).to(model.device) for values in head.scale(head.task))
    if not mean.any() and (std == 1).all():
        return
    names = [name for name, module in head.classifier.stock.named_modules() if isinstance(module, nn.Linear)]
    layers = [module for module in map(model.get_submodule, names) if isinstance(module, nn.Linear)]
    last = [layer for layer in layers if layer.out_features == len(mean) and layer.bias is not None]
    if len(last) != 1:
        raise UserError(
            f"Task {head.task.name!r}: a last layer with a bias was not found in {type(model).__name__}, so the "
            f"labels' unit (mean {_joined(mean)}, standard deviation {_joined(std)}) cannot be folded into it. Train "
            "with target_mean=0 and target_std=1, or export to ONNX."
        )
    last[0].weight.copy_(last[0].weight.double() * std[:, None])
    last[0].bias.copy_(last[0].bias.double() * std + mean)


@torch.no_grad()
def _fold_temperature(model: PreTrainedModel, head: Head) -> None:
    r"""Have the last layer answer with calibrated logits: with weights :math:`W / T` and :math:`b / T`.

    Raises:
        ValueError: If the logits are not those of one last layer.
    """
    temperature, outputs = float(head.task.calibration_temperature or 1), head.num_outputs(head.task)
    layers = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == outputs]
    if head.classifier.kind == "image":
        batch = _small_pictures(model)
    else:
        batch = dict(zip(("input_ids", "attention_mask"), _small_batch(model), strict=True))
    before = stock_logits(model(**batch))
    for layer in layers[-1:]:
        for values in (layer.weight, layer.bias):
            if values is not None:
                values.copy_(values.double() / temperature)
    after = stock_logits(model(**batch))
    if not torch.allclose(after * temperature, before, rtol=1e-3, atol=1e-3 * float(before.abs().max())):
        raise UserError(
            f"Task {head.task.name!r}: its temperature {temperature:g} cannot be folded into {type(model).__name__}, "
            "whose logits are not those of one last layer. Take it off the task, or export to ONNX."
        )


def _small_pictures(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the pixels of two pictures."""
    config = stock_encoder(model).config
    size = getattr(config, "image_size", 32)
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    shape = (2, getattr(config, "num_channels", 3), height, width)
    pixels = torch.linspace(-1, 1, math.prod(shape), device=model.device, dtype=model.dtype).view(shape)
    return {"pixel_values": pixels}


def _small_batch(model: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and mask, [2, 8], of which the second row is padded."""
    longest = 8
    ids = torch.arange(2 * longest, device=model.device).view(2, longest) % (model.config.vocab_size - 1)
    mask = torch.ones_like(ids)
    mask[1, longest // 2 :] = 0
    if model.config.pad_token_id is not None:
        # Some look for padding in the ids.
        ids = torch.where(mask == 1, ids + (ids >= model.config.pad_token_id), model.config.pad_token_id)
    return ids, mask


def _joined(values: torch.Tensor) -> str:
    return ", ".join(f"{value:g}" for value in values.tolist())
