"""The model: an encoder, or one for each modality, and a head for each task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from hf_mtl.configuration import Modality, MultiTaskConfig, TaskConfig, check_built, listed_tasks, modality
from hf_mtl.encoder import States, encode_images
from hf_mtl.heads import Head, OwnLayers
from hf_mtl.model._adapters import AdaptedModel
from hf_mtl.model._asked import asked_heads, given_inputs, states_of
from hf_mtl.model._branches import BranchedModel, build_branches
from hf_mtl.model._encoders import build_heads, load_encoders, made_encoder
from hf_mtl.model._freezing import FreezableModel, apply_frozen
from hf_mtl.model._loading import LoadableModel, refuse_fields_of_one_task
from hf_mtl.model._outputs import MultiTaskOutput
from hf_mtl.model._padding_free import PaddingFreeModel
from hf_mtl.model._prediction_layers import load_prediction_layers
from hf_mtl.model._saving import ShareableModel
from hf_mtl.model._tasks import TaskedModel
from hf_mtl.stock import ExchangeableModel

__all__ = ["MultiTaskModel"]


class MultiTaskModel(
    LoadableModel,
    ExchangeableModel,
    ShareableModel,
    AdaptedModel,
    FreezableModel,
    BranchedModel,
    PaddingFreeModel,
    TaskedModel,
):
    r"""One pretrained encoder that answers several tasks in one pass.

    The loss of a batch is the sum over its tasks :math:`t` of

    .. math:: w_t \frac{r_t}{B} \cdot \frac{1}{n_t} \sum_i \ell_{t,i}

    where :math:`w_t` is the task's weight, :math:`r_t` the batch's rows with a label of the task, :math:`B` its rows
    and :math:`n_t` its labelled items (tokens for tagging, rows otherwise).

    Args:
        config: The encoder's config and the tasks.
        encoder: An encoder with weights; ``None`` builds one from the config.
        image_encoder: Likewise the encoder of pictures beside it.
        heads: Further task types and their heads, besides `hf_mtl.heads.HEADS`.
        unpad: Whether the encoder computes the tokens alone and not the padding; the answers are the same.
            ``"auto"``: where its family is known to allow it.

    Raises:
        ValueError: If a task does not fit its type, or ``unpad`` is true and the encoder cannot.
    """

    config_class = MultiTaskConfig
    config: MultiTaskConfig
    base_model_prefix = "encoder"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    # What the encoder cannot do it refuses itself, when it is built with the same attention implementation.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # `forward` takes keyword arguments for the encoder; the trainer scales the loss for accumulation itself.
    accepts_loss_kwargs = False

    def __init__(
        self,
        config: MultiTaskConfig,
        encoder: PreTrainedModel | None = None,
        heads: Mapping[str, type[Head]] | None = None,
        unpad: bool | Literal["auto"] = "auto",
        image_encoder: PreTrainedModel | None = None,
    ) -> None:
        super().__init__(config)
        self.encoder = made_encoder(encoder, config.encoder_config)
        self.image_encoder = (
            None if config.image_encoder_config is None else made_encoder(image_encoder, config.image_encoder_config)
        )
        # Activation checkpointing is the encoder's, and so is the refusal where its family knows none.
        self.supports_gradient_checkpointing = all(e.supports_gradient_checkpointing for e in self.encoders.values())
        self.main_input_name = self.encoder.main_input_name
        self.branches = build_branches(self.encoder, config)
        self.heads = build_heads(config, heads)
        check_built(self)
        self.unpad = unpad
        self.post_init()
        if config.frozen:
            apply_frozen(self)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Reached only by what the heads own outside of their stock layers, which initialise themselves.
        if not isinstance(module, (Head, *OwnLayers)):
            self.encoder._init_weights(module)
            return
        # A reset writes in place, past the guard of Transformers' own initialisers, which leave loaded values alone.
        loaded = [(p, p.clone()) for p in module.parameters() if getattr(p, "_is_hf_initialized", False)]
        if isinstance(module, Head):
            module.reset_parameters()
        else:
            module.reset()
        for parameter, values in loaded:
            parameter.copy_(values)

    @classmethod
    def is_custom_code(cls) -> bool:
        """Return whether the code came from the Hub.

        For code outside of Transformers the base class says yes, and then takes a module that holds no parameters
        itself for initialised: ModernBERT's prediction head would lose its family's rule.
        """
        return bool(cls.is_remote_code())

    # Building

    @classmethod
    def from_encoder(
        cls,
        encoder: str | Path | PreTrainedModel | Mapping[str, str | Path | PreTrainedModel],
        tasks: Iterable[TaskConfig | Mapping[str, Any]],
        *,
        heads: Mapping[str, type[Head]] | None = None,
        unpad: bool | Literal["auto"] = "auto",
        bidirectional: bool = False,
        branches: Mapping[str, int] | None = None,
        **kwargs: Any,
    ) -> MultiTaskModel:
        """Put new heads on a pretrained encoder.

        The heads are initialised by the encoder family's own rule, from torch's global generator: seed it first
        (`transformers.set_seed`) for the same heads each time.

        Args:
            encoder: Hub id, folder, or a loaded encoder, which the new model takes over; or one for each modality,
                ``{"text": ..., "image": ...}``.
            tasks: The tasks, in the order of the heads.
            heads: Further task types and their heads.
            unpad: Whether the encoder computes the tokens alone; ``"auto"``: where its family allows it.
            bidirectional: Whether each token of a decoder-only encoder sees its whole text and not only what
                precedes it, where the family allows it.
            branches: Branch -> number of the encoder's top layers that its tasks have for themselves, each a copy that
                starts from the encoder's layer. ``TaskConfig(branch=...)`` names a task's branch; tasks without one
                read the encoder's own layers.
            kwargs: Arguments of ``AutoModel.from_pretrained``, such as ``dtype``, ``attn_implementation``,
                ``device_map`` or ``revision``.

        Raises:
            ValueError: If a task does not fit its type or the encoder, task names clash, or the encoder cannot be made
                bidirectional.
            TypeError: If ``encoder`` returns no states, or is an encoder and a decoder.

        >>> from transformers import BertConfig, BertModel
        >>> bert = BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=9))
        >>> model = MultiTaskModel.from_encoder(bert, [TaskConfig("polarity", "sentiment", labels=["bad", "good"])])
        >>> model(input_ids=torch.tensor([[1, 2, 3]])).logits["polarity"].shape
        torch.Size([1, 2])
        """
        tasks = listed_tasks(tasks)
        refuse_fields_of_one_task(kwargs)
        MultiTaskConfig(tasks=tasks, branches=branches)  # a wrong task is found before a large encoder is loaded
        encoders, pooler = load_encoders(encoder, bidirectional, **kwargs)
        loaded = next(iter(encoders.values()))
        beside = encoders["image"] if len(encoders) > 1 else None
        # The encoders' own config objects, not copies: their layers read their attention implementation from them.
        # A new config resets that choice on its sub-configs, so it is kept over the call.
        configs: dict[str, Any] = {"encoder_config": loaded.config}
        if beside is not None:
            configs["image_encoder_config"] = beside.config
        attention = {key: given._attn_implementation for key, given in configs.items()}
        config = MultiTaskConfig(**configs, tasks=tasks, branches=branches)
        config._attn_implementation = {"": attention["encoder_config"], **attention}
        config.dtype = loaded.dtype
        model = cls(config, encoder=loaded, heads=heads, unpad=unpad, image_encoder=beside)
        if pooler is not None:
            weights = {name: value.float() for name, value in pooler.state_dict().items()}
            for head in model.task_heads.values():
                if head.classifier.pooler is not None:
                    head.classifier.pooler.load_state_dict(weights)
        of_texts = encoder.get("text") if isinstance(encoder, Mapping) else encoder
        if isinstance(of_texts, (str, Path)) and "text" in encoders:
            load_prediction_layers(model.task_heads, str(of_texts), **kwargs)
        model.heads.to(device=loaded.device, dtype=loaded.dtype)
        for head in model.task_heads.values():
            head.is_new = True
        model.eval()
        return model

    @property
    def task_heads(self) -> dict[str, Head]:
        """The head of each task, in order; a shared one under each of its tasks."""
        held: dict[str, Any] = dict(self.heads.items())
        return {
            task.name: held[task.name] if task.tied_to is None else held[task.tied_to].tied(task)
            for task in self.config.tasks
        }

    @property
    def encoders(self) -> dict[Modality, PreTrainedModel]:
        """The encoders by what they read: of a model of texts or pictures alone one, `encoder`."""
        found: dict[Modality, PreTrainedModel] = {modality(self.encoder.config): self.encoder}
        return found if self.image_encoder is None else {**found, "image": self.image_encoder}

    # What Transformers asks of a model

    def get_input_embeddings(self) -> nn.Module:
        """Return the encoder's token embeddings."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the encoder's token embeddings."""
        self.encoder.set_input_embeddings(value)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Resize the vocabulary: see ``transformers.PreTrainedModel.resize_token_embeddings``."""
        embeddings: nn.Embedding = super().resize_token_embeddings(*args, **kwargs)
        for head in self.task_heads.values():
            head.resize_vocabulary(self.config.get_text_config())
        return embeddings

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pairs: torch.Tensor | None = None,
        labels: Mapping[str, torch.Tensor] | None = None,
        rows: Mapping[str, torch.Tensor] | None = None,
        tasks: Sequence[str] | None = None,
        tokens: Mapping[str, torch.Tensor] | None = None,
        num_items: Mapping[str, torch.Tensor] | None = None,
        loss_weights: Mapping[str, torch.Tensor] | None = None,
        return_dict: bool | None = None,
        return_judged: bool = False,
        return_states: bool = True,
        **kwargs: Any,
    ) -> MultiTaskOutput | tuple[Any, ...]:
        """Run each encoder once, where the batch has what it reads, and the heads that are asked for.

        Args:
            input_ids: [B, L] int64 token ids.
            attention_mask: [B, L], nonzero at real tokens; ``None``: all are real.
            token_type_ids: [B, L] int64, which of a pair's texts a token belongs to.
            position_ids: [B, L] int64.
            inputs_embeds: [B, L, H] in place of ``input_ids``.
            pixel_values: [B', channels, height, width], pictures as their encoder's image processor makes them. Tasks
                of pictures see these B' rows, tasks of texts the B rows of ``input_ids``.
            pairs: [P, 2] int64, which text and which picture belong together, -1 for none: the P rows of tasks that
                read both. ``None``: those of the same number.
            labels: For each task with labels what its head's ``encode_labels`` gives: [R] class ids or numbers, [R, C]
                zeros and ones, or [R, L] tag ids with -100, the head's ``no_label``, at positions without a label.
            rows: For each task: [R] int64, the rows that its head sees; a task that is not named sees none.
                ``None``: every head sees every row.
            tasks: Names of the tasks to run; ``None`` runs all that have rows.
            tokens: For tasks of masked tokens [R, L] bool, the tokens whose logits are computed; of a task that is not
                named those with a label, or all if it has none.
            num_items: For each task the divisor of its summed loss; ``None``: its labelled items here. A trainer that
                cuts a step into several passes gives the items of the whole step.
            loss_weights: For each task the factor of its mean loss; ``None``: its weight times its share of the
                rows.
            return_dict: ``False`` returns a tuple.
            return_judged: Whether to return the logits and labels that the losses are of, too.
            return_states: Whether ``last_hidden_state`` is wanted; else tokens that no task reads may be left out.
            kwargs: Passed to the encoder, such as ``output_hidden_states``.

        Returns:
            Losses and logits, nested by task.

        Raises:
            ValueError: If a task is unknown, or the batch lacks what one of ``tasks`` reads.
        """
        given = {"input_ids": input_ids, "inputs_embeds": inputs_embeds, "token_type_ids": token_type_ids}
        inputs = {name: value for name, value in {**given, "position_ids": position_ids}.items() if value is not None}
        has = given_inputs(inputs_embeds if input_ids is None else input_ids, pixel_values)
        heads = asked_heads(self.task_heads, has, tasks, labels, rows)
        read: dict[str, dict[Modality, tuple[States, Sequence[torch.Tensor]]]] = {name: {} for name in heads}
        outputs = []
        for of_branch, encoder, reads_layers in self._passes(heads, kwargs, has):
            states: States
            if pixel_values is not None and modality(encoder.config) == "image":
                states, layers, encoded = encode_images(encoder, pixel_values, reads_layers, **kwargs)
            elif not return_states and not kwargs and self.can_leave_tokens_out(of_branch.values()):
                states, layers = self.encode_states(inputs, attention_mask, first_tokens=True, encoder=encoder)
                encoded = None
            else:
                states, layers, encoded = self.encode(inputs, attention_mask, reads_layers, encoder, **kwargs)
            for name in of_branch:
                read[name][modality(encoder.config)] = (self._in_precision_of_heads(states), layers)
            outputs.append((states, encoded))
        (any_states, encoded), logits, losses, judged = outputs[0], {}, {}, {}
        weighted: torch.Tensor | None = None
        for name, head in heads.items():
            chosen = rows[name] if rows is not None else None
            # Heads compute in the precision of their weights: they are small, and autocast on a CPU would have a
            # kernel compiled for each number of rows or tokens.
            last, layers = states_of(head, read[name], pairs)
            with torch.autocast(last.values.device.type, enabled=False):
                states = head.read(last, layers)
                states = states if chosen is None else states.select(chosen)
                ran = head.run(states, self.encoder, (labels or {}).get(name), (tokens or {}).get(name))
            if labels is not None and ran.labels is not None:
                judged[name] = ran
                total = head.loss_sum(ran.logits, ran.labels)
                items = head.count_items(ran.labels).clamp(min=1) if num_items is None else num_items[name]
                losses[name] = total / items.to(total)
                share = head.task.weight * len(labels[name]) / last.rows
                term = losses[name] * (share if loss_weights is None else loss_weights[name].to(total))
                weighted = term if weighted is None else weighted + term
            logits[name] = ran.shown
        if labels is not None and weighted is None:
            # A batch without any label trains nothing; the zero keeps backward defined.
            weighted = any_states.values.sum() * 0.0
        output = MultiTaskOutput(
            loss=weighted,
            losses=losses if labels is not None else None,
            logits=logits,
            last_hidden_state=encoded.last_hidden_state if return_states else None,
            hidden_states=getattr(encoded, "hidden_states", None),
            attentions=getattr(encoded, "attentions", None),
            judged=judged if return_judged else None,
        )
        as_dict = return_dict if return_dict is not None else self.config.return_dict
        return output if as_dict else output.to_tuple()

    def flat_logits(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        tasks: Sequence[str] | None = None,
        tokens: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pairs: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return each task's logits and no more, without padding: for answering.

        Args:
            input_ids: [B, L] int64 token ids.
            attention_mask: [B, L], nonzero at the N real tokens.
            token_type_ids: [B, L] int64.
            tasks: Names of the tasks to run; ``None`` runs all whose inputs are there.
            tokens: [B, L] bool, the m tokens whose logits tasks of masked tokens compute; ``None``: all.
            pixel_values: [B', channels, height, width], which tasks of pictures see.
            pairs: [P, 2]: see `forward`.

        Returns:
            [B, C]; for tagging [N, C], text after text; for masked tokens [m, V].

        Raises:
            ValueError: If a task is unknown, or the batch lacks what one of ``tasks`` reads.
        """
        given = {"input_ids": input_ids, "token_type_ids": token_type_ids}
        inputs = {name: value for name, value in given.items() if value is not None}
        has = given_inputs(input_ids, pixel_values)
        heads = asked_heads(self.task_heads, has, tasks)
        logits = {}
        waiting: dict[str, dict[Modality, tuple[States, Sequence[torch.Tensor]]]] = {}
        for of_branch, encoder, reads_layers in self._passes(heads, {}, has):
            last: States
            if pixel_values is not None and modality(encoder.config) == "image":
                last, layers, _ = encode_images(encoder, pixel_values, reads_layers)
            else:
                last, layers = self.encode_states(
                    inputs,
                    attention_mask,
                    layers=reads_layers,
                    first_tokens=all(head.reads_first_tokens for head in of_branch.values()),
                    encoder=encoder,
                )
            states = self._in_precision_of_heads(last)
            with torch.autocast(states.values.device.type, enabled=False):
                for name, head in of_branch.items():
                    if head.reads == "joint":
                        waiting.setdefault(name, {})[modality(encoder.config)] = (states, layers)
                        continue
                    logits[name] = head.flat_logits(head.read(states, layers), self.encoder, tokens)
        for name, found in waiting.items():
            both, layers = states_of(heads[name], found, pairs)
            with torch.autocast(both.values.device.type, enabled=False):
                logits[name] = heads[name].flat_logits(heads[name].read(both, layers), self.encoder)
        return {name: logits[name] for name in heads}

    def _in_precision_of_heads(self, states: States) -> States:
        """Return the states as the heads take them: see `forward`."""
        return states.to(next(self.heads.parameters(), states.values).dtype)
