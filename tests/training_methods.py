"""A micro-batch of a task of every type, and short trainings in float64, for tests of training methods."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from hf_mtl import MultiTaskModel, MultiTaskTrainer, TaskConfig
from hf_mtl.training_methods import MicroBatch
from tests.conftest import make_tokenizer
from tests.contract.test_heads import INPUT_IDS, LABELS, MASK, tasks_of
from tests.encoders import tiny_encoder
from tests.own_heads import WordNumbersHead
from tests.ranks import arguments
from tests.trainers import make_data, model_without_dropout

__all__ = ["gradients", "micro_batch", "model_of_all_types"]


def model_of_all_types(family: str = "bert", unpad: Any = "auto") -> MultiTaskModel:
    """Return a model in float64 without dropout, with a task of every type and one of an own type."""
    torch.manual_seed(1)
    tasks = [*tasks_of(family), TaskConfig("loudness", "word-numbers")]
    model = MultiTaskModel.from_encoder(
        tiny_encoder(family), tasks, heads={"word-numbers": WordNumbersHead}, unpad=unpad
    )
    for parameter in model.heads.parameters():  # answers that differ, transitions that are not zero
        torch.nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


def micro_batch(model: MultiTaskModel, only: Any = slice(None), tasks: Any = None) -> MicroBatch:
    """Return a micro-batch of some of three rows, after its plain pass.

    Args:
        model: A model of `model_of_all_types`.
        only: The rows.
        tasks: The tasks; ``None``: all.
    """
    every = LABELS | {"loudness": torch.where(LABELS["tags"] < 0, torch.nan, LABELS["tags"].double())}
    labels = {name: every[name] for name in model.task_heads if tasks is None or name in tasks}
    heads = {name: model.task_heads[name] for name in labels}
    items = {name: head.count_items(labels[name]).double() for name, head in heads.items()}
    rows = torch.arange(len(INPUT_IDS))[only]
    inputs = {
        "input_ids": INPUT_IDS[only],
        "attention_mask": MASK[only],
        "labels": {name: values[only] for name, values in labels.items()},
        "rows": dict.fromkeys(labels, torch.arange(len(rows))),
        "num_items": items,
        "loss_weights": {name: torch.tensor(1.0) for name in labels},
    }
    return MicroBatch(
        model=model,
        heads=heads,
        first=model(**inputs, return_judged=True),
        weights=dict.fromkeys(labels, 1.0),
        num_items=items,
        step=3,
        seed=7,
        inputs=inputs,
        forward=lambda given: model(**given),
        replay=nullcontext,
    )


class _Gradients(TrainerCallback):
    def __init__(self) -> None:
        self.found: list[dict[str, torch.Tensor]] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})


def gradients(folder: Path, size: int, accumulation: int, **kwargs: Any) -> list[dict[str, torch.Tensor]]:
    """Train two steps in float64 without dropout; return the gradients of each."""
    keeper = _Gradients()
    trainer = MultiTaskTrainer(
        model_without_dropout(num_hidden_layers=1).double(),
        arguments(
            folder,
            batching="mixed",
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            **{"max_steps": 2, "max_grad_norm": 0.0, **kwargs},
        ),
        make_data(),
        None,
        make_tokenizer(),
        callbacks=[keeper],
    )
    trainer.train()
    return keeper.found
