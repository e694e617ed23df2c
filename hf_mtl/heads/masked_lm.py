"""The tokens of a text that were masked: what encoders are pretrained on, beside other tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from hf_mtl.configuration import ANSWER_PHRASES, TaskConfig, default_metrics
from hf_mtl.encoder import States
from hf_mtl.heads._base import Head
from hf_mtl.heads._divergence import class_divergence
from hf_mtl.heads._labels import LabelError
from hf_mtl.heads._numerics import cross_entropy_sum
from hf_mtl.heads._output import HeadOutput, ScoredBatch
from hf_mtl.heads._vocabulary import TiedOutput, fills_masks, resize_parameters
from hf_mtl_light.answering import Answering, AnswerOptions
from hf_mtl_light.errors import UserError, UserTypeError
from hf_mtl_light.numerics import softmax
from hf_mtl_light.words import Reading, WordMap

__all__ = ["MaskedLmHead", "MaskedLmOptions"]


@dataclass(frozen=True)
class MaskedLmOptions:
    """Options of masked language modelling.

    Args:
        mask_probability: The share of a text's tokens that are to be predicted, in (0, 1); at least one of a text.
        whole_word: Whether all tokens of a word are chosen together.

    Raises:
        ValueError: If the share is out of its range.
    """

    mask_probability: float = 0.15
    whole_word: bool = False

    def __post_init__(self) -> None:
        share = self.mask_probability
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
            raise UserError(f"mask_probability must be a number in (0, 1), found {share!r}.")
        if not isinstance(self.whole_word, bool):
            raise UserError(f"whole_word must be true or false, found {self.whole_word!r}.")


class MaskedLmHead(Head):
    r"""Predict the tokens of a text that were masked, by the encoder family's own prediction layers.

    The task's column holds raw texts, which are its rows' input. Of the tokens chosen, 80 % become the mask token, 10 %
    a random one, 10 % stay; the loss is the cross-entropy :math:`-\log p_v` of each, over the vocabulary of V tokens.
    The last layer's matrix is the encoder's input embeddings themselves, and only chosen tokens are multiplied by it.

    Answers: for each mask token that a text holds the likeliest token, ``{"token_str", "token", "score",
    "sequence"}``; with ``top_k`` a list of so many, best first.

    Source: J. Devlin et al., BERT, NAACL 2019, section 3.1.
    """

    level = "mask"
    column_is_input = True
    takes_labels = False
    hub_task = "fill-mask"
    answer_phrase = ANSWER_PHRASES["masked-lm"]
    names_classes = False
    beyond_graphs = "a graph would hold a logit for each token of the vocabulary at each token of a text"
    Options: ClassVar[type] = MaskedLmOptions

    def __init__(self, task: TaskConfig, encoder_config: PreTrainedConfig) -> None:
        if not fills_masks(encoder_config):
            raise UserError(
                f"Task {task.name!r}: encoders of the family {encoder_config.model_type!r} have no mask token: "
                "Transformers has no ...ForMaskedLM that puts prediction layers on them. Leave the task out, or choose "
                "an encoder such as BERT, RoBERTa or ModernBERT."
            )
        super().__init__(task, encoder_config)

    def reset_parameters(self) -> None:
        """Set a bias over the vocabulary that no other layer holds to zero."""
        for module in self.modules():
            if isinstance(module, TiedOutput):
                module.reset()

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check that the task has no labels, and nothing that goes with them."""
        cls.options(task)
        for name in ("labels", "class_weights", "problem_type", "pooling"):
            if getattr(task, name) is not None:
                raise UserError(
                    f"Task {task.name!r}: {task.type} takes no {name}: its labels are the tokenizer's vocabulary. "
                    "Leave it out."
                )

    @classmethod
    def loss_of_guessing(cls, task: TaskConfig) -> float:
        """Return log 2^15: of a vocabulary as large as families have it, since a task does not know its encoder's."""
        return 15 * math.log(2)

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return the share of masked tokens that are predicted right; `scores_of_loss` adds the perplexity."""
        return default_metrics(task, "masked-lm")

    @classmethod
    def scores_of_loss(cls, loss: float) -> dict[str, float]:
        """Return ``perplexity``, the exponential of the mean loss a masked token."""
        return {"perplexity": math.exp(loss) if loss < 700 else math.inf}

    @classmethod
    def stock_problem_type(cls, task: TaskConfig) -> None:
        """Return nothing: a masked language model knows one problem."""
        return

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Refuse: labels come of masking, which `hf_mtl.data.MultiTaskCollator` does.

        Raises:
            TypeError: Always.
        """
        raise UserTypeError(f"Task {task.name!r}: labels of {task.type} come of masking, not of a column.")

    @classmethod
    def reference(cls, task: TaskConfig, value: Any) -> Any:
        """Return the ids of a row's masked tokens as they are.

        Raises:
            LabelError: If the column holds something else than text.
        """
        if not isinstance(value, (str, list)):
            raise LabelError(0, f"found {value!r}. Masked language modelling needs a text.")
        return value

    @classmethod
    def count_items(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return the number of tokens to predict."""
        return cls.has_label(labels).sum()

    @classmethod
    def output_names(cls, task: TaskConfig) -> None:
        """Return nothing: the logits are those of the vocabulary, which configs do not list."""
        return

    def forward(self, states: States, encoder: PreTrainedModel | None = None) -> torch.Tensor:
        """Return the logits [m, V] of m tokens.

        Args:
            states: Their states.
            encoder: The encoder, whose input embeddings are the last layer's matrix.
        """
        mask = states.values.new_ones(1, len(states.values), dtype=torch.long)
        logits: torch.Tensor = self.classifier(states.values[None], mask, encoder)
        return logits[0]

    def flat_logits(self, states: States, encoder: PreTrainedModel, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """Return the logits [m, V] of the m tokens that are asked for, or of all N: see `Head.flat_logits`."""
        if tokens is not None:
            states = states.tokens(states.flatten_labels(tokens, False).nonzero()[:, 0])
        logits: torch.Tensor = self(states, encoder)
        return logits

    def run(
        self,
        states: States,
        encoder: PreTrainedModel,
        labels: torch.Tensor | None = None,
        tokens: torch.Tensor | None = None,
    ) -> HeadOutput:
        """Return the logits of the tokens with a label, or of those asked for, or of all: see `Head.run`."""
        wanted = tokens if labels is None else self.has_label(labels)
        logits = self.flat_logits(states, encoder, wanted)
        if labels is None:
            return HeadOutput(logits, None, states.pad(logits) if wanted is None else logits)
        flat = states.flatten_labels(labels, self.no_label)
        return HeadOutput(logits, flat[self.has_label(flat)], logits)

    def resize_vocabulary(self, encoder_config: PreTrainedConfig) -> None:
        """Give the parameters that are as long as the vocabulary its new length; new places are zero."""
        resize_parameters(self, type(self), self.task, encoder_config)

    def tokens_to_score(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the tokens that were masked."""
        return self.has_label(labels)

    @staticmethod
    def of_rows(logits: torch.Tensor, rows: Any) -> torch.Tensor:
        """Return all logits: they are those of chosen tokens."""
        return logits

    def score(
        self, logits: torch.Tensor, labels: torch.Tensor, words: Sequence[WordMap], values: Sequence[Any]
    ) -> ScoredBatch:
        """Return for each row the likeliest token of each masked one, and the right one: see `Head.score`."""
        masked = self.has_label(labels)
        right, counts = labels[masked], masked.sum(1).tolist()
        predicted, true = ([ids.tolist() for ids in each.split(counts)] for each in (logits.argmax(-1), right))
        return ScoredBatch(predicted, true, float(self.loss_sum(logits, right)), len(right))

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy summed over masked tokens, in nats."""
        return cross_entropy_sum(self.task, logits, labels)

    def divergence_sum(self, logits_a: torch.Tensor, logits_b: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the divergence summed over masked tokens, in nats: see `Head.divergence_sum`."""
        return class_divergence(logits_a, logits_b, self.has_label(labels))

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[Any]:
        """Return the likeliest token of each masked one."""
        ids: list[Any] = logits.argmax(-1).tolist()
        return ids

    def answering(self, tokenizer: PreTrainedTokenizerBase | None = None) -> Answering:
        """Return what answers in the tokenizer's words."""
        return type(self) if tokenizer is None else _Fillings(tokenizer)

    @classmethod
    def answer_options(cls, task: TaskConfig) -> frozenset[str]:
        """Return ``top_k``."""
        return frozenset({"top_k"})

    @classmethod
    def answers(
        cls, task: TaskConfig, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Refuse: answers need the tokenizer, which `answering` brings along.

        Raises:
            TypeError: Always.
        """
        raise UserTypeError(
            f"Task {task.name!r}: answers of {task.type} need the tokenizer: head.answering(tokenizer)."
        )

    @classmethod
    def answer_fields(cls, task: TaskConfig, options: AnswerOptions | None = None) -> Any:
        """Return the fields of a filling in a list, or with ``top_k`` in a list of lists."""
        fields = {"token_str": str, "token": int, "score": float, "sequence": str}
        return [fields] if options is None or options.top_k is None else [[fields]]


@dataclass(frozen=True)
class _Fillings:
    """Answers with the tokens that the tokenizer knows, in the fields of Transformers' fill-mask pipeline."""

    tokenizer: PreTrainedTokenizerBase

    level: ClassVar[Literal["mask"]] = "mask"
    reads: ClassVar[Reading] = "text"
    needs_words: ClassVar[bool] = False

    def answer_options(self, task: TaskConfig) -> frozenset[str]:
        return MaskedLmHead.answer_options(task)

    def answers(
        self, task: TaskConfig, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        mask_id = self.tokenizer.mask_token_id
        rows, start = [], 0
        for word_map in words:
            ids = list(word_map.ids or ())
            places = [place for place, token in enumerate(ids) if token == mask_id]
            rows.append(
                [
                    self._fillings(logits[start + number], ids, place, len(places) == 1, options or AnswerOptions())
                    for number, place in enumerate(places)
                ]
            )
            start += len(places)
        return rows

    def _fillings(self, logits: np.ndarray, ids: list[int], place: int, is_only: bool, options: AnswerOptions) -> Any:
        scores = softmax(logits)
        count = options.top_k if isinstance(options.top_k, int) else 1 if options.top_k is None else len(scores)
        found = []
        for token in np.argsort(-scores, kind="stable")[:count].tolist():
            filled = [*ids[:place], token, *ids[place + 1 :]]
            found.append(
                {
                    "token_str": self.tokenizer.decode([token]),
                    "token": token,
                    "score": float(scores[token]),
                    # Where other masks are left, they are shown, and with them all special tokens, as stock does it.
                    "sequence": self.tokenizer.decode(filled, skip_special_tokens=is_only),
                }
            )
        return found[0] if options.top_k is None else found

    def answer_fields(self, task: TaskConfig, options: AnswerOptions | None = None) -> Any:
        return MaskedLmHead.answer_fields(task, options)
