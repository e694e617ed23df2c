"""What heads have in common that answer once a text."""

from __future__ import annotations

import torch
from transformers import PreTrainedConfig

from hf_mtl.configuration import TaskConfig
from hf_mtl.encoder import States, default_pooling, state_size
from hf_mtl.heads._base import Head
from hf_mtl.heads._pooling import FirstPooling, make_pooling
from hf_mtl.heads._stock import StockClassifier

__all__ = ["SequenceHead"]


class SequenceHead(Head):
    """A head that answers once a text."""

    level = "sequence"

    def __init__(self, task: TaskConfig, encoder_config: PreTrainedConfig) -> None:
        super().__init__(task, encoder_config)
        name = task.pooling
        if name is None and not self.classifier.is_stock and self.reads != "image":
            name = default_pooling(encoder_config)
        #: ``None``: the stock class pools by itself.
        self.pooling = None if name is None else make_pooling(name, state_size(encoder_config))

    @property
    def reads_first_tokens(self) -> bool:
        """Whether each text's first token, in the last layer, is all that the head reads, as far as is known."""
        # What a user's own forward reads is unknown.
        if self.reads_layers or type(self).forward is not SequenceHead.forward:
            return False
        if self.pooling is None:
            return isinstance(self.classifier, StockClassifier) and self.classifier.own_poolings == ("first",)
        return isinstance(self.pooling, FirstPooling)

    def forward(self, states: States) -> torch.Tensor:
        """Return the logits [R, C] of R texts."""
        if self.pooling is None:
            padded, mask = states.padded()
        else:
            pooled = self.pooling(states)
            # A text of one token: whichever token the family's own pooling picks, it finds this vector.
            padded, mask = pooled[:, None], pooled.new_ones(pooled.shape[0], 1, dtype=torch.long)
        return self.logits_of(self.classifier(padded, mask))

    def logits_of(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the logits [R, C] of what the last layer gave for R texts: the same."""
        return outputs
