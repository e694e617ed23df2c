"""Tags of words that know their neighbours: a linear-chain conditional random field on the logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from hf_mtl.configuration import TaskConfig
from hf_mtl.encoder import FlatLayout
from hf_mtl.heads._base import Head
from hf_mtl.heads._chain import Chains, lay_out
from hf_mtl.heads._divergence import log_divergence
from hf_mtl.heads._labels import LabelError
from hf_mtl.heads._numerics import as_array, at_least_float32
from hf_mtl.heads._soft_labels import ClassTarget, token_tensor
from hf_mtl.heads.token_classification import TaggingOptions, TokenClassificationHead
from hf_mtl_light.answering import Answering, AnswerOptions, TagAnswers
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.errors import UserError, UserTypeError
from hf_mtl_light.tags import TagDecoder
from hf_mtl_light.words import Reading, WordMap

__all__ = ["CrfTaggingHead"]

#: The tag of a word whose label is null: it takes part in its chain, as any tag.
UNKNOWN = -1
#: Added to the tag of a chain's first word. The labels reach the loss without padding and without their rows' ends,
#: so they say themselves where a chain begins.
FIRST = 1 << 30
#: Logits beyond it, in nats, are cut when tags are decoded: with minus infinity an illegal tag would tie with a legal.
_BOUND = 1e4


class CrfTaggingHead(TokenClassificationHead):
    r"""Tag the words of a text together, each by its first sub-word and by its neighbours' tags.

    The tags y of W words have the probability

    .. math:: P(y) \propto \exp\Bigl(b_{y_1} + \sum_t e_{t, y_t} + \sum_{t > 1} T_{y_{t-1}, y_t} + f_{y_W}\Bigr)

    with the logits e of plain tagging, learned transitions T, starts b and ends f, all of which begin at zero. The loss
    is the negative log-likelihood of the labelled words' tags; it sums over all tags that a word without a label may
    have. Words without a sub-word are no part of a chain: they part it in two. Of words with distributions over the
    tags it is the expectation, each word's tag drawn by itself.

    Labels, metrics and answers are those of `TokenClassificationHead`. With ``constrained_decoding`` the answer is the
    likeliest legal sequence; a score is the probability of the word's tag, given the text and that its tags are legal.

    Source: J. Lafferty, A. McCallum, F. Pereira, Conditional Random Fields, ICML 2001; for words without a label
    Y. Tsuboi et al., Training Conditional Random Fields Using Incomplete Annotations, COLING 2008, section 4.
    """

    Options: ClassVar[type] = TaggingOptions

    def __init__(self, task: TaskConfig, encoder_config: PreTrainedConfig) -> None:
        super().__init__(task, encoder_config)
        self.starts = nn.Parameter(torch.zeros(task.num_labels))
        self.transitions = nn.Parameter(torch.zeros(task.num_labels, task.num_labels))
        self.ends = nn.Parameter(torch.zeros(task.num_labels))

    def reset_parameters(self) -> None:
        """Set the transitions to zero: the tags of a new head do not know each other."""
        for parameter in (self.starts, self.transitions, self.ends):
            nn.init.zeros_(parameter)

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check the labels, and that nothing weighs single tags."""
        super().check(task)
        if task.class_weights or task.label_smoothing:
            raise UserError(
                f"Task {task.name!r}: {task.type} takes no class_weights and no label_smoothing: its loss is that of "
                "whole sequences. Leave them out, or use the type 'token-classification'."
            )

    @classmethod
    def _targets(cls, task: TaskConfig, tags: Any, words: int, row: int) -> list[ClassTarget | None]:
        targets = super()._targets(task, tags, words, row)
        if _is_soft(targets) and None in targets:
            raise LabelError(
                row,
                f"word {targets.index(None)} has no label, where others have distributions. In a row with "
                f"distributions {task.type} needs a label for each word.",
            )
        return targets

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Return [R, L] int64: tag ids at the words' first tokens, -1 for a null tag, else `no_label`.

        2^30 is added at the first word of each chain. Where a word has a distribution, [R, L, C + 1] float32: the
        probability of each tag, all 0 for a null tag, and a 1 after them at the first word of each chain.
        """
        rows = [cls._targets(task, tags, len(words[row].spans), row) for row, tags in enumerate(values)]
        encoded = []
        for targets, word_map in zip(rows, words, strict=True):
            of_row: list[tuple[ClassTarget | None, bool] | None] = []
            previous = None
            for word in word_map.word_ids:
                if word is None or word == previous:
                    of_row.append(None)
                    continue
                of_row.append((targets[word], previous is None or word != previous + 1))
                previous = word
            encoded.append(of_row)
        return cls._soft_tensor(task, encoded) if any(map(_is_soft, rows)) else cls._tensor(encoded)

    @classmethod
    def _tensor(cls, rows: Sequence[Sequence[Any]]) -> torch.Tensor:
        return torch.tensor(
            [
                [cls.no_label if w is None else (UNKNOWN if w[0] is None else w[0]) + FIRST * w[1] for w in row]
                for row in rows
            ]
        )

    @classmethod
    def _soft_tensor(cls, task: TaskConfig, rows: Sequence[Sequence[Any]]) -> torch.Tensor:
        tags = token_tensor([[w and w[0] for w in row] for row in rows], task.num_labels, 0, soft=True)
        begins = torch.tensor([[float(w is not None and w[1]) for w in row] for row in rows])
        is_word = torch.tensor([[w is not None for w in row] for row in rows])
        return torch.cat([tags, begins[..., None]], -1).masked_fill(~is_word[..., None], cls.no_label)

    @classmethod
    def count_items(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return the number of labelled words."""
        if labels.is_floating_point():
            return labels[..., :-1].sum(-1).gt(0).sum()
        return (labels.ge(0) & labels.ne(FIRST + UNKNOWN)).sum()

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the negative log-likelihood summed over the labelled words, in nats.

        Of a chain with distributions it is the expectation over tags that are drawn for each word by itself.

        Raises:
            ValueError: If the labels do not say where chains begin.
        """
        words, tags, layout = self._words(labels)
        if not len(words):
            return at_least_float32(logits).sum() * 0.0
        chains = self._chains(logits[words], layout)
        if labels.is_floating_point():
            return (chains.log_partition() - self._expected(chains, logits[words], tags, layout)).sum()
        right = chains.score(layout.pad(tags)) if bool(tags.ge(0).all()) else self._known(logits[words], tags, layout)
        return (chains.log_partition() - right).sum()

    def _known(self, logits: torch.Tensor, tags: torch.Tensor, layout: FlatLayout) -> torch.Tensor:
        """Return the logarithm of the summed scores of all sequences with the tags that are known, [R]."""
        any_tag = torch.arange(logits.shape[1], device=tags.device)
        ruled_out = tags.ge(0)[:, None] & (tags[:, None] != any_tag)
        return self._chains(logits.masked_fill(ruled_out, -torch.inf), layout).log_partition()

    def _expected(
        self, chains: Chains, logits: torch.Tensor, probabilities: torch.Tensor, layout: FlatLayout
    ) -> torch.Tensor:
        """Return the expected score of chains with distributions, and `_known` of those without a tag at some word."""
        is_known = probabilities.gt(0).any(-1)
        tags = torch.where(is_known, probabilities.argmax(-1), UNKNOWN)
        expected = chains.expected_score(layout.pad(probabilities.double()))
        if bool(is_known.all()):
            return expected
        # No chain has both: see `_targets`.
        return torch.where(layout.pad(~is_known).any(1), self._known(logits, tags, layout), expected)

    def divergence_sum(self, logits_a: torch.Tensor, logits_b: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the divergence of the words' marginal probabilities summed over labelled words, in nats.

        Words without a tag add nothing themselves, but their logits reach their neighbours. See `Head.divergence_sum`.

        Raises:
            ValueError: If the labels do not say where chains begin.
        """
        words, tags, layout = self._words(labels)
        is_known = tags.gt(0).any(-1) if labels.is_floating_point() else tags.ge(0)
        both = (layout.flatten(self._chains(each[words], layout).log_marginals()) for each in (logits_a, logits_b))
        return log_divergence(*(logs[is_known] for logs in both))

    def label_probabilities(self, logits: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Return the marginal probability of each tag of words, 0 at other tokens: see `Head.label_probabilities`."""
        assert labels is not None
        flat = logits.flatten(0, 1)
        words, _, layout = self._words(labels.flatten(0, 1))
        return (
            torch.zeros_like(flat, dtype=torch.float64)
            .index_copy(0, words, self._marginals(flat[words], layout))
            .view_as(logits)
        )

    def _marginals(self, logits: torch.Tensor, layout: FlatLayout) -> torch.Tensor:
        return layout.flatten(self._legal_chains(logits, layout).marginals())

    @classmethod
    def soft_labels(cls, task: TaskConfig, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the probabilities at words and where chains begin, [R, L, C + 1]: see `Head.soft_labels`."""
        is_soft = labels.is_floating_point()
        is_word = labels[..., 0].ge(0) if is_soft else labels.ge(UNKNOWN)
        begins = labels[..., -1].eq(1) if is_soft else labels.ge(FIRST + UNKNOWN)
        both = torch.cat([probabilities, begins[..., None].to(probabilities)], -1)
        return both.masked_fill(~is_word[..., None], cls.no_label)

    def taught_sum(self, logits: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """Return the loss of a teacher's marginals, at temperature 1 alone: see `Head.taught_sum`."""
        return Head.taught_sum(self, logits, labels, temperature)

    def _words(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, FlatLayout]:
        """Return where words are, [m] int64, their labels, and how they form chains.

        The labels are tags, [m] int64, -1 for none, or probabilities [m, C], all 0 for none.

        Args:
            labels: [n] or [n, C + 1], as `loss_sum` takes them.

        Raises:
            ValueError: If the labels do not say where chains begin.
        """
        if labels.is_floating_point():
            begins, tags = labels[:, -1].eq(1), labels[:, :-1]
            words = tags[:, 0].ge(0).nonzero()[:, 0]
        else:
            begins = labels.ge(FIRST + UNKNOWN)
            tags = torch.where(begins, labels - FIRST, labels)
            words = tags.ge(UNKNOWN).nonzero()[:, 0]
        begins, tags = begins[words], tags[words]
        if len(words) and not begins[0]:
            raise UserError(
                f"Task {self.task.name!r}: labels of {self.task.type} must come from {type(self).__name__}."
                "encode_labels, which marks where each text begins; plain tag ids do not say it."
            )
        first = begins.nonzero()[:, 0]
        return words, tags, lay_out(torch.cat([first, first.new_tensor([len(words)])]).diff())

    def _chains(self, logits: torch.Tensor, layout: FlatLayout) -> Chains:
        """Return the chains of words' logits [n, C], in float64: see `hf_mtl.heads._chain`."""
        # Answers are decoded where their logits are, which need not be where the weights are.
        starts, transitions, ends = (p.to(logits.device).double() for p in (self.starts, self.transitions, self.ends))
        return Chains(layout.pad(logits.double()), layout.lengths, starts, transitions, ends)

    def _legal_chains(self, logits: torch.Tensor, layout: FlatLayout) -> Chains:
        """Return the same without illegal sequences."""
        chains = self._chains(logits.double().nan_to_num(nan=-_BOUND).clamp(-_BOUND, _BOUND), layout)
        legal = self.legal_tags(self.task)
        if legal is None:
            return chains
        return Chains(
            chains.emissions,
            chains.lengths,
            _without(chains.starts, legal.starts),
            _without(chains.pairs, legal.pairs),
            _without(chains.ends, legal.ends),
        )

    @classmethod
    def describe(cls, task: TaskConfig) -> TaskDescription | None:
        """Return nothing: answers need the transitions."""
        return None

    def decoder(self) -> TagDecoder:
        """Return the head itself: its transitions are weights."""
        return self

    def answering(self, tokenizer: PreTrainedTokenizerBase | None = None) -> Answering:
        """Return the head with its transitions."""
        return _ChainAnswers(self)

    @classmethod
    def answer_options(cls, task: TaskConfig) -> frozenset[str]:
        """Return those of all tags."""
        return TagAnswers.options

    @classmethod
    def answers(
        cls, task: TaskConfig, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Refuse: answers need the transitions, which `answering` brings along.

        Raises:
            TypeError: Always.
        """
        raise UserTypeError(
            f"Task {task.name!r}: answers of {task.type} need its weights. Ask head.answering().answers."
        )

    @classmethod
    def answer_fields(cls, task: TaskConfig, options: AnswerOptions | None = None) -> Any:
        """Return a list of entities, or of tagged words or tokens."""
        return TagAnswers.answer_fields(cls.describe_tags(task), options)

    @classmethod
    def stock_problem_type(cls, task: TaskConfig) -> None:
        """Refuse: stock classes have no transitions.

        Raises:
            ValueError: Always.
        """
        raise UserError(
            f"Task {task.name!r}: the transitions between tags of {task.type} have no stock form, nor one in ONNX. "
            "Train the task with the type 'token-classification', whose answers are legal tags, too."
        )

    @torch.no_grad()
    def decode(self, logits: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the tag ids [n] of the likeliest legal sequences: see `TagDecoder`."""
        layout = lay_out(torch.from_numpy(lengths))
        return as_array(layout.flatten(self._legal_chains(torch.from_numpy(logits), layout).best()))

    @torch.no_grad()
    def probabilities(self, logits: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the marginal probability of each tag of words, [n, C]."""
        return as_array(self._marginals(torch.from_numpy(logits), lay_out(torch.from_numpy(lengths))))


def _is_soft(targets: Sequence[ClassTarget | None]) -> bool:
    return any(isinstance(target, list) for target in targets)


def _without(scores: torch.Tensor, may: np.ndarray) -> torch.Tensor:
    """Return scores with minus infinity where they may not be."""
    return scores.masked_fill(torch.from_numpy(~may).to(scores.device), -torch.inf)


@dataclass(frozen=True)
class _ChainAnswers:
    """A head as what answers with its weights, as they are when it is asked."""

    head: CrfTaggingHead

    level: ClassVar[Literal["token"]] = "token"
    reads: ClassVar[Reading] = "text"
    needs_words: ClassVar[bool] = True

    def answer_options(self, task: TaskConfig) -> frozenset[str]:
        return TagAnswers.options

    def answers(
        self, task: TaskConfig, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        return TagAnswers.decoded(self.head, self.head.describe_tags(task), logits, words, options)

    def answer_fields(self, task: TaskConfig, options: AnswerOptions | None = None) -> Any:
        return self.head.answer_fields(task, options)
