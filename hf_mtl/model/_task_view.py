"""One task of a model as Transformers' own pipelines know a model."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from hf_mtl.heads import Head, stock_output
from hf_mtl_light.errors import UserError

__all__ = ["TaskView", "view_task"]


def _view_config(head: Head, encoder_config: PreTrainedConfig) -> PreTrainedConfig:
    """Return the encoder's config with the labels of a head's task."""
    task = head.task
    config = copy.deepcopy(encoder_config)
    names = head.output_names(task)
    if names is None:
        return config
    config.num_labels = len(names)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}
    kind: Any = "regression" if head.is_regression else task.problem_type or "single_label_classification"
    config.problem_type = None if head.classifier.kind in ("span", "choice") else kind
    return config


class TaskView(PreTrainedModel):
    """A task of a multi-task model, with the config and the logits of a single-task one.

    It holds the model, not a copy: what is trained there is answered here. Its class bears the name of the stock class
    whose layers the head has (``BertForSequenceClassification``), by which Transformers' pipelines know what they can
    take. It cannot be saved.

    Args:
        model: The multi-task model.
        head: The task's head in it.
        config: The config of the encoder.
    """

    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    main_input_name = "input_ids"

    def __init__(self, model: PreTrainedModel, head: Head, config: PreTrainedConfig) -> None:
        super().__init__(_view_config(head, config))
        # No `post_init`: there is nothing here to initialise.
        self.multi_task = model
        self.task = head.task
        self.eval()

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the task's logits: [B, C], or [B, L, C] of tokens; of a regression in the labels' own unit.

        Of question answering they are ``start_logits`` and ``end_logits``, [B, L] each. Multiple choice takes inputs
        of [B, choices, L] and gives [B, choices].
        """
        heads: Any = self.multi_task.task_heads
        head = heads[self.task.name]
        tokens = input_ids if input_ids is not None else inputs_embeds
        shape = () if tokens is None else tokens.shape[:2]
        if head.reads == "choices":
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds = (
                None if given is None else given.flatten(0, 1)
                for given in (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
            )
        output = self.multi_task(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            tasks=[self.task.name],
            return_dict=True,
            **kwargs,
        )
        logits = output.logits[self.task.name]
        more = {"hidden_states": output.hidden_states, "attentions": output.attentions}
        result = stock_output(head.classifier.kind, head.in_unit(logits), shape, **more)
        return result.to_tuple() if return_dict is False else result

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: the weights are those of the multi-task model.

        Raises:
            ValueError: Always.
        """
        raise UserError(
            f"The view of task {self.task.name!r} has no weights to save. Save the multi-task model, or "
            "export the task as a stock model."
        )


def view_task(model: PreTrainedModel, head: Head, encoder_config: PreTrainedConfig) -> TaskView:
    """Return the view of a head's task, under the name of the stock class that the head's layers are of."""
    stock = head.classifier.stock
    name = type(stock).__name__ if isinstance(stock, PreTrainedModel) else TaskView.__name__
    view: TaskView = type(name, (TaskView,), {"__module__": TaskView.__module__})(model, head, encoder_config)
    return view
