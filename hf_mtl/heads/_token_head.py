"""What heads have in common that give logits of each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from hf_mtl.encoder import States
from hf_mtl.heads._base import Head
from hf_mtl.heads._output import HeadOutput, ScoredBatch
from hf_mtl_light.errors import UserError, UserTypeError
from hf_mtl_light.words import WordMap

__all__ = ["TokenHead"]


class TokenHead(Head):
    """A head with logits of each token.

    Its labels are [R, L], one for each token, with `no_label` at tokens that train nothing: special tokens, padding,
    and whatever else has no label. `loss_sum` and `count_items` leave those out.
    """

    level = "token"

    def forward(self, states: States) -> torch.Tensor:
        """Return the logits [n, C] of n tokens."""
        # The stock layers act on each token by itself, so the flat tokens may be passed as one text.
        mask = states.values.new_ones(1, states.values.shape[0], dtype=torch.long)
        logits: torch.Tensor = self.classifier(states.values[None], mask)[0]
        return logits

    @classmethod
    def count_items(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return the number of labelled tokens."""
        return cls.has_label(labels).sum()

    def flat_labels(self, states: States, labels: torch.Tensor) -> torch.Tensor:
        """Return one label a token, [N], of labels [R, L], with `no_label` wherever padding counts as tokens.

        Raises:
            TypeError: If the labels' dtype cannot hold `no_label`.
            ValueError: If they are not one for each token.
        """
        if not labels.is_floating_point() and not float(self.no_label).is_integer():
            raise UserTypeError(
                f"Task {self.task.name!r}: {type(self).__name__}.encode_labels returned {labels.dtype}, which cannot "
                f"hold no_label={self.no_label!r}, the mark of a token without a label. Return floating labels, or set "
                "no_label to a whole number."
            )
        try:
            return states.flatten_labels(labels, self.no_label)
        except ValueError as error:
            raise UserError(f"Task {self.task.name!r}: {error}") from None

    def run(
        self,
        states: States,
        encoder: PreTrainedModel,
        labels: torch.Tensor | None = None,
        tokens: torch.Tensor | None = None,
    ) -> HeadOutput:
        """Return the logits of all tokens, and the labels of each: see `Head.run`."""
        logits = self.flat_logits(states, encoder)
        return HeadOutput(logits, None if labels is None else self.flat_labels(states, labels), states.pad(logits))

    def score(
        self, logits: torch.Tensor, labels: torch.Tensor, words: Sequence[WordMap], values: Sequence[Any]
    ) -> ScoredBatch:
        """Return predictions, labels and loss of R rows: see `Head.score`."""
        # Padding has no label, so that it adds nothing to the loss.
        flat = labels.flatten(0, 1)
        loss, items = self.loss_sum(logits.flatten(0, 1), flat), self.count_items(flat)
        return ScoredBatch(self.predictions(logits, words), list(values), float(loss), int(items))
