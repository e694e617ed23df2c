"""Multi-task models made of stock models, and stock models of their tasks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from torch import nn
from transformers import PreTrainedModel

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import MultiTaskConfig
from hf_mtl.encoder import check_finite
from hf_mtl.heads import Head
from hf_mtl.stock._from_stock import load_head, plain_encoder, read_stock, same_encoder
from hf_mtl.stock._to_stock import to_stock
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ExchangeableModel"]


class ExchangeableModel(PreTrainedModel):
    """A model whose tasks are exchanged with stock Transformers models."""

    config: MultiTaskConfig
    encoder: PreTrainedModel
    heads: nn.ModuleDict
    if TYPE_CHECKING:
        # The whole model has it.
        from_encoder: Any

        encoder_of: Any

        has_adapters: Any

        @property
        def task_heads(self) -> dict[str, Head]: ...

    @classmethod
    def from_transformers(
        cls,
        models: Mapping[str, PreTrainedModel | str | Path],
        encoder: str | None = None,
        *,
        types: Mapping[str, str] | None = None,
        unpad: bool | Literal["auto"] = "auto",
        **kwargs: Any,
    ) -> Self:
        """Bring the heads of stock models together on the encoder of one of them.

        The task whose encoder is kept answers as before, bit for bit in a padded run, and so does every task whose
        model has the same encoder weights. Other heads meet states that they were not trained on: a warning names
        them, and they are to be trained again.

        Args:
            models: For each task's name a stock model (``...ForSequenceClassification``,
                ``...ForTokenClassification``, ``...ForQuestionAnswering``, ``...ForMultipleChoice`` or
                ``...ForMaskedLM``), its folder or its Hub id. Labels and types are read from their configs. They are
                not changed.
            encoder: The task whose encoder is kept; ``None`` is the first.
            types: Task types in place of those of the configs: ``{"opinion": "sentiment"}``.
            unpad: Whether the encoder computes the tokens alone; ``"auto"``: where its family allows it.
            kwargs: Arguments of ``from_pretrained`` for models given by name.

        Raises:
            ValueError: If a model has no classification head, or another family or size than the encoder.
        """
        names = list(models)
        kept = names[0] if encoder is None and names else encoder
        for source, wanted in (("encoder", [kept]), ("types", types or ())):
            for name in wanted:
                if name not in models:
                    hint = nearest(str(name), names)
                    raise UserError(
                        f"{source} names {name!r}, which is none of the models.{hint} Models: {listed(names)}."
                    )
        stock = {name: read_stock(name, model, (types or {}).get(name), **kwargs) for name, model in models.items()}
        foreign = [name for name in names if not same_encoder(stock[str(kept)], stock[name])]
        model: Self = cls.from_encoder(
            plain_encoder(stock[str(kept)]), [single.task for single in stock.values()], unpad=unpad
        )
        for name, single in stock.items():
            load_head(cast(Head, model.heads[name]), single)
            model.task_heads[name].is_new = False
        if foreign:
            warnings.warn(
                f"The encoder is that of {kept!r}. These tasks come from models with other encoder weights, so their "
                f"heads do not fit it and must be trained again: {listed(foreign)}.",
                stacklevel=2,
            )
        return model

    def to_transformers(self, task: str) -> PreTrainedModel:
        """Return a task as a stock Transformers model, such as ``BertForSequenceClassification``, with its own weights.

        It answers as this model does: its logits are those of a padded run (``unpad=False``) bit for bit, those of
        regression in the labels' own unit. Save it with ``save_pretrained``, or use `hf_mtl.export`.

        Args:
            task: Name of the task.

        Raises:
            KeyError: If there is no such task.
            ValueError: If no stock class can express its head; the message says why and what to train instead. Or if a
                weight is infinite or not a number.
        """
        self.config.task(task)
        check_finite(self.named_parameters(), f"Task {task!r} cannot leave as a stock model")
        if self.has_adapters:
            raise UserError(
                f"Task {task!r}: a stock model has no adapters. Merge them first: model.merge_and_unload() adds them "
                "to the encoder's weights."
            )
        return to_stock(self.encoder_of(task), self.task_heads[task])
