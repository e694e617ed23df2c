"""What the library knows of encoder families by their configs: how they load, how they pool, how long texts may be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForTextEncoding,
    PreTrainedConfig,
    PreTrainedModel,
)

from hf_mtl._names import listed
from hf_mtl.encoder.finite import check_finite
from hf_mtl.encoder.images import state_size
from hf_mtl_light.errors import UserError, UserTypeError
from hf_mtl_light.folders import finish_replacing

__all__ = [
    "auto_class",
    "build_encoder",
    "default_pooling",
    "has_encoder_alone",
    "is_decoder_only",
    "learned_positions",
    "load_encoder",
    "longest_text",
    "sees_ahead",
]

#: Families of an encoder and a decoder whose encoder alone is a class of Transformers.
_ENCODERS_OF_PAIRS = frozenset({"mt5", "t5", "umt5"})
#: Families that model language without a mask token, and yet each token sees the tokens after it.
_NOT_CAUSAL = frozenset({"bert-generation", "xlnet"})
#: Families whose learned positions begin after the padding token's id.
_BEHIND_PADDING = frozenset(
    {
        *("camembert", "data2vec-text", "ibert", "lilt", "longformer", "luke", "mpnet"),
        *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
    }
)
#: Names that families give to their table of learned positions.
_POSITION_TABLES = frozenset({"embed_positions", "position_embeddings", "positions_embed", "wpe"})


def has_encoder_alone(config: PreTrainedConfig) -> bool:
    """Return whether a family of an encoder and a decoder is taken by its encoder."""
    return config.model_type in _ENCODERS_OF_PAIRS


def auto_class(config: PreTrainedConfig) -> Any:
    """Return the Auto class that builds and loads the encoder of a config.

    Raises:
        TypeError: If the family is an encoder and a decoder, and no class loads the encoder alone.
    """
    if has_encoder_alone(config):
        return AutoModelForTextEncoding
    if getattr(type(config), "is_encoder_decoder", False) or config.is_encoder_decoder:
        raise UserTypeError(
            f"The family {config.model_type!r} is an encoder and a decoder, and Transformers has no class for its "
            f"encoder alone. Of such families {', '.join(sorted(_ENCODERS_OF_PAIRS))} can be used."
        )
    return AutoModel


def build_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """Return the encoder that a config describes, with random weights.

    Raises:
        TypeError: If the family is an encoder and a decoder.
        ValueError: If there is no such encoder.
    """
    family = auto_class(config)
    try:
        encoder: PreTrainedModel = family.from_config(config)
    except (ImportError, OSError):
        raise
    except Exception as error:
        # Whatever impossible values lead to somewhere in Transformers and torch.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"encoder_config describes no encoder of the family {config.model_type!r} that can be built: {reason}"
        ) from error
    return encoder


def load_encoder(
    encoder: str | Path | PreTrainedModel, bidirectional: bool = False, **kwargs: Any
) -> tuple[PreTrainedModel, bool]:
    """Load an encoder, and check that heads can be put on it.

    Args:
        encoder: Hub id, folder, or a loaded encoder.
        bidirectional: Whether to open a decoder-only encoder both ways.
        kwargs: Arguments of ``from_pretrained``, where ``encoder`` is a name.

    Returns:
        The encoder, and whether a pooler in it has weights.

    Raises:
        ValueError: If the encoder cannot be made bidirectional, or weights of it are missing, infinite or not a number.
        TypeError: If it has no hidden size, or is an encoder and a decoder.
    """
    has_pooler = True
    if not isinstance(encoder, (PreTrainedModel, str, os.PathLike)):
        raise UserTypeError(
            f"The encoder must be a name, a folder or a model of Transformers, found {type(encoder).__name__}."
        )
    if isinstance(encoder, PreTrainedModel):
        if kwargs:
            raise UserTypeError(f"A loaded encoder takes no loading arguments, found {listed(kwargs)}.")
        loaded = encoder
    else:
        finish_replacing(Path(encoder))
        config, _ = AutoConfig.from_pretrained(str(encoder), return_unused_kwargs=True, **kwargs)
        loaded, info = auto_class(config).from_pretrained(str(encoder), output_loading_info=True, **kwargs)
        has_pooler = not any(key.startswith("pooler.") for key in info["missing_keys"])
        if missing := sorted(key for key in info["missing_keys"] if not key.startswith("pooler.")):
            raise UserError(
                f"{str(encoder)!r}: its files lack weights of the encoder that its config describes: "
                f"{listed(missing, 3)}. Get the whole encoder again."
            )
        check_finite(loaded.state_dict().items(), f"{str(encoder)!r}")
    # A multi-task model, loaded or to load, gives its encoder.
    if loaded.config.model_type == "multi-task":
        loaded = cast(PreTrainedModel, loaded.encoder)
    state_size(loaded.config)
    if loaded.config.is_encoder_decoder and getattr(loaded, "decoder", None) is not None:
        auto_class(loaded.config)  # says which families can be used at all
        raise UserTypeError(
            f"{type(loaded).__name__} is an encoder and a decoder. Load its encoder alone: pass the name of the "
            "checkpoint, or AutoModelForTextEncoding.from_pretrained(name)."
        )
    if bidirectional:
        _open_both_ways(loaded)
    return loaded, has_pooler


def _open_both_ways(encoder: PreTrainedModel) -> None:
    family = encoder.config.model_type
    if not is_decoder_only(encoder.config):
        raise UserError(f"bidirectional is for decoder-only encoders; {family!r} sees both ways by itself.")
    # Transformers' masks and attention follow this, and it is saved with the config.
    encoder.config.is_causal = False
    if not sees_ahead(encoder):
        raise UserError(
            f"Encoders of the family {family!r} cannot be made bidirectional: their code does not follow "
            "config.is_causal. Leave bidirectional out."
        )


def is_decoder_only(config: PreTrainedConfig) -> bool:
    """Return whether a family was made to continue texts, each token seeing none after it.

    >>> from transformers import BertConfig, GPT2Config
    >>> is_decoder_only(GPT2Config()), is_decoder_only(BertConfig())
    (True, False)
    """
    family = type(config)
    return (
        family in AutoModelForCausalLM._model_mapping
        and family not in AutoModelForMaskedLM._model_mapping
        and config.model_type not in _NOT_CAUSAL
        and not config.is_encoder_decoder
    )


def default_pooling(config: PreTrainedConfig) -> str:
    """Return the pooling of a sequence head whose family has no stock class.

    The last token of a decoder-only family has seen the whole text. T5's texts begin with no special token, and
    the mean is what served best in J. Ni et al., Sentence-T5, Findings of ACL 2022, section 5.
    """
    if is_decoder_only(config):
        return "last"
    return "mean" if has_encoder_alone(config) else "first"


def longest_text(config: PreTrainedConfig) -> int | None:
    """Return the most tokens of a text that a config speaks of, or ``None`` where it speaks of none.

    Where positions are learned, no text can be longer: see `learned_positions`. Where they are rotary or relative, the
    number is the length that the encoder was made for.

    >>> from transformers import RobertaConfig, T5Config
    >>> longest_text(RobertaConfig(max_position_embeddings=514, pad_token_id=1)), longest_text(T5Config())
    (512, None)
    """
    if has_encoder_alone(config):
        return None
    try:
        positions: int | None = getattr(config, "max_position_embeddings", None)
    except NotImplementedError:  # XLNet's way to say that it has no limit
        return None
    if positions is None or positions <= 0:
        return None
    if config.model_type in _BEHIND_PADDING:
        # MPNet's code counts from 2 whatever its config says.
        first = 1 if config.model_type == "mpnet" else config.pad_token_id or 0
        positions -= first + 1
    return positions


def learned_positions(encoder: PreTrainedModel) -> int | None:
    """Return how many positions an encoder has learned, found in its layers; ``None`` where it computes them."""
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in _POSITION_TABLES:
            # RoBERTa begins to count after the padding, OPT after two extra places.
            skipped = getattr(module, "offset", 0) if module.padding_idx is None else module.padding_idx + 1
            learned = module.num_embeddings - int(skipped)
            # Nystromformer and others skip places, and nothing in their layers says so.
            return min(learned, longest_text(encoder.config) or learned)
    return None


@torch.no_grad()
def sees_ahead(encoder: PreTrainedModel) -> bool:
    """Return whether an encoder's first state depends on the tokens after it, tried on two texts of three tokens."""
    was_training = encoder.training
    encoder.eval()
    one, two = (
        encoder(input_ids=torch.tensor([[1, 2, last]], device=encoder.device), return_dict=True).last_hidden_state[0, 0]
        for last in (3, 4)
    )
    encoder.train(was_training)
    return not torch.equal(one, two)
