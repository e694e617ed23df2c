"""An encoder family's own classification head, taken from its stock Transformers class.

The stock class is built on the meta device, its encoder is thrown away, and its own ``forward`` runs with given
states in the encoder's place. So the logits are those of the stock model bit for bit, for every family, with no
code per family.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import nn
from transformers import (
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    CLIPConfig,
    PreTrainedConfig,
    PreTrainedModel,
    SiglipConfig,
)
from transformers import initialization as init
from transformers.modeling_outputs import (
    ImageClassifierOutput,
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.utils.generic import ModelOutput

from hf_mtl.encoder import ImageStates, has_encoder_alone, is_decoder_only, state_size
from hf_mtl.heads._vocabulary import embeddings_in_use, tie_output

__all__ = [
    "STOCK_CLASSES",
    "PlainClassifier",
    "StockClassifier",
    "StockKind",
    "encoder_name",
    "reads_pooler",
    "stock_class",
    "stock_encoder",
    "stock_logits",
    "stock_output",
    "whole_config",
]

#: Which of a family's stock classes: by what its layers answer.
StockKind = Literal["sequence", "token", "span", "choice", "mask", "image"]
#: The Auto class of each.
STOCK_CLASSES: dict[StockKind, Any] = {
    "sequence": AutoModelForSequenceClassification,
    "token": AutoModelForTokenClassification,
    "mask": AutoModelForMaskedLM,
    "span": AutoModelForQuestionAnswering,
    "choice": AutoModelForMultipleChoice,
    "image": AutoModelForImageClassification,
}
#: Families of an encoder of pictures that is one half of another's config: the config that the stock class takes.
_HALVES: dict[str, Any] = {"clip_vision_model": CLIPConfig, "siglip_vision_model": SiglipConfig}


#: The id of padding in what stock heads see; every other token is 0.
_PADDING = -1


class _Encoded:
    """What the encoder returned, as a stock head reads it: fields that only some families have are ``None``.

    An output of Transformers in all but its making, which takes as long as a head's layers on one text.
    """

    def __init__(self, last_hidden_state: torch.Tensor | None, pooler_output: torch.Tensor | None) -> None:
        self.last_hidden_state, self.pooler_output = last_hidden_state, pooler_output

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)

    def __getitem__(self, place: int | slice | str) -> Any:
        if isinstance(place, str):
            return getattr(self, place)
        return tuple(value for value in (self.last_hidden_state, self.pooler_output) if value is not None)[place]


class _Run:
    """An encoder that has run: called, it returns its outputs; its parts are those of the real one, where given."""

    def __init__(self, outputs: _Encoded, encoder: PreTrainedModel | None) -> None:
        self._outputs, self._encoder = outputs, encoder

    def __call__(self, *args: Any, **kwargs: Any) -> _Encoded:
        return self._outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)


class _WithStates:
    """The stock model as its ``forward`` sees it: all its own parts, and an encoder that returns given states.

    A new one is made for each call, so that threads do not meet in it.
    """

    def __init__(
        self, stock: PreTrainedModel, encoder_name: str, outputs: _Encoded, encoder: PreTrainedModel | None = None
    ) -> None:
        self._stock = stock
        setattr(self, encoder_name, _Run(outputs, encoder))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stock, name)


def stock_logits(output: Any) -> torch.Tensor:
    """Return the logits of a stock class; those of question answering, [B, L] each, as [B, L, 2]."""
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    logits: torch.Tensor = output.logits
    return logits


def stock_output(kind: StockKind, logits: torch.Tensor, shape: Sequence[int], **more: Any) -> ModelOutput:
    """Return logits as a stock class does.

    Args:
        kind: Which class.
        logits: [B, C], or [B, L, C] of tokens.
        shape: [B, choices] of the inputs; for multiple choice alone.
        more: Fields that all outputs have, such as ``hidden_states``.
    """
    if kind == "span":
        start, end = logits.unbind(-1)
        return QuestionAnsweringModelOutput(start_logits=start, end_logits=end, **more)
    if kind == "choice":
        return MultipleChoiceModelOutput(logits=logits.view(*shape), **more)
    outputs: dict[StockKind, Any] = {
        "token": TokenClassifierOutput,
        "mask": MaskedLMOutput,
        "image": ImageClassifierOutput,
    }
    found: ModelOutput = outputs.get(kind, SequenceClassifierOutput)(logits=logits, **more)
    return found


def stock_class(kind: StockKind, config: PreTrainedConfig) -> Any:
    """Return the stock class of a family; DeiT has a second one, for training with a teacher."""
    found = STOCK_CLASSES[kind]._model_mapping[type(config)]
    return found[0] if isinstance(found, (tuple, list)) else found


def whole_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return the config that a family's class for pictures takes: of CLIP and SigLIP one that holds the encoder's."""
    whole = _HALVES.get(config.model_type)
    found: PreTrainedConfig = config if whole is None else whole(vision_config=config.to_dict())
    return found


def reads_pooler(config: PreTrainedConfig) -> bool:
    """Return whether heads of pictures read what a pooler inside an encoder makes.

    Those of a family without a class for pictures read it wherever there is one.
    """
    if type(config) not in STOCK_CLASSES["image"]._model_mapping:
        return config.model_type not in _HALVES
    with torch.device("meta"):
        stock = stock_class("image", config)._from_config(copy.deepcopy(config))
    return getattr(stock_encoder(stock), "pooler", None) is not None


def stock_encoder(stock: PreTrainedModel) -> PreTrainedModel:
    """Return the encoder in a stock model."""
    found: Any = stock._modules[encoder_name(stock)]
    return cast(PreTrainedModel, found)


def encoder_name(stock: PreTrainedModel) -> str:
    """Return the name of the encoder in a stock model: CLIP's is not the class's ``base_model_prefix``."""
    prefix = stock.base_model_prefix
    if prefix in stock._modules:
        return prefix
    return next(name for name, child in stock.named_children() if isinstance(child, PreTrainedModel))


def _no_embeddings() -> None:
    return None


class PlainClassifier(nn.Module):
    """Dropout and a linear layer, for a family that has no stock class whose head reads the encoder alone.

    Args:
        kind: ``"sequence"``, ``"choice"`` and ``"image"`` read the one state of each row that was pooled before, the
            others all.
        encoder_config: The encoder's config.
        num_outputs: Size of the last layer.
    """

    def __init__(self, kind: StockKind, encoder_config: PreTrainedConfig, num_outputs: int) -> None:
        super().__init__()
        self.pools = kind in ("sequence", "choice", "image")
        self.std = float(getattr(encoder_config, "initializer_range", 0.02))
        self.dropout = nn.Dropout(getattr(encoder_config, "hidden_dropout_prob", 0.1))
        self.classifier = nn.Linear(state_size(encoder_config), num_outputs)

    def reset(self) -> None:
        """Draw the weights from a normal distribution, as most families do: not every rule knows bare layers."""
        init.normal_(self.classifier.weight, std=self.std)
        init.zeros_(self.classifier.bias)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return [B, C], or [B, L, C] for tokens."""
        states = states[:, 0] if self.pools else states
        logits: torch.Tensor = self.classifier(self.dropout(states))
        return logits


class _StockLayers(NamedTuple):
    """What a stock class puts on its encoder.

    Args:
        stock: The stock model, without its encoder.
        encoder_name: The encoder's name in it.
        pooler: The encoder's pooler, where the class reads one.
        activation: What follows it, where the family keeps the two apart.
    """

    stock: PreTrainedModel
    encoder_name: str
    pooler: nn.Module | None
    activation: nn.Module | None


#: Layers without values, by all that they depend on: to build a stock model takes ten times as long as to copy them.
_known_layers: dict[tuple[Any, ...], _StockLayers] = {}


def _stock_layers(kind: StockKind, config: PreTrainedConfig) -> _StockLayers:
    """Return what the stock class of a config puts on its encoder, on the meta device and without values."""
    key = kind, type(config), config.to_json_string(use_diff=False), torch.get_default_dtype()
    if key not in _known_layers:
        if len(_known_layers) > 64:
            _known_layers.clear()
        stock = _built(stock_class(kind, config), config)
        if kind == "mask":
            tie_output(stock)
        name = encoder_name(stock)
        encoder = stock._modules.pop(name)
        is_pooled = kind in ("sequence", "choice")
        pooler, activation = (getattr(encoder, n, None) if is_pooled else None for n in ("pooler", "pooler_activation"))
        _known_layers[key] = _StockLayers(stock, name, pooler, None if pooler is None else activation)
    return copy.deepcopy(_known_layers[key])


def _built(cls: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel:
    """Return a stock model without values, whose encoder will be put aside: of its layers one is built, if possible."""
    layers = getattr(config, "num_hidden_layers", None)
    is_short = isinstance(layers, int) and getattr(config, "layer_types", None) is None
    if is_short:
        config.num_hidden_layers = 1
    with torch.device("meta"):
        stock: PreTrainedModel = cls._from_config(config, attn_implementation="eager")
    if is_short:
        config.num_hidden_layers = stock.config.num_hidden_layers = layers
    return stock


class StockClassifier(nn.Module):
    """The layers that a family's stock class, such as ``...ForSequenceClassification``, puts on its encoder.

    Where that class reads a pooler inside the encoder (BERT, ALBERT), this module holds its own pooler, so that
    the heads of one model do not share it.

    Args:
        kind: ``"sequence"`` for one vector a text, ``"token"`` for one a token, ``"span"`` for the two logits of
            question answering a token, ``"choice"`` for one logit a text, ``"mask"`` for the family's
            ``...ForMaskedLM``, whose last layer is as wide as the vocabulary, ``"image"`` for a picture.
        encoder_config: The encoder's config.
        num_outputs: Size of the last layer.
        dropout: Probability for every dropout of the head; ``None`` keeps the family's own.
    """

    def __init__(
        self,
        kind: StockKind,
        encoder_config: PreTrainedConfig,
        num_outputs: int,
        dropout: float | None = None,
    ) -> None:
        super().__init__()
        self.pooler: nn.Module | None = None
        self.pooler_activation: nn.Module | None = None
        config = copy.deepcopy(encoder_config)
        if kind == "image":
            config = whole_config(config)
        config.num_labels = num_outputs
        self.kind = kind
        self.stock: nn.Module
        # T5's stock sequence class reads its decoder.
        known = type(config) in STOCK_CLASSES[kind]._model_mapping and (
            kind == "token" or not has_encoder_alone(config)
        )
        if known:
            stock, self._encoder_name, self.pooler, self.pooler_activation = _stock_layers(kind, config)
            # What `forward` marks padding by, for classes that look for a text's last token in its ids.
            stock.config.pad_token_id = _PADDING
            # Activation checkpointing asks each model inside of a model for its embeddings; some look into theirs.
            setattr(stock, "get_input_embeddings", _no_embeddings)  # noqa: B010  # a method, to torch's types
            self.stock = stock
        else:
            self.stock = PlainClassifier(kind, config, num_outputs)
        if torch.get_default_device().type != "meta":
            self.to_empty(device=torch.get_default_device())
        #: Before the stock layers, where a probability is asked for and they have no dropout themselves.
        self.dropout: nn.Dropout | None = None
        if dropout is not None:
            own = [module for module in self.modules() if isinstance(module, nn.Dropout)]
            for module in own:
                module.p = dropout
            self.dropout = None if own else nn.Dropout(dropout)

    @property
    def is_stock(self) -> bool:
        """Whether the layers are those of the family's own class, which then also pools by itself."""
        return isinstance(self.stock, PreTrainedModel)

    @property
    def own_poolings(self) -> tuple[str, ...]:
        """Which poolings the family's own class may have, as far as its config says."""
        if not isinstance(self.stock, PreTrainedModel):
            return ()
        if hasattr(self.stock.config, "classifier_pooling"):  # ModernBERT can do either
            return ("first", "mean")
        return ("last",) if is_decoder_only(self.stock.config) else ("first",)

    def _pool(self, states: torch.Tensor) -> torch.Tensor | None:
        if self.pooler is None:
            return None
        if self.pooler_activation is None:
            pooled: torch.Tensor = self.pooler(states)
        else:
            # ALBERT keeps the two halves of its pooler apart.
            pooled = self.pooler_activation(self.pooler(states[:, 0]))
        return pooled

    def forward(self, states: torch.Tensor, mask: torch.Tensor, encoder: PreTrainedModel | None = None) -> torch.Tensor:
        """Return the stock logits for states [B, L, H] and their mask [B, L]: [B, C], or [B, L, C] for tokens.

        For ``"span"`` C is 2, for ``"choice"`` 1.

        Args:
            states: The states.
            mask: Their mask.
            encoder: The encoder, for layers that use its embeddings.
        """
        if encoder is not None:
            with embeddings_in_use(encoder, states.dtype):
                return self._stock_logits(states, mask, encoder)
        return self._stock_logits(states, mask, encoder)

    def of_images(self, states: ImageStates) -> torch.Tensor:
        """Return the family's own logits of pictures, [B, C]."""
        last, pooled = (None if given is None else self._dropped(given) for given in (states.last, states.pooled))
        outputs = _Encoded(last_hidden_state=last, pooler_output=pooled)
        stand_in = _WithStates(self.stock, self._encoder_name, outputs)  # type: ignore[arg-type]  # it is stock
        return stock_logits(type(self.stock).forward(stand_in, pixel_values=last, return_dict=True))

    def _dropped(self, states: torch.Tensor) -> torch.Tensor:
        return states if self.dropout is None else self.dropout(states)

    def _stock_logits(self, states: torch.Tensor, mask: torch.Tensor, encoder: PreTrainedModel | None) -> torch.Tensor:
        states = self._dropped(states)
        if not isinstance(self.stock, PreTrainedModel):
            plain: torch.Tensor = self.stock(states, mask)
            return plain
        outputs = _Encoded(last_hidden_state=states, pooler_output=self._pool(states))
        stand_in = _WithStates(self.stock, self._encoder_name, outputs, encoder)
        if self.kind == "choice":
            mask = mask[:, None]  # as questions with one choice each: which belong together is the head's to know
        output = type(self.stock).forward(
            stand_in,  # a stand-in for `self`: see the module docstring
            input_ids=torch.where(mask == 0, _PADDING, 0),
            attention_mask=mask,
            return_dict=True,
        )
        return stock_logits(output)
